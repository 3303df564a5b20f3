"""What the stages of a request are made of, and what they need of others."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from supercloud import events
from supercloud.access import Access
from supercloud.authn.authenticate import Authenticator, Viewer
from supercloud.authn.handed import Handed
from supercloud.authn.session import Session
from supercloud.errors import PortalError
from supercloud.message.claims import USUAL, Claims
from supercloud.message.head import Field, RequestHead, ResponseHead
from supercloud.ownership.authorize import Authorizer, Grant
from supercloud.relay.handshake import Handshakes
from supercloud.relay.http import Downstream
from supercloud.relay.rewriting import Rewriters
from supercloud.routing.always import Always
from supercloud.routing.hosts import Hosts
from supercloud.routing.origin_rule import OriginRule
from supercloud.routing.place import Outward, Place, Trailers
from supercloud.shares import Share
from supercloud.target import Application, Origin
from supercloud.upstream.connect import Dialer
from supercloud.upstream.pool import Key, Pool
from supercloud.upstream.secure import Securing
from supercloud.watch import Watch


class Exchange(Downstream, Protocol):
    """What the stages need of a request under way; see front.exchange."""

    head: RequestHead
    audit: events.AuditLine
    always: bytes
    outward: Callable[[ResponseHead], bytes] | None
    on_over: list[Callable[[], object]]
    pending: Callable[[], object] | None

    @property
    def address(self) -> str: ...
    @property
    def share(self) -> Share: ...
    @property
    def memory(self) -> dict[str, object]: ...
    @property
    def is_over(self) -> bool: ...
    def charge(self, uid: int) -> None: ...
    def end_access(self, error: PortalError, told: str) -> None: ...


class OwnPages(Protocol):
    """The portal's own addresses."""

    async def answer(self, exchange: Any, origin: Origin) -> None:
        """Answer whatever leads to no application.

        :raises PortalError: nothing is there, or not for this viewer.
        """

    def end_service_worker(self, exchange: Any) -> None:
        """Answer a browser that wants a service worker's script, where there may be none."""

    def find_owner(self, head: RequestHead, origin: Origin) -> NoReturn:
        """:raises Elsewhere: to where a label without an owner leads."""


class ToWorker(Protocol):
    """The viewer's own worker; see workers.way."""

    async def carry(
        self, exchange: Any, viewer: Viewer, again: Callable[[Coroutine[Deferred[Any], Any, None]], object]
    ) -> None:
        """:raises PortalError: there is no worker for this account now, or it does not answer."""


class Updates(Protocol):
    """Tells open pages what changes; see front.live."""

    def begin(self, exchange: Any, viewer: Viewer) -> None:
        """:raises PortalError: this is no page that listens."""


class Recalling(Protocol):
    """Finds out again what lets viewers into their own applications; see front.opening."""

    def is_needed(self, session: Session, application: Application) -> bool:
        """Whether that has not been asked yet."""
        ...

    async def recall(self, viewer: Viewer, application: Application) -> None:
        """Ask the viewer's worker, once for each session; who cannot be asked tells nothing."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts that a pipeline is made of.

    :ivar via: the portal's entry of ``Via``; ``pseudonym`` is the name in it.
    :ivar streams: requests of one principal under way at once.
    :ivar worker: carries requests to the viewer's own worker; None where there are no workers.
    :ivar updates: what `worker` is asked again and again for open pages.
    :ivar handed: what lets viewers into their own applications.
    :ivar recalling: what `handed` has forgotten, or never knew; None where nobody is asked.
    :ivar rule: where applications may be shown.
    :ivar claims: fields that are not believed of a request.
    """

    hosts: Hosts
    always: Always
    authenticator: Authenticator
    access: Access
    authorizer: Authorizer
    dialer: Dialer
    tls: Securing
    pool: Pool[Grant]
    watch: Watch
    pages: OwnPages
    pseudonym: bytes
    handshakes: Handshakes
    clock: IReactorTime
    rule: OriginRule
    streams: int
    ping: float
    handed: Handed
    worker: ToWorker | None = None
    updates: Updates | None = None
    recalling: Recalling | None = None
    claims: Claims = USUAL


class Trodden(msgspec.Struct, frozen=True):
    """The way that a request took, for the next one on its connection that differs in its target only.

    All of it follows from the fields, the connection and the owner of the listener; whether the session lives, what
    the target leads to and whose the upstream connection is are looked at for each request.

    :ivar fields: of the request; `parse_like` gives the very same object to the next.
    :ivar owner: uid of the listener.
    :ivar inward: what follows the target in the head that the application gets.
    :ivar trailing: what passes of trailers.
    :ivar rewriters: of responses; None where none is rewritten.
    :ivar target: node and port, for the audit line.
    :ivar handed: the credential in it that only a process of the viewer's may get; empty for none.
    :ivar version: of `Handed`, when it was asked.
    """

    fields: list[Field]
    viewer: Viewer
    place: Place
    key: Key
    owner: int
    may_repeat: bool
    inward: bytes
    outward: Outward
    trailing: Trailers
    rewriters: Rewriters | None
    target: str
    handed: bytes
    version: int

    def goes(self, fields: list[Field], viewer: Viewer, place: Place, key: Key, owner: int) -> bool:
        """Whether it is the way of these."""
        is_same = self.fields is fields and self.viewer is viewer and self.place is place
        return is_same and self.key == key and self.owner == owner
