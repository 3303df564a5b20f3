"""Answers requests about tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supercloud.authn.authenticate import PrincipalLookup
from supercloud.authn.scope import read_scopes
from supercloud.authn.token import Tokens
from supercloud.authn.token_store import TooManyTokens
from supercloud.desk.service import Asker, Handler
from supercloud.desk.token_wire import CreateToken, Listed, ListTokens, RevokeToken, TokenCreated, TokensListed
from supercloud.desk.wire import Done, Message, Refusal
from supercloud.events import Acts
from supercloud.identity import NoAccount, Principal


class TokenService:
    """``handlers`` is for the desk.

    :param acts: leaves a line of each token that is made or revoked.
    """

    def __init__(self, tokens: Tokens, accounts: PrincipalLookup, acts: Acts) -> None:
        self._acts = acts
        self._tokens = tokens
        self._accounts = accounts

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        """Kind of request to what answers it."""
        return {CreateToken: self._create, ListTokens: self._list, RevokeToken: self._revoke}

    async def _create(self, asker: Asker, request: CreateToken, _descriptors: Sequence[int]) -> Message:
        principal = await self._principal(asker)
        try:
            scopes = read_scopes(request.scope)
            text, row = await self._tokens.create(principal, scopes, life=request.life, name=request.name)
        except ValueError as error:
            raise Refusal("not-possible", str(error)) from None
        except TooManyTokens as error:
            raise Refusal("too-many", f"{error}; revoke one first") from None
        self._tell(principal, asker, "token-made", row.told)
        return TokenCreated(row.id, row.scope, text, row.ends)

    async def _list(self, asker: Asker, _request: ListTokens, _descriptors: Sequence[int]) -> Message:
        principal = await self._principal(asker)
        rows = await self._tokens.list(principal.uid)
        return TokensListed(
            tuple(Listed(row.id, row.scope, row.name, row.created, row.ends, row.last_used) for row in rows)
        )

    async def _revoke(self, asker: Asker, request: RevokeToken, _descriptors: Sequence[int]) -> Message:
        principal = await self._principal(asker)
        if not await self._tokens.revoke(principal.uid, request.id):
            raise Refusal("not-found", f"{principal} has no token {request.id[:40]!a}")
        self._tell(principal, asker, "token-revoked", f"token {request.id}")
        return Done()

    def _tell(self, principal: Principal, asker: Asker, act: str, what: str) -> None:
        self._acts(act, principal.login, by=principal.login, by_uid=asker.uid, way="socket", what=what)

    async def _principal(self, asker: Asker) -> Principal:
        try:
            return await self._accounts.find(asker.uid)
        except NoAccount as error:
            raise Refusal("no-account", str(error)) from None
