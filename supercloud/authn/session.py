"""Sessions: somebody who signed in; shared with the portal's other processes, and ended in all of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supercloud import events
from supercloud.accounts import Offloaded
from supercloud.authn.credential import Credential
from supercloud.authn.recurring import Recurring
from supercloud.authn.seal import SealBroken, Sealer
from supercloud.authn.store import SessionRow, Store
from supercloud.config import SessionLife
from supercloud.deadline import Deadline
from supercloud.identity import Principal

MAX_PER_ACCOUNT: Final = 100  # sessions of one account in all processes; beyond it the oldest ends
POLL: Final = 0.5  # seconds; what another process ends is to be seen within 1 s
WRITE: Final = 30.0  # seconds between two writes of last_seen
_LOOK_AGAIN: Final = 5  # answers of the store that news overtook; each time is rare
_SETTLE: Final = 0.1  # seconds that an expiry timer fires late, so that rounding does not make it fire twice
_DRIFT: Final = 1.0  # seconds that the clocks may go apart before sessions' timers are set anew

_COOKIE = "session/1"

KICKED_BY_CAP = "too many sessions of this account"


@dataclass(slots=True, eq=False)
class Session(Credential):
    """A session as this process holds it; `Sessions` makes and ends it. Times are Unix seconds.

    :ivar last_seen: written by `Sessions.touch`, and by nobody else.
    :ivar written: ``last_seen`` as the store knows it.
    """

    id: str
    uid: int
    login: str
    scheme: str
    address: str
    created: float
    ends: float
    last_seen: float
    written: float
    certificate: bytes = b""
    deadline: Deadline | None = None

    @classmethod
    def from_row(cls, row: SessionRow) -> Session:
        """The live object for a row."""
        return cls(**asdict(row), written=row.last_seen)

    @property
    def told(self) -> str:
        """See `Credential.told`."""
        return "session"

    def end(self, reason: str) -> None:
        """See `Credential.end`; no timer is left behind."""
        if self.deadline is not None:
            self.deadline.cancel()
        Credential.end(self, reason)  # slots make another class of this one, which super() does not know


@dataclass(frozen=True, slots=True)
class Visit:
    """A session on one origin: what a verified cookie says.

    :ivar origin: as ``https://name.fn.portal.example.org``.
    :ivar owner: uid whose applications this origin shows (design: an origin belongs to one owner).
    """

    session: Session
    origin: str
    owner: int


class Cookie(msgspec.Struct, frozen=True, array_like=True):
    """What a session cookie says (design: Origins)."""

    session: str
    uid: int
    origin: str
    owner: int
    ends: float


class Sessions:
    """The sessions that this process has met, backed by the store.

    A request costs `is_live` and `touch`; `verify` is for the first request of a connection.

    :param now: Unix seconds. The reactor's clock only times the look-ups; it stands still while the front does.
    """

    def __init__(
        self,
        *,
        sealer: Sealer,
        store: Store,
        offload: Offloaded,
        clock: IReactorTime,
        now: Callable[[], float],
        life: SessionLife,
    ) -> None:
        self._sealer = sealer
        self._store = store
        self._offload = offload
        self._clock = clock
        self._now = now
        self._idle = float(life.idle)
        self._absolute = float(life.absolute)
        self._met: dict[str, Session] = {}
        self._position = 0
        self._apart = now() - clock.seconds()
        self._recurring = (
            Recurring(clock, POLL, self._poll, "looking for ended sessions"),
            Recurring(clock, WRITE, self._write, "saving last use"),
        )

    def __len__(self) -> int:
        """Number of sessions in memory."""
        return len(self._met)

    def start(self) -> None:
        """Begin to look what other processes ended, and to write when sessions were last used."""
        for one in self._recurring:
            one.start()

    async def stop(self) -> None:
        """Write what is due and leave no timer behind; the sessions themselves live on in the store."""
        for one in self._recurring:
            one.stop()
        for session in self._met.values():
            if session.deadline is not None:
                session.deadline.cancel()
        await self._write()

    async def open(self, principal: Principal, *, scheme: str, address: str, certificate: bytes = b"") -> Session:
        """Somebody signed in.

        :param certificate: by which they did, DER; the session ends when `end_doubted` doubts it.

        :raises Exception: when the store cannot keep it; then there is no session.
        """
        now = self._now()
        name, ends = secrets.token_urlsafe(24), now + self._absolute
        row = SessionRow(name, principal.uid, principal.login, scheme, address, now, ends, now, certificate)
        # In memory first: what ends the account's sessions while the store is written then reaches this one too.
        session = self._meet(row)
        try:
            for oldest in await self._offload.run_for(principal.uid, self._store.add, row, MAX_PER_ACCOUNT):
                self._leave(oldest, KICKED_BY_CAP)
        except BaseException:
            self._leave(session.id, "could not be kept")
            raise
        return session

    def cookie(self, session: Session, *, origin: str, owner: int) -> str:
        """The cookie's value for one origin; ``owner`` is the uid whose applications the origin shows."""
        return self._sealer.seal(Cookie(session.id, session.uid, origin, owner, session.ends), _COOKIE)

    async def verify(self, cookie: str, *, origin: str) -> Visit | None:
        """Whose cookie this is; None for what is forged, over, idle, ended, or another origin's.

        :raises Exception: when the store has to be asked and cannot be; never for what ``cookie`` holds.
        """
        try:
            read = self._sealer.open(cookie, Cookie, _COOKIE)
        except SealBroken:
            return None
        if read.origin != origin or self._now() >= read.ends:
            return None
        session = self._met.get(read.session)
        if session is None or not self.is_live(session):
            session = await self.find(read.session, read.uid)
        if session is None or session.uid != read.uid:
            return None
        return Visit(session, origin, read.owner)

    def claimed(self, cookie: str) -> str:
        """Whose a cookie is that `verify` refused: of a session that is over; empty when this portal never made it."""
        try:
            return f"uid {self._sealer.open(cookie, Cookie, _COOKIE).uid}"
        except SealBroken:
            return ""

    def is_live(self, session: Session) -> bool:
        """Whether it may still be used; plain and fast, for every request."""
        now = self._now()
        return session.ended is None and now < session.ends and now - session.last_seen <= self._idle

    def touch(self, session: Session) -> None:
        """It is being used now."""
        session.last_seen = self._now()

    async def find(self, session_id: str, uid: int) -> Session | None:
        """A live session, from memory or, after a restart or from another process, from the store.

        :param uid: whose it is said to be: in whose share the store is asked.
        """
        known = self._met.get(session_id)
        if known is not None and self.is_live(known):
            return known
        for _ in range(_LOOK_AGAIN):
            row, position = await self._offload.run_for(uid, self._store.find, session_id)
            # Otherwise sessions were heard to be over since that answer: this may be one of them.
            if position >= self._position:
                break
        else:
            return None
        known = self._met.get(session_id)
        if row is None:
            if known is not None:
                self._leave(session_id, self._end_by_time(known))
            return None
        return self._take(row)

    async def end(self, session_id: str, reason: str) -> None:
        """End one session in all processes: here at once, even if the store then fails; elsewhere within a second."""
        self._leave(session_id, reason)
        await self._offload.run(self._store.end, session_id, reason)
        # An answer of the store that was on its way may have brought it back to memory.
        await self._poll()

    async def end_all(self, uid: int, reason: str) -> None:
        """End every session of an account, as `end` does."""
        self.forget(uid, reason)
        await self._offload.run_for(uid, self._store.end_all, uid, reason)
        await self._poll()

    async def end_doubted(self, doubt: Callable[[Session], str | None]) -> None:
        """End the sessions of memory that were opened by a certificate that is not good any more.

        :param doubt: says why; None when it is good.
        """
        for session in [one for one in self._met.values() if one.certificate]:
            reason = doubt(session)
            if reason is not None:
                await self.end(session.id, reason)

    def forget(self, uid: int, reason: str) -> None:
        """End what memory has of an account's sessions, and what depends on them; the store says whether they go on."""
        for session in [one for one in self._met.values() if one.uid == uid]:
            self._leave(session.id, reason)

    async def list(self, uid: int) -> tuple[Session, ...]:
        """Live sessions of an account in all processes, oldest first. At most `MAX_PER_ACCOUNT`."""
        rows: tuple[SessionRow, ...] = tuple(await self._offload.run_for(uid, self._store.of_account, uid))
        found = [await self.find(row.id, uid) for row in rows]
        return tuple(session for session in found if session is not None)

    def _meet(self, row: SessionRow) -> Session:
        session = Session.from_row(row)
        session.deadline = Deadline(self._clock, lambda: self._look(session))
        self._met[session.id] = session
        self._arm(session)
        return session

    def _take(self, row: SessionRow) -> Session | None:
        """What the store says of a session, which other processes may have used since; None if it is over."""
        session = self._met.get(row.id) or self._meet(row)
        session.last_seen = max(session.last_seen, row.last_seen)
        session.written = max(session.written, row.last_seen)
        if self.is_live(session):
            self._arm(session)
            return session
        self._leave(session.id, self._end_by_time(session))
        return None

    def _end_by_time(self, session: Session) -> str:
        return "expired" if self._now() >= session.ends else "idle"

    def _leave(self, session_id: str, reason: str) -> None:
        session = self._met.pop(session_id, None)
        if session is not None:
            session.end(reason)

    def _arm(self, session: Session) -> None:
        if session.deadline is not None:
            due = min(session.ends, session.last_seen + self._idle)
            session.deadline.set(max(due - self._now(), 0.0) + _SETTLE)

    def _look(self, session: Session) -> None:
        """The timer fired: over, or used since, or perhaps used in another process."""
        if self.is_live(session):
            self._arm(session)
        elif self._now() >= session.ends:
            self._leave(session.id, "expired")
        else:
            self._watch(self.find(session.id, session.uid), lambda: self._leave(session.id, "idle"))

    def _watch(self, coroutine: Coroutine[Any, Any, object], otherwise: Callable[[], None]) -> None:
        def failed(failure: Failure) -> None:
            otherwise()
            events.unexpected(doing="looking up an idle session", failure=failure)

        Deferred.fromCoroutine(coroutine).addErrback(failed)

    def _follow_time(self) -> None:
        """Whoever's time passed while the front stood still, or when the time was set, ends now."""
        apart = self._now() - self._clock.seconds()
        if abs(apart - self._apart) > _DRIFT:
            self._apart = apart
            for session in list(self._met.values()):
                self._look(session)

    async def _poll(self) -> None:
        self._follow_time()
        position, ended, is_all = await self._offload.run(self._store.changes, self._position)
        self._position = max(position, self._position)
        for session_id, reason in ended:
            self._leave(session_id, reason)
        if not is_all:
            await self._look_for_all()

    async def _look_for_all(self) -> None:
        """Too much ended to hear of each one: ask about those of memory."""
        for session_id in list(self._met):
            row, _ = await self._offload.run(self._store.find, session_id)
            if row is None:
                self._leave(session_id, "ended")

    async def _write(self) -> None:
        due = [session for session in self._met.values() if session.last_seen > session.written]
        if due:
            times = {session.id: session.last_seen for session in due}
            await self._offload.run(self._store.seen, times)
            for session in due:
                session.written = times[session.id]
        await self._offload.run(self._store.forget, self._now(), self._idle)
