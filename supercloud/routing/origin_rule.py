"""Where an application may be shown: one rule for requests, for tickets and for who asks why; no I/O.

A page can do on its origin whatever its viewer can do there. So no application lives on the portal's origin, an own
origin belongs to the one owner that its label names, and an origin that several applications share shows viewers
nothing but their own. What a site allows beyond that, it allows by name.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from supercloud.errors import NeedsOrigin
from supercloud.routing.hosts import Hosts, name_of
from supercloud.routing.locate import ByName
from supercloud.routing.place import Place
from supercloud.target import Application, Forward, Origin

_NOWHERE = (
    "This portal shows no application under its own address, because one could act in your name there, and the site "
    "has no other address for it yet: DNS and the certificate lack *.fh and *.fn below the portal's name, or a host "
    "for applications (/.portal/origins says what to add). A node or forward whose name is of lower-case letters, "
    "digits and dashes needs nothing else."
)


@dataclass(frozen=True, slots=True)
class OriginRule:
    """The rule, for one site.

    :ivar for_others: nodes whose applications a shared origin shows to others than their owners.
    """

    hosts: Hosts
    for_others: Container[str] = field(default_factory=frozenset)

    def is_shown(self, origin: Origin, application: Application, *, owner: int, viewer: int) -> bool:
        """Whether an application of ``owner``'s may be shown to ``viewer`` at an origin."""
        if origin.has_prefixes:
            return owner == viewer or application.node in self.for_others
        return origin.owner == owner

    def proper(
        self, application: Application, forward: Forward | None, path: str = "/", *, owner: int, viewer: int
    ) -> str:
        """The address where it is shown.

        :param path: of the application, with its query.
        :raises NeedsOrigin: the site has none.
        """
        is_viewers = owner == viewer
        address = self.hosts.address(name_of(application, forward), owner, path, is_viewers=is_viewers)
        if address is not None:
            return address
        what = f"{forward or application} of uid {owner}'s has no address"
        raise NeedsOrigin(what, public=_NOWHERE) if is_viewers else NeedsOrigin(what)

    def apart(self, place: Place | ByName, target: bytes, viewer: int) -> str:
        """Where a path prefix on the portal's own origin leads: to the application's own origin, else to the same
        path on the one that the viewer's applications share.

        :param target: of the request.
        :raises NeedsOrigin: the site has neither.
        """
        where = place.name if isinstance(place, ByName) else name_of(place.application, place.forward)
        hosts = self.hosts
        own = hosts.own(where, viewer) if hosts.has_wildcards else None
        if own is not None:
            return own.url + inside(target, place).decode("ascii")
        if hosts.shared is None:
            raise NeedsOrigin(f"{where} has no address", public=_NOWHERE)
        return hosts.shared.url + target.decode("ascii")


def inside(target: bytes, place: Place | ByName) -> bytes:
    """A target below a prefix as it reads on the application's own origin."""
    if isinstance(place, Place) and not place.is_cut:
        return target
    rest = target[len(place.prefix) :]
    return rest if rest.startswith(b"/") else b"/" + rest
