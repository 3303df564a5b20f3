"""Programs say who they are in a field of each request: by a token, or by an account's password (Basic)."""

from __future__ import annotations

from typing import Final

from supercloud.authn import provenance
from supercloud.authn.authenticate import PrincipalLookup, Viewer
from supercloud.authn.password import Passwords
from supercloud.authn.scope import Need
from supercloud.authn.token import Token, Tokens
from supercloud.authn.token_store import TokenRow
from supercloud.errors import MethodRefused, NotAuthenticated, NotFound, OutOfScope
from supercloud.identity import NoAccount, Principal
from supercloud.message.authorization import Basic, Bearer, holds_token, is_token, read_authorization
from supercloud.message.head import RequestHead

OURS: Final = b"x-supercloud-authorization"
SHOWN_IN: Final = (OURS, b"authorization")  # the fields, by their names in lower case
_STALE: Final = "This token is not good: it expired, was revoked, or is somebody else's. Make a new one at /tokens."
_NOWHERE: Final = "No token opens this. Those that are opened, and how, are told at /api/openapi.json."


def shows_token(head: RequestHead) -> bool:
    """Whether a program shows a token of the portal's. Where applications are, anything else is theirs to read."""
    return any(holds_token(value) for name in SHOWN_IN for value in head.get_all(name))


def is_program(head: RequestHead) -> bool:
    """Whether a program shows a token of the portal's, and no browser that could keep what it gets."""
    return shows_token(head) and not provenance.is_browser(head)


def looks_for_files(head: RequestHead) -> bool:
    """Whether a program asks the root what there is, as Windows does before the folder that it was given."""
    return head.method == b"OPTIONS" and head.path == b"/" and not provenance.is_browser(head)


class Programs:
    """Verifies what programs show; see `authenticate.FieldCheck`.

    :param passwords: None where the site takes none.
    :param tokens: None where the site takes none.
    """

    def __init__(
        self, accounts: PrincipalLookup, *, passwords: Passwords | None = None, tokens: Tokens | None = None
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._tokens = tokens

    def shown(self, head: RequestHead) -> bytes | None:
        """The field's value by which a request says who sent it.

        A browser sends an ``Authorization`` that it remembers by itself, whoever's page asks and whether somebody
        signed out or not, so none of a browser's is looked at. Ours no browser remembers.
        """
        value = head.get(OURS)
        if value is None and not provenance.is_browser(head):
            value = head.get(b"authorization")
        return value

    async def verify(self, value: bytes, need: Need, address: str) -> Viewer:
        """Who it is.

        :raises NotAuthenticated: nobody here.
        :raises OutOfScope, MethodRefused, NotFound: a token for something else, or where none is taken.
        :raises PortalError: as `Passwords.check` does.
        """
        match read_authorization(value):
            case Bearer(text):
                return await self._by_token(text, need)
            case Basic(login, text) if is_token(text):
                viewer = await self._by_token(text, need)
                if viewer.principal.login != login:
                    # The other name may be anything, also a password.
                    raise NotAuthenticated(
                        f"{viewer.credential.told} under another name than its owner's",
                        public=_STALE, claimed=viewer.principal.login,
                    )  # fmt: skip
                return viewer
            case Basic(login, text) if self._passwords is not None:
                password = await self._passwords.verify(login, text, address)
                principal = await self._account(password.principal)
                return Viewer(principal, password, principal.uid, self._passwords)
            case _:
                raise NotAuthenticated("a credential of a kind that is not taken here")

    async def _by_token(self, text: str, need: Need) -> Viewer:
        token = None if self._tokens is None else await self._tokens.read(text)
        if token is None or self._tokens is None:
            raise NotAuthenticated("token refused: it was made for nobody here", public=_STALE)
        if isinstance(token, TokenRow):
            over = self._tokens.why_over(token)
            raise NotAuthenticated(f"token refused: {token.id} is {over}", public=_STALE, claimed=token.login)
        row = token.row
        principal = await self._account(row)
        _check_scope(token, need)
        return Viewer(principal, token, principal.uid, self._tokens)

    async def _account(self, then: Principal | TokenRow) -> Principal:
        """The account as it is now, still called as it was."""
        try:
            principal = await self._accounts.find(then.uid)
        except NoAccount as error:
            raise NotAuthenticated(str(error), claimed=then.login) from None
        if principal.login != then.login:
            raise NotAuthenticated(f"uid {then.uid} was {then.login}, is {principal}", claimed=then.login)
        return principal


def _check_scope(token: Token, need: Need) -> None:
    """:raises PortalError: the token is good, and for something else; says what would do."""
    row = token.row
    if not need.methods and not need.scopes:
        raise NotFound(f"token {row.id}, where none is taken", public=_NOWHERE, claimed=row.login)
    if not need.scopes:
        error = MethodRefused(f"token {row.id}, with a method that takes none", public=_NOWHERE, claimed=row.login)
        error.allow = ", ".join(need.methods).encode("ascii")
        raise error
    if token.scopes.isdisjoint(need.scopes):
        raise OutOfScope(
            f"token {row.id} of {row.login} is for {row.scope}, not {' or '.join(need.scopes)}",
            need.scopes,
            claimed=row.login,
        )
