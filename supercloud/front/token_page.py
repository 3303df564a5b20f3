"""``/tokens``: people list, make and revoke their tokens, each for one program."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from supercloud.authn.authenticate import Viewer
from supercloud.authn.scope import (
    ABOUT,
    Scope,
    describe,
    forward_scope,
    read_scopes,
    shown_scopes,
    stored_scopes,
    write_scopes,
)
from supercloud.authn.token import MAX_PER_ACCOUNT, Token, Tokens
from supercloud.authn.token_store import TokenRow, TooManyTokens
from supercloud.config_values import Duration
from supercloud.errors import Elsewhere, MethodRefused, NotFound
from supercloud.events import Acts
from supercloud.front import pages
from supercloud.front.exchange import Exchange
from supercloud.front.form import read_form
from supercloud.identity import Principal
from supercloud.target import Origin, is_forward_name

_JSON: Final = [
    (b"Content-Type", b"application/json"),
    (b"Cache-Control", b"no-store"),
    (b"X-Content-Type-Options", b"nosniff"),
]


class TokenPage:
    """Answers ``/tokens`` on the portal's own origin.

    :param acts: leaves a line of each token that is made or revoked.
    :param links: on top of the page.
    """

    def __init__(self, tokens: Tokens, acts: Acts, links: str = "") -> None:
        self._tokens = tokens
        self._acts = acts
        self._links = links

    async def answer(self, exchange: Exchange, viewer: Viewer, origin: Origin) -> None:
        """Show, make or revoke. A token is no way to another one: only who signed in is let in here.

        :raises NotAuthenticated: the viewer has no session.
        :raises PortalError: the form cannot be read.
        """
        uid = viewer.session.uid
        if exchange.head.method in (b"GET", b"HEAD"):
            await self._show(exchange, viewer.principal)
        elif exchange.head.method != b"POST":
            raise MethodRefused("/tokens is GET and POST")
        else:
            form = await read_form(exchange)
            if form.get("do") == "revoke":
                if await self._tokens.revoke(uid, token_id := form.get("id", "")):
                    self._tell(exchange, viewer.principal, "token-revoked", f"token {token_id}")
                raise Elsewhere(f"{origin.url}/tokens")
            await self._make(exchange, viewer.principal, form)

    def tell(self, exchange: Exchange, viewer: Viewer) -> None:
        """Tell a program what its own token is for.

        :raises NotFound: it showed something else.
        """
        token = viewer.credential
        if not isinstance(token, Token):
            raise NotFound(f"{viewer.principal} shows no token", public="You show no token here.")
        row = token.row
        told = {"id": row.id, "name": row.name, "for": stored_scopes(row.scope), "ends": row.ends}
        exchange.respond(200, _JSON, msgspec.json.encode(told))

    async def _make(self, exchange: Exchange, principal: Principal, form: dict[str, str]) -> None:
        try:
            life = Duration.parse(form.get("expires", ""))
            scopes = _scopes(form)
            text, row = await self._tokens.create(principal, scopes, life=life, name=form.get("name", "").strip())
        except ValueError as error:
            await self._show(exchange, principal, note=str(error), status=400)
        except TooManyTokens:
            note = f"You have {MAX_PER_ACCOUNT} tokens, which is the most; revoke one first."
            await self._show(exchange, principal, note=note, status=409)
        else:
            self._tell(exchange, principal, "token-made", row.told)
            await self._show(exchange, principal, made=pages.MadeToken(text, [(one, describe(one)) for one in scopes]))

    def _tell(self, exchange: Exchange, principal: Principal, act: str, what: str) -> None:
        self._acts(
            act, principal.login, by=principal.login, by_uid=principal.uid, way="page", what=what,
            address=exchange.address,
        )  # fmt: skip

    async def _show(
        self,
        exchange: Exchange,
        principal: Principal,
        *,
        made: pages.MadeToken | None = None,
        note: str = "",
        status: int = 200,
    ) -> None:
        rows = await self._tokens.list(principal.uid)
        listed = [pages.ListedToken(row.id, row.name, shown_scopes(row.scope), told(row)) for row in rows]
        body = pages.tokens(principal.login, listed, ABOUT.items(), made=made, note=note, links=self._links)
        exchange.respond(status, pages.FIELDS, body)


def _scopes(form: dict[str, str]) -> tuple[Scope, ...]:
    """:raises ValueError: says what would be right."""
    chosen = [scope for scope in ABOUT if form.get(f"for-{scope}")]
    forward = form.get("forward", "").strip()
    if forward:
        if not is_forward_name(forward):
            raise ValueError("Write the name of the forward that the token is to open, as the page Forwards has it.")
        chosen.append(forward_scope(forward))
    if not chosen:
        raise ValueError("Say what the token is to be for: it opens nothing else.")
    return read_scopes(write_scopes(tuple(chosen)))


def told(row: TokenRow) -> str:
    """When a token was made, ends and was used, in UTC."""
    used = f"last used {_day(row.last_used)}" if row.last_used else "never used"
    return f"made {_day(row.created)}, {used}, ends {_day(row.ends)} UTC"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
