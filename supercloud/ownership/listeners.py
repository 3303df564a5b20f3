"""The portal's own listeners, which are never a target."""

from __future__ import annotations

from collections.abc import Container
from ipaddress import ip_address


class Listeners:
    """Knows them by address and port.

    :param own: this host's addresses: a listener on all of them is found under each.
    """

    def __init__(self, own: Container[object]) -> None:
        self._own = own
        self._bound: set[tuple[str, int]] = set()

    def add(self, address: str, port: int) -> None:
        """A listener is bound."""
        self._bound.add((address, port))

    def is_own(self, address: str, port: int) -> bool:
        """Whether a connection to an address of this host would reach the portal itself."""
        if (address, port) in self._bound:
            return True
        if ("0.0.0.0", port) not in self._bound and ("::", port) not in self._bound:  # noqa: S104 - compared
            return False
        literal = ip_address(address)
        return literal in self._own or literal.is_unspecified
