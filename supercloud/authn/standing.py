"""Which accounts may be used now: administrators' locks, and what the account database says about those in use.

A lock counts in all of the portal's processes within a second. The account database is asked before somebody is let in
about whom it was not asked lately, and every ten seconds about whoever was seen lately. What it cannot answer closes no
account: a fresh request would be let in as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supercloud import events
from supercloud.accounts import Offloaded
from supercloud.authn.lock_store import LockRow, LockStore
from supercloud.authn.recurring import Recurring
from supercloud.errors import AccountClosed, PortalError
from supercloud.identity import NoAccount, Principal
from supercloud.monitor.wire import AccountState

POLL: Final = 0.5  # seconds; what an administrator locks is to be seen within 2 s
LOOK: Final = 10.0  # seconds between two rounds; what changed in the account database counts within 30 s
SEEN: Final = 60.0  # seconds for which an account counts as in use after it was let in
LATELY: Final = 20.0  # seconds for which what was said about an account lets it in: two rounds
AT_ONCE: Final = 4  # questions at the same time; thousands of accounts make no burst

# What may not be used, and why; /etc/nologin ("closed") keeps out whoever is not in yet.
CLOSED: Final[dict[AccountState, str]] = {
    "unknown": "This account does not exist on the cluster any more.",
    "renamed": "This account was renamed. Sign out, and sign in under its new name.",
    "root": "Nobody works here as root. Sign in as yourself.",
    "below-minimum": "Accounts of the system are not let in. Sign in as yourself.",
    "locked": "This account is locked. The site's support can say why.",
    "expired": "This account, or its password, has expired. Renew it by ssh, or ask the site's support.",
    "no-shell": "This account has no login shell, so nobody is let in with it. The site's support can give it one.",
}
_LOCKED: Final = "An administrator has locked this account for the portal."


class PrincipalLookup(Protocol):
    """Reads an account afresh."""

    async def find(self, key: str | int) -> Principal: ...


class Close(Protocol):
    """Ends all that an account has; see closing."""

    def __call__(self, error: AccountClosed, uid: int, told: str, *, for_good: bool) -> object:
        """:param error: what its requests are answered from now on.
        :param told: why, in a few words.
        :param for_good: sessions do not come back when the account may be used again.
        """


class Standing:
    """The accounts that are kept out.

    :param storage: where the store is asked.
    :param state_of: asks whether an account may be used; raises `PortalError` when nobody can say.
    """

    def __init__(
        self,
        *,
        store: LockStore,
        storage: Offloaded,
        accounts: PrincipalLookup,
        state_of: Callable[[int], Awaitable[AccountState]],
        clock: IReactorTime,
    ) -> None:
        self._store = store
        self._storage = storage
        self._accounts = accounts
        self._state_of = state_of
        self._clock = clock
        self._locks: dict[int, LockRow] = {}
        self._closed: dict[int, tuple[str, AccountState]] = {}
        self._seen: dict[int, tuple[str, float]] = {}
        self._asked: dict[int, float] = {}
        self._asking: dict[int, list[Deferred[None]]] = {}
        self._in_use: Callable[[], Mapping[int, str]] = dict
        self._close: Close | None = None
        self._askers = DeferredSemaphore(AT_ONCE)
        self._recurring = (
            Recurring(clock, POLL, self._poll, "looking for locked accounts"),
            Recurring(clock, LOOK, self._look, "looking after accounts in use"),
        )

    def start(self, in_use: Callable[[], Mapping[int, str]], close: Close) -> None:
        """Read the locks, which blocks, before anybody is let in; and begin to look.

        :param in_use: uid and login of whoever has something under way or kept.
        """
        self._in_use, self._close = in_use, close
        self._locks = {row.uid: row for row in self._store.all()}
        for one in self._recurring:
            one.start()

    def stop(self) -> None:
        """Leave no timer behind."""
        for one in self._recurring:
            one.stop()

    def refusal(self, uid: int) -> AccountClosed | None:
        """What a request of the account is answered; None when it may be used."""
        lock = self._locks.get(uid)
        if lock is not None:
            return AccountClosed(
                f"{lock.login} is locked by an administrator: {lock.reason or 'no reason given'}",
                public=f"{_LOCKED} {lock.reason}".rstrip(),
                claimed=lock.login,
            )
        closed = self._closed.get(uid)
        if closed is not None:
            login, state = closed
            return AccountClosed(f"{login} is {state}", public=CLOSED[state], claimed=login)
        return None

    async def learn(self, principal: Principal) -> None:
        """Ask about somebody who shows a right credential, unless that was done lately; `refusal` knows the answer.

        Who comes at the same time waits for the same answer.
        """
        uid = principal.uid
        if self._clock.seconds() - self._asked.get(uid, -LATELY) < LATELY:
            return
        waiting: Deferred[None] = Deferred()
        others = self._asking.setdefault(uid, [])
        others.append(waiting)
        if len(others) == 1:
            # On its own: whoever came first may leave before the others.
            asking = self._ask(uid, principal.login).addBoth(self._answer, uid)
            events.watch(asking, f"asking about {principal}")
        await waiting

    def seen(self, principal: Principal) -> None:
        """Somebody was let in."""
        self._seen[principal.uid] = principal.login, self._clock.seconds()

    async def _poll(self) -> None:
        locks = {row.uid: row for row in await self._storage.run(self._store.all)}
        new, old = locks.keys() - self._locks.keys(), self._locks.keys() - locks.keys()
        unlocked = [self._locks[uid].login for uid in old]
        self._locks = locks
        for login in unlocked:
            events.let_in_again(login)
        for uid in new:
            self._tell(uid, locks[uid].login, "locked by an administrator")

    async def _look(self) -> None:
        now = self._clock.seconds()
        self._seen = {uid: seen for uid, seen in self._seen.items() if now - seen[1] < SEEN}
        self._asked = {uid: when for uid, when in self._asked.items() if now - when < LATELY}
        known = {**self._in_use(), **{uid: login for uid, (login, _) in (self._seen | self._closed).items()}}
        await gatherResults([self._askers.run(self._ask, uid, login) for uid, login in known.items()])

    def _ask(self, uid: int, login: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ask_about(uid, login))

    def _answer(self, result: Failure | None, uid: int) -> Failure | None:
        for one in self._asking.pop(uid):
            if not one.called:  # or its exchange is over
                one.callback(None)
        return result

    async def _ask_about(self, uid: int, login: str) -> None:
        try:
            state = await self._read(uid, login)
        except PortalError:
            return
        finally:
            self._asked[uid] = self._clock.seconds()
        if state not in CLOSED:
            if self._closed.pop(uid, None) is not None:
                events.let_in_again(login)
        elif uid not in self._closed:
            self._closed[uid] = login, state
            self._tell(uid, login, f"the account is {state}")

    async def _read(self, uid: int, login: str) -> AccountState:
        try:
            found = await self._accounts.find(uid)
        except NoAccount:
            return "unknown"
        return "renamed" if found.login != login else await self._state_of(uid)

    def _tell(self, uid: int, login: str, why: str) -> None:
        events.kept_out(login, why)
        error = self.refusal(uid)
        if error is not None and self._close is not None:
            self._close(error, uid, why, for_good=uid in self._locks)
