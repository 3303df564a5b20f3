"""Which origin a ``Host`` names: the portal's own, or an application's (design: an origin belongs to one owner)."""

from __future__ import annotations

import re
from functools import lru_cache

from supercloud.errors import BadAddress, Misdirected
from supercloud.target import Application, Forward, Origin

# One label of at most 63 letters, digits and dashes; the last dash before the port separates, so that node-5-12637
# is port 12637 of node-5. Another owner's application has -uUID behind it.
_LABEL = re.compile(
    r"(?P<node>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-(?P<port>[1-9][0-9]{0,4})(?:-u(?P<uid>0|[1-9][0-9]{0,9}))?"
)
# As short as it can be, so that what looks like another owner's suffix is one: a forward whose name ends like that
# has no label.
_NAME = re.compile(r"(?P<name>[a-z0-9](?:[a-z0-9-]*?[a-z0-9])??)(?:-u(?P<uid>0|[1-9][0-9]{0,9}))?")
_MAX_LABEL = 63
_PORT = re.compile(r"[0-9]{1,5}")


class Hosts:
    """Reads ``Host`` fields, and makes the addresses of applications.

    :param hostname: of the portal.
    :param applications: domain under which ``fh`` and ``fn`` lie.
    :param ports: public ports of the listeners; the first is that of the portal's own links.
    """

    def __init__(self, hostname: str, *, applications: str = "", ports: tuple[int, ...] = (443,)) -> None:
        self._hostname = hostname
        self._ports = ports
        self._domain = f"fh.{applications or hostname}"
        self._forwards = f"fn.{applications or hostname}"
        self.portal = Origin(_authority(hostname, ports[0]))
        # As many as a few thousand viewers use at once; a guess costs 2 microseconds.
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, host: bytes) -> Origin:
        """The origin that a ``Host`` names, in lower case.

        :raises Misdirected: none of ours.
        :raises BadAddress: under the applications' domain, but no application's name.
        """
        text = host.decode("ascii")
        name, colon, port = text.partition(":") if not text.startswith("[") else (text, "", "")
        number = 443 if not colon else int(port) if _PORT.fullmatch(port) else 0
        if number not in self._ports:
            raise Misdirected(f"Host {text!r}: port", public=self._where())
        if name == self._hostname:
            return Origin(_authority(name, number))
        label, dot, domain = name.partition(".")
        if dot and domain == self._forwards:
            return self._of_forward_label(label, _authority(name, number))
        if not dot or domain != self._domain:
            raise Misdirected(f"Host {text!r}", public=self._where())
        found = _LABEL.fullmatch(label) if len(label) <= _MAX_LABEL else None
        if not found or int(found["port"]) > 65535:
            raise BadAddress(f"label {label!r}")
        application = Application(found["node"], int(found["port"]))
        return Origin(_authority(name, number), application, None if found["uid"] is None else int(found["uid"]))

    def of_application(self, application: Application, *, owner: int | None = None) -> Origin | None:
        """The origin of an application; None when its node has no name of one label.

        :param owner: uid for the label of somebody else's application; None for the viewer's own.
        """
        label = f"{application.node}-{application.port}" + ("" if owner is None else f"-u{owner}")
        found = _LABEL.fullmatch(label)
        if not found or len(label) > _MAX_LABEL or found["node"] != application.node:
            return None
        return Origin(_authority(f"{label}.{self._domain}", self._ports[0]), application, owner)

    def proper(self, application: Application, forward: Forward | None, *, owner: int | None = None) -> Origin | None:
        """The origin of an application by however it is addressed; None when that is no label."""
        if forward is not None:
            return self.of_forward(forward.name, owner=owner)
        return self.of_application(application, owner=owner)

    def of_forward(self, name: str, *, owner: int | None = None) -> Origin | None:
        """The origin of a forward; None when its name is no label.

        :param owner: uid for the label of somebody else's application; None for the viewer's own.
        """
        label = name if owner is None else f"{name}-u{owner}"
        found = _NAME.fullmatch(label)
        if not found or len(label) > _MAX_LABEL or found["name"] != name:
            return None
        return Origin(_authority(f"{label}.{self._forwards}", self._ports[0]), owner=owner, forward=name)

    def _of_forward_label(self, label: str, authority: str) -> Origin:
        found = _NAME.fullmatch(label) if len(label) <= _MAX_LABEL else None
        if not found:
            raise BadAddress(f"label {label!r}")
        owner = None if found["uid"] is None else int(found["uid"])
        return Origin(authority, owner=owner, forward=found["name"])

    @property
    def patterns(self) -> tuple[str, ...]:
        """All of the applications' origins, as a Content-Security-Policy names them (CSP3 section 2.3.1)."""
        return tuple(f"https://*.{_authority(domain, self._ports[0])}" for domain in (self._domain, self._forwards))

    def _where(self) -> str:
        return f"This portal does not serve that host name. Its own address is {self.portal.url}/."


def _authority(name: str, port: int) -> str:
    return name if port == 443 else f"{name}:{port}"
