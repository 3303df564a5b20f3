"""Tokens: passwords for one program and one purpose, which their owner makes, lists and revokes.

A token is shown once. The store has its digest: of 256 random bits one round of SHA-256 is enough, and nobody guesses
them, so failures need no throttle but that few are looked up at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from supercloud.accounts import Offloaded
from supercloud.authn.credential import Credential
from supercloud.authn.recurring import Recurring
from supercloud.authn.scope import Scope, stored_scopes, write_scopes
from supercloud.authn.token_store import TokenRow, TokenStore
from supercloud.identity import Principal
from supercloud.lane import Lane
from supercloud.message.authorization import TOKEN_PREFIX, is_token

MAX_PER_ACCOUNT: Final = 100
MAX_MET: Final = 20_000  # tokens in memory; about 10 MB. Beyond it the least used one ends here, and is met again
# Texts that the store is asked about at once, of all addresses and of one, and how many more of that one wait: made-up
# ones must crowd neither sign-ins nor other people's tokens out of it.
MAX_LOOKING: Final = 50
LOOKING_OF_ONE: Final = 5
LOOKING_WAITING: Final = 100
LONGEST: Final = 366 * 86400.0  # seconds from making to expiry
POLL: Final = 0.5  # seconds; what another process revokes is to be seen within 2 s
WRITE: Final = 30.0  # seconds between two writes of last_used
MAX_NAME: Final = 60  # characters of the owner's note; a list of all tokens fits into one packet of the desk


@dataclass(slots=True, eq=False)
class Token(Credential):
    """A token as this process holds it; `Tokens` makes and ends it.

    :ivar scopes: what it is for.
    :ivar last_used: Unix seconds; written by `Tokens.touch`, and by nobody else.
    :ivar written: ``last_used`` as the store knows it.
    """

    row: TokenRow
    scopes: frozenset[Scope]
    last_used: float
    written: float

    @property
    def told(self) -> str:
        """See `Credential.told`."""
        return f"token {self.row.id}"


class Tokens:
    """The tokens that this process has met, backed by the store; a `Keeper`.

    :param offload: where the store is asked.
    :param now: Unix seconds. The reactor's clock only times the look-ups.
    """

    def __init__(self, *, store: TokenStore, offload: Offloaded, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._store = store
        self._offload = offload
        self._now = now
        self._met: OrderedDict[bytes, Token] = OrderedDict()
        self._looking = Lane("tokens", most=MAX_LOOKING, of_one=LOOKING_OF_ONE, waiting=LOOKING_WAITING)
        self._recurring = (
            Recurring(clock, POLL, self._poll, "looking for revoked tokens"),
            Recurring(clock, WRITE, self._write, "saving last use of tokens"),
        )

    def __len__(self) -> int:
        """Number of tokens in memory."""
        return len(self._met)

    def start(self) -> None:
        """Begin to look what other processes revoked, and to write when tokens were last used."""
        for one in self._recurring:
            one.start()

    async def stop(self) -> None:
        """Write what is due and leave no timer behind."""
        for one in self._recurring:
            one.stop()
        await self._write()

    async def create(
        self, principal: Principal, scopes: tuple[Scope, ...], *, life: float, name: str = ""
    ) -> tuple[str, TokenRow]:
        """Make a token.

        :param scopes: what it is for, as `read_scopes` gives it.
        :param life: seconds.
        :returns: its text, which nobody can tell again, and what is known of it.
        :raises ValueError: the life or the name cannot be; says what would be right.
        :raises TooManyTokens: the account has `MAX_PER_ACCOUNT`.
        """
        if not 60 <= life <= LONGEST:
            raise ValueError(f"a token can be good for a minute to {LONGEST / 86400:.0f} days")
        if len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"a token's name has at most {MAX_NAME} printable characters")
        text = TOKEN_PREFIX + secrets.token_hex(32)
        now = self._now()
        told = write_scopes(scopes)
        row = TokenRow(secrets.token_hex(5), _digest(text), principal.uid, principal.login, told, name, now, now + life)
        await self._offload.run_for(row.uid, self._store.add, row, MAX_PER_ACCOUNT)
        return text, row

    async def verify(self, text: str, address: str = "") -> Token | None:
        """The token with that text; None for what `read` finds to be none or over; raises as it does."""
        found = await self.read(text, address)
        return found if isinstance(found, Token) else None

    async def read(self, text: str, address: str = "") -> Token | TokenRow | None:
        """The token with that text; the row of one that is over; None for what is no token, or unknown.

        :param address: of whoever shows it.
        :raises Busy: the store is being asked about many others of that address.
        :raises Exception: when the store has to be asked and cannot be; never for what ``text`` holds.
        """
        if not is_token(text):
            return None
        digest = _digest(text)
        token, row = self._met.get(digest), None
        if token is None or not self.is_live(token):
            row = await self._look_up(digest, address)
            token = self._met.get(digest)
            if token is None and row is not None and self._now() < row.ends:
                token = self._meet(row)
        if token is None or not self.is_live(token):
            return row
        self._met.move_to_end(digest)
        return token

    def why_over(self, row: TokenRow) -> str:
        """In a word, why what `read` found is no longer good."""
        return "expired" if abs(row.ends) <= self._now() else "revoked"

    def is_live(self, token: Token) -> bool:
        """See `Keeper.is_live`."""
        return token.ended is None and self._now() < token.row.ends

    def touch(self, token: Token) -> None:
        """See `Keeper.touch`."""
        token.last_used = self._now()

    async def list(self, uid: int) -> tuple[TokenRow, ...]:
        """Tokens of an account, oldest first, with those that expired lately. At most `MAX_PER_ACCOUNT`."""
        await self._save()
        return tuple(await self._offload.run_for(uid, self._store.of_account, uid))

    async def revoke(self, uid: int, token_id: str) -> bool:
        """End a token of an account: here at once, in other processes within 2 s.

        :returns: whether the account has such a token.
        """
        for digest, token in list(self._met.items()):
            if token.row.id == token_id and token.row.uid == uid:
                self._leave(digest, "revoked")
        is_done: bool = await self._offload.run_for(uid, self._store.revoke, uid, token_id)
        # An answer of the store that was on its way may have brought it back to memory.
        await self._poll()
        return is_done

    def forget(self, uid: int, reason: str) -> None:
        """End what memory has of an account's tokens, and what depends on them; the store says whether they go on."""
        for digest, token in list(self._met.items()):
            if token.row.uid == uid:
                self._leave(digest, reason)

    async def _look_up(self, digest: bytes, address: str) -> TokenRow | None:
        """A token, also one that is over; whoever stops waiting does not make room for another look-up."""
        await self._looking.enter(address)
        answered: Deferred[TokenRow | None] = Deferred()
        try:
            looking = self._offload.run_for(address, self._store.find, digest)
        except BaseException:
            self._looking.leave(address)
            raise
        looking.addBoth(self._looked_up, address, answered)
        return await answered

    def _looked_up(self, result: Any, address: str, answered: Deferred[TokenRow | None]) -> None:
        self._looking.leave(address)
        answered.callback(result)

    def _meet(self, row: TokenRow) -> Token:
        token = self._met[row.digest] = Token(row, frozenset(stored_scopes(row.scope)), row.last_used, row.last_used)
        if len(self._met) > MAX_MET:
            self._leave(next(iter(self._met)), "too many tokens in use")
        return token

    def _leave(self, digest: bytes, reason: str) -> None:
        token = self._met.pop(digest, None)
        if token is not None:
            token.end(reason)

    async def _poll(self) -> None:
        """Ask which of the tokens in memory are still in the store.

        One that is met meanwhile is asked about the next time.
        """
        asked = {token.row.id: digest for digest, token in self._met.items()}
        if not asked:
            return
        living = await self._offload.run(self._store.living, asked)
        now = self._now()
        for token_id, digest in asked.items():
            token = self._met.get(digest)
            if token_id not in living:
                self._leave(digest, "revoked")
            elif token is not None and now >= token.row.ends:
                self._leave(digest, "expired")

    async def _write(self) -> None:
        await self._save()
        await self._offload.run(self._store.forget, self._now())

    async def _save(self) -> None:
        due = {token.row.id: token for token in self._met.values() if token.last_used > token.written}
        if due:
            times = {token_id: token.last_used for token_id, token in due.items()}
            await self._offload.run(self._store.used, times)
            for token_id, seconds in times.items():
                due[token_id].written = seconds


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()
