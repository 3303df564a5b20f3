"""Passwords: checked by PAM through the monitor, and remembered for a short time, so that a mounted drive does not
run PAM for each of its requests.

What is remembered is a digest under a key of this process, never a password. A password that was changed is good until
it is forgotten; one that was wrong is never remembered.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supercloud import events
from supercloud.authn.authenticate import PrincipalLookup
from supercloud.authn.checks import Checks
from supercloud.authn.claim import Claims
from supercloud.authn.credential import Credential
from supercloud.authn.throttle import Attempt, Throttle
from supercloud.errors import AccountClosed, Busy, NotAuthenticated, PortalError
from supercloud.identity import NoAccount, Principal, is_login
from supercloud.monitor.wire import PasswordOutcome
from supercloud.secret import Secret

REMEMBERED: Final = 300.0  # seconds
MAX_REMEMBERED: Final = 10_000  # about 3 MB; beyond it the oldest is asked about again
MAX_OF_ONE: Final = 32  # of one account, which has as many as it has addresses; so it makes nobody else's be forgotten

# Told to whoever showed the right password, but for the last one, which says nothing about an account.
_CLOSED: Final[dict[PasswordOutcome, str]] = {
    "locked": "This account is locked. The site's administrators can say why.",
    "expired": "This account or its password has expired. Change the password, or ask the site's administrators.",
    "no-shell": "This account has no login shell, so nobody is let in with it. The site's support can give it one.",
    "closed": "The site lets nobody in for now. Try again later.",
}
WRONG: Final = "That login and password do not fit."


class PasswordCheck(Protocol):
    """Asks whether a password is an account's; see monitor.client."""

    async def check_password(self, login: str, password: bytes | bytearray, address: str) -> PasswordOutcome:
        """What cannot be an account's name or a password is ``bad``.

        :param address: of the browser.
        :raises PortalError: nobody answers.
        """
        ...


class KnownAccounts(PrincipalLookup, Protocol):
    """Reads accounts afresh, and knows of those that are not let in."""

    async def exists(self, login: str) -> bool: ...


@dataclass(slots=True, eq=False)
class Password(Credential):
    """An account's password, which was right.

    :ivar ends: by the clock; then it is asked about again.
    """

    principal: Principal
    ends: float

    @property
    def told(self) -> str:
        """See `Credential.told`."""
        return "password"


class Passwords:
    """Asks about passwords, once at a time for the same one at the same address; a `Keeper`.

    :param remember: seconds for which `verify` does not ask again.
    """

    def __init__(
        self,
        *,
        check: PasswordCheck,
        accounts: KnownAccounts,
        throttle: Throttle,
        clock: IReactorTime,
        remember: float = REMEMBERED,
    ) -> None:
        self._check = check
        self._accounts = accounts
        self._claims = Claims(accounts.exists)
        self._throttle = throttle
        self._checks = Checks()
        self._clock = clock
        self._remember = remember
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, Password] = OrderedDict()
        self._of: dict[int, OrderedDict[bytes, None]] = {}  # the same by account, for as long as there are any
        self._asking: dict[bytes, list[Deferred[Password]]] = {}

    def __len__(self) -> int:
        """How many are remembered; at most `MAX_REMEMBERED`."""
        return len(self._right)

    async def verify(self, login: str, password: Secret, address: str) -> Password:
        """For each request of a program: remembered at that address, or else asked about; raises as `check` does.

        While somebody seems to guess the account's password nothing is answered from memory, nor from a question of
        somebody else's: such answers do not wait, so a right guess could be told from a wrong one as fast as one asks.
        """
        digest = self._digest(login, password, address)
        if self._throttle.is_calm(login):
            known = self._right.get(digest)
            if known is not None and self.is_live(known):
                password.wipe()
                return known
            if digest in self._asking:
                password.wipe()
                return await _wait(self._asking[digest])
        return await self.check(login, password, address)

    async def check(self, login: str, password: Secret, address: str, known: bytes = b"") -> Password:
        """For somebody who signs in: ask, after whatever delay earlier failures have earned.

        Whoever stops waiting does not end the question, so that leaving early leaves no failure uncounted.

        :param password: overwritten as soon as the monitor has it, or will not get it.
        :param known: see `KnownBrowsers.read`.
        :raises NotAuthenticated: it is not the account's, or there is no such account here: one text for all.
        :raises AccountClosed: the account may not be used now.
        :raises Busy: nobody could say, or too many wait.
        """
        digest = self._digest(login, password, address)
        waiting: list[Deferred[Password]] = []
        self._asking.setdefault(digest, waiting)
        answered = _wait(waiting)
        asking = Deferred.fromCoroutine(self._ask(login, password, address, known))
        events.watch(asking.addBoth(self._answer, digest, waiting), "asking about a password")
        return await answered

    def is_live(self, password: Password) -> bool:
        """See `Keeper.is_live`."""
        return password.ended is None and self._clock.seconds() < password.ends

    def touch(self, password: Password) -> None:
        """See `Keeper.touch`: using it does not make it good for longer."""

    def forget(self, uid: int, reason: str) -> None:
        """Ask again about an account's passwords, and end what depends on the remembered ones."""
        for digest in list(self._of.get(uid, ())):
            self._drop(digest).end(reason)

    def _digest(self, login: str, password: Secret, address: str) -> bytes:
        made = hashlib.blake2b(key=self._key, digest_size=32)
        for part in (address.encode("utf-8", "surrogatepass"), login.encode("utf-8", "surrogatepass"), password.data):
            made.update(b"%d:" % len(part))
            made.update(part)
        return made.digest()

    def _answer(self, result: Password | Failure, digest: bytes, waiting: list[Deferred[Password]]) -> None:
        if isinstance(result, Password):
            self._keep(digest, result)
        if self._asking.get(digest) is waiting:
            del self._asking[digest]
        for one in waiting:
            one.callback(result)

    def _keep(self, digest: bytes, password: Password) -> None:
        if digest in self._right:
            self._drop(digest)
        self._right[digest] = password
        own = self._of.setdefault(password.principal.uid, OrderedDict())
        own[digest] = None
        if len(own) > MAX_OF_ONE:
            self._drop(next(iter(own)))
        now = self._clock.seconds()
        while self._right and (len(self._right) > MAX_REMEMBERED or next(iter(self._right.values())).ends <= now):
            self._drop(next(iter(self._right)))

    def _drop(self, digest: bytes) -> Password:
        password = self._right.pop(digest)
        own = self._of[password.principal.uid]
        del own[digest]
        if not own:
            del self._of[password.principal.uid]
        return password

    async def _ask(self, login: str, password: Secret, address: str, known: bytes) -> Password:
        claim = self._claims.of(login)
        try:
            # What can be nobody's name costs no time to refuse: all such count as one account.
            attempt = await self._throttle.admit(address, login if is_login(login) else "", known)
            self._claims.look_up(claim, login)
            outcome = await self._outcome(attempt, login, password, address, known)
        except PortalError as error:
            error.claimed = claim.shown
            raise
        finally:
            password.wipe()
        if outcome != "good":
            _refuse(outcome, claim.shown, address)
        try:
            principal = await self._accounts.find(login)
        except NoAccount as error:
            events.login_failed("password", address, str(error))
            raise NotAuthenticated(str(error), public=WRONG, claimed=claim.shown) from None
        return Password(principal, self._clock.seconds() + self._remember)

    async def _outcome(
        self, attempt: Attempt, login: str, password: Secret, address: str, known: bytes
    ) -> PasswordOutcome:
        outcome: PasswordOutcome = "broken"
        try:
            outcome = await self._checks.run(
                lambda: self._check.check_password(login, password.data, address),
                address=address,
                account=login,
                known=known,
            )
        finally:
            _count(attempt, outcome)
        return outcome


def _count(attempt: Attempt, outcome: PasswordOutcome) -> None:
    if outcome == "good":
        attempt.succeeded()
    elif outcome == "bad":
        attempt.failed()
    else:
        attempt.undecided()


def _wait(waiting: list[Deferred[Password]]) -> Deferred[Password]:
    answered: Deferred[Password] = Deferred()
    waiting.append(answered)
    return answered


def _refuse(outcome: PasswordOutcome, claimed: str, address: str) -> NoReturn:
    reason = f"password of {claimed}: {outcome}"
    events.login_failed("password", address, reason)
    if outcome == "bad":
        raise NotAuthenticated(reason, public=WRONG, claimed=claimed)
    if outcome in _CLOSED:
        raise AccountClosed(reason, public=_CLOSED[outcome], claimed=claimed)
    words = "The portal could not check the password. Try again in a moment."
    raise Busy(reason, public=words, claimed=claimed)
