"""Whose sockets may connect to the embedded portal: those of its own account, and root's.

Browsers send localhost's cookies to every port of localhost, so a cookie alone proves nothing there; the kernel says
whose socket the other end is.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress

from supercloud.ident2.sockets import Sockets
from supercloud.ident2.wire import ESTABLISHED, SocketAddress

_TCP = 6


class OwnAccountOnly:
    """Asks the kernel about the peer's end of a connection on this host: one exact look-up, 40 microseconds.

    :param uid: the account.
    :param ports: of the portal's listeners.
    """

    def __init__(self, uid: int, ports: tuple[int, ...]) -> None:
        self._uids = frozenset({0, uid})
        self._ports = ports
        self._sockets = Sockets()

    def admits(self, address: IAddress) -> bool:
        """Whether the connection from an address may be used; no answer means no."""
        host, port = getattr(address, "host", ""), getattr(address, "port", 0)
        here = "::1" if ":" in host else "127.0.0.1"
        peer = SocketAddress.parse(host, port)
        for own in self._ports:
            try:
                found = self._sockets.find(_TCP, peer, SocketAddress.parse(here, own), states=ESTABLISHED)
            except OSError:
                return False
            if found is not None:
                return found.uid in self._uids
        return False
