"""Single-use tickets: they carry a session from the portal's origin to an application's own (design: Origins).

The application's origin sets a nonce as a cookie and redirects the browser to the portal's origin with the nonce's
hash in the address. The portal checks access and sends the browser back with a ticket that is bound to that hash. So a
ticket is worth nothing in another browser: neither to who reads it in an address, nor to sign somebody in as another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import msgspec

from supercloud.accounts import Offloaded
from supercloud.authn.seal import SealBroken, Sealer
from supercloud.authn.session import Session
from supercloud.errors import BadAddress

LIFE: Final = 60.0  # seconds from issue to use; it is one redirect (CAS: 10 s by default, at most 5 minutes advised)

NONCE_LIFE: Final = 600.0  # seconds of the cookie that holds it: time enough to sign in

_PURPOSE = "ticket/1"
_NONCE = "nonce/1"
_VIEWER = "viewer/1"
_HASH = re.compile(r"[A-Za-z0-9_-]{43}")


class SessionLookup(Protocol):
    """Finds live sessions."""

    async def find(self, session_id: str, uid: int) -> Session | None: ...

    def is_live(self, session: Session) -> bool: ...


class TicketStore(Protocol):
    """Remembers used tickets for all processes. Blocks, and runs beside the reactor."""

    def use_ticket(self, ticket: str, ends: float) -> bool:
        """True for the first caller of all processes, False ever after until ``ends`` (Unix seconds)."""
        ...


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What a ticket says."""

    id: str
    session: str
    uid: int
    origin: str
    owner: int
    nonce_hash: str
    ends: float


class Nonce(msgspec.Struct, frozen=True, array_like=True):
    """What binds a ticket to a browser: a page can plant a cookie, and make none of these."""

    random: str
    origin: str
    ends: float


class ViewerMark(msgspec.Struct, frozen=True, array_like=True):
    """Whose applications a shared origin showed in this browser last."""

    uid: int
    origin: str


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A ticket that was used just now, for the first time."""

    session: Session
    origin: str
    owner: int


class Flaw(Enum):
    """Why a ticket was refused, for the log."""

    FORGED = "not sealed by this portal as a ticket"
    LATE = "used too late"
    OTHER_ORIGIN = "issued for another origin"
    OTHER_NONCE = "issued for another browser"
    SESSION_OVER = "its session is over"
    REPLAYED = "used before"


class Tickets:
    """Issues and redeems.

    :param now: Unix seconds.
    """

    def __init__(
        self,
        *,
        sealer: Sealer,
        sessions: SessionLookup,
        store: TicketStore,
        offload: Offloaded,
        now: Callable[[], float],
    ) -> None:
        self._sealer = sealer
        self._sessions = sessions
        self._store = store
        self._offload = offload
        self._now = now

    def make_nonce(self, origin: str) -> str:
        """The value of a nonce cookie of an origin: 256 random bits, sealed."""
        return self._sealer.seal(Nonce(secrets.token_urlsafe(32), origin, self._now() + NONCE_LIFE), _NONCE)

    def is_nonce(self, text: str, origin: str) -> bool:
        """Whether this portal made a nonce, for that origin and not long ago."""
        try:
            nonce = self._sealer.open(text, Nonce, _NONCE)
        except SealBroken:
            return False
        return nonce.origin == origin and self._now() < nonce.ends

    def make_viewer_mark(self, origin: str, uid: int) -> str:
        """The value of the cookie that says whose applications a shared origin shows in this browser."""
        return self._sealer.seal(ViewerMark(uid, origin), _VIEWER)

    def is_viewer_mark(self, text: str, origin: str, uid: int) -> bool:
        """Whether it says that they were this account's."""
        try:
            return self._sealer.open(text, ViewerMark, _VIEWER) == ViewerMark(uid, origin)
        except SealBroken:
            return False

    def issue(self, session: Session, *, origin: str, owner: int, nonce_hash: str) -> str:
        """A ticket for one use on one origin; whoever calls this has checked access.

        :param nonce_hash: as it came in the address.
        :raises BadAddress: when that is not what `hash_nonce` makes.
        """
        if not _HASH.fullmatch(nonce_hash):
            raise BadAddress(f"nonce hash {nonce_hash[:60]!r}")
        ends = self._now() + LIFE
        ticket = Ticket(secrets.token_urlsafe(16), session.id, session.uid, origin, owner, nonce_hash, ends)
        return self._sealer.seal(ticket, _PURPOSE)

    async def redeem(self, text: str, *, origin: str, nonce: str) -> Redeemed | Flaw:
        """Use a ticket up.

        Who has the ticket without its nonce cannot use it up for its owner.

        :param nonce: the cookie of this origin; empty when there is none.
        :raises Exception: when the store cannot be asked; never for what the texts hold.
        """
        try:
            ticket = self._sealer.open(text, Ticket, _PURPOSE)
        except SealBroken:
            return Flaw.FORGED
        if self._now() >= ticket.ends:
            return Flaw.LATE
        if ticket.origin != origin:
            return Flaw.OTHER_ORIGIN
        if not hmac.compare_digest(ticket.nonce_hash, hash_nonce(nonce)) or not self.is_nonce(nonce, origin):
            return Flaw.OTHER_NONCE
        session = await self._sessions.find(ticket.session, ticket.uid)
        if session is None or session.uid != ticket.uid:
            return Flaw.SESSION_OVER
        if not await self._offload.run_for(ticket.uid, self._store.use_ticket, ticket.id, ticket.ends):
            return Flaw.REPLAYED
        if not self._sessions.is_live(session):
            return Flaw.SESSION_OVER
        return Redeemed(session, origin, ticket.owner)


def hash_nonce(nonce: str) -> str:
    """What an address may show of a nonce; takes any text."""
    digest = hashlib.sha256(nonce.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
