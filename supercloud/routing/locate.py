"""Where a request leads, as far as its address says: to an application, to a forward, or to the portal's own pages."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from supercloud.errors import BadAddress, Elsewhere
from supercloud.message.head import RequestHead
from supercloud.routing.place import Place
from supercloud.routing.prefixes import read_prefix
from supercloud.target import Application, Forward, Origin


@dataclass(frozen=True, slots=True)
class ByName:
    """A forward as it is addressed from outside; where it leads is asked for each viewer.

    :ivar prefix: as of a `Place`.
    """

    origin: Origin
    name: str
    prefix: bytes = b""

    @property
    def root(self) -> bytes:
        """The beginning of all targets in it."""
        return self.prefix + b"/"

    def leading_to(self, forward: Forward) -> Place:
        """Where its application lives."""
        return Place(self.origin, forward.application, self.prefix, forward=forward)


def place_of(head: RequestHead, origin: Origin, memory: dict[str, object]) -> Place | ByName | None:
    """Where the request leads, as far as its address says; None for the portal's own pages.

    :param memory: of the downstream connection, whose requests mostly go to one place.
    """
    if is_own(head.target):
        return None
    known = memory.get("place")
    if isinstance(known, Place | ByName) and known.origin is origin and head.target.startswith(known.root):
        return known
    place = memory["place"] = _read_place(head, origin)
    return place


def is_own(target: bytes) -> bool:
    """The portal's own machinery, on every origin."""
    return target.startswith(b"/.portal") and target[8:9] in (b"", b"/", b"?")


def leads_into(target: bytes, place: Place) -> bool:
    return target.startswith(place.root) and not is_own(target)


def _read_place(head: RequestHead, origin: Origin) -> Place | ByName | None:
    path = head.path
    if origin.forward is not None:
        return ByName(origin, origin.forward)
    if origin.application is not None:
        return Place(origin, origin.application)
    route = read_prefix(path)
    if route is None:
        return None
    if len(route.prefix) == len(path) and not head.upgrade:
        # The slash was left out: without it the application's relative links would lead beside it.
        query = head.target[len(path) :].decode("ascii")
        raise Elsewhere(f"{origin.url}{path.decode('ascii')}/{query}", status=HTTPStatus.PERMANENT_REDIRECT)
    if isinstance(route.where, str):
        return ByName(origin, route.where, route.prefix)
    if not _is_node_name(route.where):
        raise BadAddress(f"node {route.where.node!r}")
    return Place(origin, route.where, route.prefix, route.is_cut)


def _is_node_name(application: Application) -> bool:
    return ".." not in application.node
