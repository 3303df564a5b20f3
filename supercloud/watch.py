"""Ends exchanges under way when what let them in has ended: a credential, an account, a forward, a group.

A request pays one entry of a dict. Twice a second the exchanges that are older than that are looked through, so that
nothing is done for those that are over in a moment. What has to be asked about (a forward's file) is asked once for
each viewer, however many exchanges there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supercloud import events
from supercloud.authn.authenticate import Viewer
from supercloud.errors import (
    AccountClosed,
    ForwardChanged,
    ForwardDisabled,
    ForwardUnusable,
    NotAuthenticated,
    NotFound,
    PortalError,
    Undecided,
)
from supercloud.identity import Principal
from supercloud.ownership.authorize import Grant
from supercloud.routing.forwards import Look
from supercloud.target import Forward
from supercloud.upstream.pool import Pool

TICK: Final = 0.5  # seconds between two looks at what is under way
ASK: Final = 0.9  # seconds between two questions about one viewer's use of one forward: every second look
# Seconds that nobody answers about a forward before what it let in ends: a file server may be slow.
PATIENCE: Final = 10.0
# Seconds to find out what a changed file means, before what it let in ends: what says so runs as the viewer and as the
# file's owner, who could stop it. On an idle machine it takes some 10 ms.
GRACE: Final = 1.0
AT_ONCE: Final = 64  # viewers about whom is asked at the same time, each one question after the other
_LOOKED_AT: Final = 500  # exchanges of one step
_STEPS: Final = 20  # of one turn of the reactor; ending an exchange is one: about 4 ms together

_GONE: Final = (NotFound, ForwardDisabled, ForwardUnusable, AccountClosed)


class Exchange(Protocol):
    """What the watch needs of one; see front.exchange."""

    def end_access(self, error: PortalError, told: str) -> None: ...


class ForwardLook(Protocol):
    """Asks about forwards; see access."""

    async def look_again(self, principal: Principal, forward: Forward) -> Look:
        """:raises PortalError: nobody can say."""

    async def find_again(self, principal: Principal, forward: Forward) -> Forward:
        """:raises PortalError: it may not be used, or nobody can say."""


Basis = tuple[Viewer, Forward | None, Grant | None]
"""What let an exchange in, as far as it has come."""
_IsMeant = Callable[[Viewer, Forward | None, Grant | None], bool]


@dataclass(slots=True, eq=False)
class _Use:
    """One viewer's use of one forward.

    :ivar forward: as it was when somebody answered last: its file may have been written anew with the same content.
    :ivar answered, asked: by the clock.
    :ivar judged: why somebody is being asked at this moment what the file means now.
    """

    principal: Principal
    let_in: Forward
    forward: Forward
    answered: float
    asked: float = 0.0
    judged: set[Look] = field(default_factory=set)


class Watch:
    """Exchanges under way.

    :param refusal: why an account may not be used now; None when it may.
    :ivar running: whatever is under way and what it stands on; the pipeline writes it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        forwards: ForwardLook,
        pool: Pool[Grant],
        refusal: Callable[[int], PortalError | None],
    ) -> None:
        self._clock = clock
        self._forwards = forwards
        self._pool = pool
        self._refusal = refusal
        self.running: dict[Exchange, Basis] = {}
        self._older: set[Exchange] = set()
        self._uses: dict[tuple[int, Forward], _Use] = {}
        self._asking: set[int] = set()
        self._askers = DeferredSemaphore(AT_ONCE)
        self._calls: set[IDelayedCall] = set()
        self._is_stopped = False

    def start(self) -> None:
        """Begin to look."""
        self._later(TICK, self._tick)

    def stop(self) -> None:
        """Leave no timer behind."""
        self._is_stopped = True
        for call in self._calls:
            call.cancel()
        self._calls.clear()

    @property
    def in_use(self) -> dict[int, str]:
        """Uid and login of whoever has something under way, or a connection that is kept."""
        running = {viewer.principal.uid: viewer.principal.login for viewer, _, _ in self.running.values()}
        return running | {grant.permit.principal.uid: grant.permit.principal.login for grant in self._pool.grants}

    def end_account(self, uid: int, error: PortalError, told: str, then: Callable[[], object] = lambda: None) -> None:
        """End all that an account has under way, and then what it stands on."""
        self._pool.revoke(lambda key, _: key.uid == uid)
        self._work(self._end(lambda viewer, _, __: viewer.principal.uid == uid, error, told), then)

    def end_grants(self, is_meant: Callable[[Grant], bool], error: PortalError, told: str) -> None:
        """End what goes over connections that would not be made any more, and keep none of them."""
        self._pool.revoke(lambda _, grant: is_meant(grant))
        self._work(self._end(lambda _, __, grant: grant is not None and is_meant(grant), error, told))

    def _tick(self) -> None:
        self._work(self._look(), lambda: self._later(TICK, self._tick))

    def _look(self) -> Iterator[None]:
        """Look at all that were there at the last look; the next step after each yield."""
        older, self._older = self._older, set(self.running)
        used: dict[tuple[int, Forward], Principal] = {}
        for number, exchange in enumerate(older):
            if number % _LOOKED_AT == 0:
                yield
            basis = self.running.get(exchange)
            if basis is None:
                continue
            viewer, forward, _ = basis
            if viewer.credential.ended is not None:
                self._end_with_credential(exchange, viewer, viewer.credential.ended)
                yield
            elif forward is not None:
                used[viewer.principal.uid, forward] = viewer.principal
        self._ask_about(used)

    def _end_with_credential(self, exchange: Exchange, viewer: Viewer, reason: str) -> None:
        error = self._refusal(viewer.principal.uid) or NotAuthenticated(f"{viewer.principal}: {reason}")
        self._tell(exchange, error, reason)

    def _tell(self, exchange: Exchange, error: PortalError, told: str) -> None:
        """End one; if that fails, the others are ended all the same."""
        try:
            exchange.end_access(error, told)
        except Exception:
            events.unexpected("ending an exchange")

    def _ask_about(self, used: dict[tuple[int, Forward], Principal]) -> None:
        now = self._clock.seconds()
        self._uses = {
            key: self._uses.get(key) or _Use(principal, key[1], key[1], now) for key, principal in used.items()
        }
        due: dict[int, list[_Use]] = {}
        for (uid, forward), use in self._uses.items():
            silence = now - use.answered
            if silence > PATIENCE:
                why = Undecided(f"nobody could say for {silence:.0f} s whether {use.principal} may still use {forward}")
                self._end_use(use, why)
            if now - use.asked >= ASK and uid not in self._asking:
                use.asked = now
                due.setdefault(uid, []).append(use)
        for uid, uses in due.items():
            self._asking.add(uid)
            events.watch(self._askers.run(self._ask, uid, uses), "asking about forwards in use")

    def _ask(self, uid: int, uses: list[_Use]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ask_one_by_one(uid, uses))

    async def _ask_one_by_one(self, uid: int, uses: list[_Use]) -> None:
        try:
            for use in uses:
                await self._ask_one(use)
        finally:
            self._asking.discard(uid)

    async def _ask_one(self, use: _Use) -> None:
        try:
            look = await self._forwards.look_again(use.principal, use.forward)
        except _GONE as error:
            self._end_use(use, error)
            return
        except PortalError:
            return  # nobody can say; see PATIENCE
        if look is Look.SAME:
            use.answered = self._clock.seconds()
            return
        if look not in use.judged:
            use.judged.add(look)
            events.watch(Deferred.fromCoroutine(self._judge(use, look)), "asking about a forward in use")

    async def _judge(self, use: _Use, look: Look) -> None:
        """Find out what the file means now; nobody else waits for that, nor does the next look at its state."""
        has_changed = look is Look.CHANGED
        asking = Deferred.fromCoroutine(self._forwards.find_again(use.principal, use.forward))
        if has_changed:
            asking.addTimeout(GRACE, self._clock)
        try:
            found = await asking
        except _GONE as error:
            self._end_use(use, error)
        except (PortalError, TimeoutError) as error:
            if has_changed:  # else nobody can say; see PATIENCE
                self._end_use(use, ForwardChanged(f"{use.forward} was changed, and nobody can say how: {error}"))
        else:
            use.answered = self._clock.seconds()
            if _is_alike(use.forward, found):
                use.forward = found
            else:
                self._end_use(use, ForwardChanged(f"{use.forward} was changed: it is {found}"))
        finally:
            use.judged.discard(look)

    def _end_use(self, use: _Use, error: PortalError) -> None:
        uid, forward = use.principal.uid, use.let_in
        is_changed = isinstance(error, ForwardChanged)
        told = "the forward was changed" if is_changed else "the forward may not be used any more"
        self._pool.revoke(lambda key, _: key.uid == uid and key.forward == forward)
        self._work(self._end(lambda viewer, by, _: by == forward and viewer.principal.uid == uid, error, told))

    def _end(self, is_meant: _IsMeant, error: PortalError, told: str) -> Iterator[None]:
        for number, (exchange, basis) in enumerate(list(self.running.items())):
            if number % _LOOKED_AT == 0:
                yield
            if is_meant(*basis):
                self._tell(exchange, error, told)
                yield

    def _work(self, steps: Iterator[None], then: Callable[[], object] = lambda: None) -> None:
        """Do a few steps, and the rest in later turns of the reactor."""
        for _ in range(_STEPS):
            try:
                next(steps)
            except StopIteration:
                then()
                return
            except Exception:
                events.unexpected("ending what is let in no more")
                then()  # the next look finds what was left out
                return
        self._later(0, lambda: self._work(steps, then))

    def _later(self, seconds: float, work: Callable[[], object]) -> None:
        def do() -> None:
            self._calls.discard(call)
            work()

        if not self._is_stopped:
            call = self._clock.callLater(seconds, do)
            self._calls.add(call)


def _is_alike(before: Forward, now: Forward) -> bool:
    """Whether the file is the same one, whose it was and for whom it was, and leads where it led."""
    return _essence(before) == _essence(now)


def _essence(forward: Forward) -> tuple[object, ...]:
    file = forward.reservation
    where = (forward.application, forward.base, forward.is_tls, forward.authorization)
    return (*where, file.device, file.inode, file.uid, file.gid, file.mode)
