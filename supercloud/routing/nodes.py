"""Which nodes the site allows, and what their names stand for; names are looked up beside the reactor's thread."""

from __future__ import annotations

import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from supercloud.accounts import Offloaded
from supercloud.config_values import parse_nodes
from supercloud.errors import BadAddress, NothingListens
from supercloud.target import Application, Target

# Seconds that a look-up is believed: long enough for the seventy requests of a page, far below a job's life.
BELIEVED: Final = 5.0
_MOST_REMEMBERED: Final = 4096


class Nodes:
    """The site's nodes.

    :param allow: entries of ``nodes.allow``.
    :param ports: lowest and highest port.
    """

    def __init__(
        self, offload: Offloaded, clock: IReactorTime, *, allow: Sequence[str], ports: tuple[int, int]
    ) -> None:
        self._offload = offload
        self._clock = clock
        self._ports = ports
        entries = [parse_nodes(pattern) for pattern in allow]
        self._names = frozenset(name for entry in entries if isinstance(entry, frozenset) for name in entry)
        self._networks = [entry for entry in entries if not isinstance(entry, frozenset)]
        self._remembered: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()

    async def resolve(self, application: Application) -> Target:
        """Pin the addresses of an application's node.

        :raises BadAddress: the port or the node is outside what the site allows; nothing was looked up.
        :raises NothingListens: an allowed node that has no address (yet).
        """
        low, high = self._ports
        if not low <= application.port <= high:
            raise BadAddress(f"port {application.port} is outside {low} to {high}")
        node = application.node
        if known := self._believed(node):
            return Target(application, known)
        if node == "localhost" and node in self._names:
            return Target(application, ("127.0.0.1", "::1"))
        try:
            literal = ipaddress.ip_address(node)
        except ValueError:
            return Target(application, await self._look_up(node))
        if (
            getattr(literal, "ipv4_mapped", None)
            or getattr(literal, "scope_id", None)
            or not self._is_inside(str(literal))
        ):
            raise BadAddress(f"address {node} is not in nodes.allow")
        return Target(application, (str(literal),))

    async def _look_up(self, node: str) -> tuple[str, ...]:
        # With networks alone, any name may be asked for as long as it stands for an address inside them.
        is_named = node in self._names
        if not is_named and not self._networks:
            raise BadAddress(f"node {node!r} is not in nodes.allow")
        inside = self._believed(node)
        if inside is None:
            now = self._clock.seconds()
            addresses: tuple[str, ...] = await self._offload.run(_addresses, node)
            inside = addresses if is_named else tuple(one for one in addresses if self._is_inside(one))
            self._remembered[node] = (now, inside)
            self._remembered.move_to_end(node)
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        if not inside:
            if is_named:
                raise NothingListens(f"node {node!r} has no address")
            raise BadAddress(f"node {node!r} is not in nodes.allow")
        return inside

    def _believed(self, node: str) -> tuple[str, ...] | None:
        """What a name was found to stand for a moment ago, as far as the site allows it; None when it must be asked."""
        known = self._remembered.get(node)
        return known[1] if known is not None and self._clock.seconds() - known[0] < BELIEVED else None

    def _is_inside(self, address: str) -> bool:
        literal = ipaddress.ip_address(address)
        return any(literal in network for network in self._networks)


def _addresses(node: str) -> tuple[str, ...]:
    """Ask the resolver; blocks. IPv4 first: it is what cluster tables have had for longest."""
    try:
        found = socket.getaddrinfo(node, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    literals = dict.fromkeys(str(entry[4][0]) for entry in found if "%" not in str(entry[4][0]))
    return tuple(sorted(literals, key=lambda literal: ":" in literal))
