"""Which nodes the site allows, and what their names stand for."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from supercloud.config_values import parse_nodes
from supercloud.errors import BadAddress, NothingListens
from supercloud.routing.names import Addresses, Names, Resolve
from supercloud.target import Application, Target


class Nodes:
    """The site's nodes.

    :param resolve: see `Names`.
    :param allow: entries of ``nodes.allow``.
    :param ports: lowest and highest port.
    """

    def __init__(self, resolve: Resolve, clock: IReactorTime, *, allow: Sequence[str], ports: tuple[int, int]) -> None:
        self._resolve = resolve
        self._ports = ports
        entries = [parse_nodes(pattern) for pattern in allow]
        self._names = frozenset(name for entry in entries if isinstance(entry, frozenset) for name in entry)
        self._networks = [entry for entry in entries if not isinstance(entry, frozenset)]
        self._found = Names(self._look_up, clock)

    async def resolve(self, application: Application, uid: int) -> Target:
        """Pin the addresses of an application's node.

        :param uid: of whoever asks, in whose share a name is looked up.
        :raises Busy, Undecided: see `Names.addresses`.
        :raises BadAddress: the port or the node is outside what the site allows; nothing was looked up.
        :raises NothingListens: an allowed node that has no address (yet).
        """
        low, high = self._ports
        if not low <= application.port <= high:
            raise BadAddress(f"port {application.port} is outside {low} to {high}")
        node = application.node
        if known := self._found.believed(node):
            return Target(application, known)
        if node == "localhost" and node in self._names:
            return Target(application, ("127.0.0.1", "::1"))
        try:
            literal = ipaddress.ip_address(node)
        except ValueError:
            return Target(application, await self._by_name(node, uid))
        if (
            getattr(literal, "ipv4_mapped", None)
            or getattr(literal, "scope_id", None)
            or not self._is_inside(str(literal))
        ):
            raise BadAddress(f"address {node} is not in nodes.allow")
        return Target(application, (str(literal),))

    async def _by_name(self, node: str, uid: int) -> Addresses:
        # With networks alone, any name may be asked for as long as it stands for an address inside them.
        if node not in self._names and not self._networks:
            raise BadAddress(f"node {node!r} is not in nodes.allow")
        inside = await self._found.addresses(node, uid)
        if not inside:
            if node in self._names:
                raise NothingListens(f"node {node!r} has no address")
            raise BadAddress(f"node {node!r} is not in nodes.allow")
        return inside

    async def _look_up(self, node: str) -> Addresses:
        """As far as the site allows it."""
        addresses = await self._resolve(node)
        return addresses if node in self._names else tuple(one for one in addresses if self._is_inside(one))

    def _is_inside(self, address: str) -> bool:
        literal = ipaddress.ip_address(address)
        return any(literal in network for network in self._networks)
