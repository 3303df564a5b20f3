"""The viewer's own listening sockets on this host, for the first page; blocks, so it runs beside the reactor."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from supercloud.accounts import Offloaded
from supercloud.front.pages import Listed
from supercloud.ident2.processes import Processes, SearchTooLong
from supercloud.ident2.sockets import Sockets
from supercloud.identity import Principal
from supercloud.routing.hosts import Hosts
from supercloud.target import Application

NAMING: Final = 1.0  # seconds in which programs are looked for; a process of very many descriptors takes long each time
UNNAMED: Final = "a program"


class Listing:
    """Lists the listening sockets of an account.

    :param is_own: tells the portal's own listeners, which are left out.
    :param ports: lowest and highest that may be opened.
    :param has_localhost: whether this host's own applications may be opened at all.
    """

    def __init__(
        self,
        offload: Offloaded,
        hosts: Hosts,
        *,
        is_own: Callable[[str, int], bool],
        ports: tuple[int, int],
        has_localhost: bool,
    ) -> None:
        self._offload = offload
        self._hosts = hosts
        self._is_own = is_own
        self._ports = ports
        self._has_localhost = has_localhost
        self._sockets = Sockets()
        self._processes = Processes()

    async def of(self, principal: Principal) -> list[Listed]:
        """What the account listens on at this host, by port."""
        if not self._has_localhost:
            return []
        found: list[tuple[int, str]] = await self._offload.run_for(principal.uid, self._read, principal.uid)
        return [self._listed(port, name, principal.uid) for port, name in found]

    def _read(self, uid: int) -> list[tuple[int, str]]:
        low, high = self._ports
        ends = time.monotonic() + NAMING
        by_port: dict[int, tuple[int, str]] = {}
        for one in self._sockets.listeners(uid):
            host, port = one.local
            if not low <= port <= high or port in by_port or self._is_own(str(host), port):
                continue
            if not host.is_loopback and not host.is_unspecified:
                continue  # localhost does not lead there
            by_port[port] = (port, self._name(one.inode, uid) if time.monotonic() < ends else UNNAMED)
        return [by_port[port] for port in sorted(by_port)]

    def _name(self, inode: int, uid: int) -> str:
        try:
            holders = self._processes.search(inode, uid)
        except SearchTooLong:
            return UNNAMED
        return _command(holders[0].pid) if holders else UNNAMED

    def _listed(self, port: int, name: str, uid: int) -> Listed:
        application = Application("localhost", port)
        own = self._hosts.address(application, uid, is_viewers=True)
        return Listed(name, str(application), own or f"/fw2/{application}/")


def _command(pid: int) -> str:
    """How the process was called: the program, and the module or script that an interpreter runs."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return UNNAMED
    # Some write a title over their words, as in "nginx: master process …".
    program = Path(words[0].split(" ")[0].rstrip(":")).name
    if program.startswith("python"):
        rest = [word for word in words[1:] if word and word != "-m" and not word.startswith("-")]
        return Path(rest[0]).name if rest else program
    return program or UNNAMED
