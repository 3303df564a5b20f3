"""``twistd supercloud-portal``: settings to a tree of services. The only wiring, and the only import of the reactor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.python import usage

from supercloud import config, preflight
from supercloud.config import Settings, WrongSettings
from supercloud.ident2.responder import Responder, UnsafePort
from supercloud.ident2.seqpacket import SocketTaken
from supercloud.node import make_responder
from supercloud.origin_check import advice, look
from supercloud.portal import Portal


class Options(usage.Options):
    """What ``twistd supercloud-portal`` understands."""

    synopsis = "[--config FILE | --port PORT] [--check]"
    optParameters = [
        ["config", None, None, "Settings file. Without one: the embedded portal of whoever starts it."],
        ["port", None, None, "Port of the embedded portal (8443)."],
        ["state", None, None, "State folder of the embedded portal ($XDG_STATE_HOME/supercloud)."],
    ]
    optFlags = [["check", None, "Check the settings, say what would run, and exit."]]

    def postOptions(self) -> None:
        """Read the settings; whatever is wrong ends here, before anything is bound."""
        try:
            self.settings, self.is_embedded = read_settings(self["config"], self["port"], self["state"])
            described = describe(self.settings, is_embedded=self.is_embedded)
        except WrongSettings as error:
            self._leave(str(error))
        if self["check"]:
            sys.stdout.write(described)
            raise SystemExit(0)

    def _leave(self, why: str) -> None:
        sys.stderr.write(f"supercloud-portal: {why}\n")
        raise SystemExit(1)


class Services(MultiService):
    """All that runs. What cannot be bound ends it with one line that says why."""

    def privilegedStartService(self) -> None:
        """Bind; twistd may still be root."""
        with _said_in_one_line(WrongSettings, UnsafePort, SocketTaken, OSError):
            super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Serve; twistd is root no more, if it was told to be somebody else."""
        with _said_in_one_line(WrongSettings):
            super().startService()  # type: ignore[no-untyped-call]


@contextmanager
def _said_in_one_line(*wrong: type[Exception]) -> Iterator[None]:
    try:
        yield
    except wrong as error:
        sys.stderr.write(f"supercloud-portal: {error}\n")
        raise SystemExit(1) from None


def read_settings(file: str | None, port: str | None, state: str | None) -> tuple[Settings, bool]:
    """Settings from a file, or those of the embedded portal.

    :raises WrongSettings: says what would be right.
    """
    if file is not None:
        if port is not None or state is not None:
            raise WrongSettings(
                "--port and --state are for the embedded portal; set front.listen and state in the file"
            )
        return config.read(Path(file)), False
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise WrongSettings(f"--port {port}: is not a port; write a number from 1 to 65535")
    base = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    folder = Path(state) if state is not None else Path(base) / "supercloud"
    return config.embedded(folder.absolute(), port=int(port or 8443)), True


def describe(settings: Settings, *, is_embedded: bool = False) -> str:
    """What would run, for ``--check``.

    :param is_embedded: what the settings name is made when it starts, and not looked at before.

    :raises WrongSettings: when files that the settings name cannot be used.
    """
    lines = []
    front = settings.front
    if front is not None:
        lines += [f"front: {', '.join(front.listen)} as https://{front.hostname}/"]
        if front.metrics:
            lines += [f"metrics: http://{front.metrics}/metrics"]
        lines += [f"sign-in: {', '.join(settings.authn.schemes)}"]
        lines += [f"nodes: {', '.join(settings.nodes.allow) or 'none'}; ports {settings.nodes.ports[0]} to "
                  f"{settings.nodes.ports[1]}"]  # fmt: skip
        lines += [f"files: {', '.join(f'{folder} at /dav{one}' for one, folder in settings.dav.roots.items())}"]
        if not is_embedded:
            preflight.check(settings)
            lines += preflight.lacks(settings)
            for name in look(front, datetime.fromtimestamp(wall_clock(), UTC)):
                lines += [f"applications: {name.shown}: {words}" for words in name.lacks]
            lines += [f"applications: {words}" for words in advice(front)]
    if settings.ident2.responder:
        udp = ", ".join(f"udp {host} port {port}" for host, port in settings.ident2.udp)
        lines += [f"ident2: {', '.join(filter(None, (settings.ident2.socket, udp))) or 'in this process only'}"]
    if not lines:
        raise WrongSettings("nothing would run: there is neither [front] nor ident2.responder")
    return "settings are good\n" + "".join(f"  {line}\n" for line in lines)


def makeService(options: Options) -> IService:
    """The services that the settings ask for."""
    from twisted.internet import reactor

    try:
        return make_services(options.settings, reactor, is_embedded=options.is_embedded)
    except WrongSettings as error:
        sys.stderr.write(f"supercloud-portal: {error}\n")
        raise SystemExit(1) from None


def make_services(settings: Settings, reactor: Any, *, is_embedded: bool) -> MultiService:
    """The service tree: the ident2 responder, then the front that asks it."""
    services = Services()  # type: ignore[no-untyped-call]
    responder = make_responder(settings.ident2, reactor, only_answers=settings.front is None)
    responder.setServiceParent(services)  # type: ignore[no-untyped-call]
    if settings.front is not None:
        search_by = responder.search_by if isinstance(responder, Responder) else None
        portal = Portal(
            settings,
            settings.front,
            reactor,
            responder.client,
            responder.own,
            now=wall_clock,
            search_by=search_by,
        )
        if is_embedded:
            portal.embed(os.geteuid())
        portal.setServiceParent(services)  # type: ignore[no-untyped-call]
    return services
