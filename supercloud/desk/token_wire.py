"""Tokens at the desk: an account makes, lists and revokes its own; whose they are is what the kernel says."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from supercloud.desk.wire import Message

MOST_TEXT: Final = 400  # characters; what is refused beyond the limits of a token can still be told why

Text = Annotated[str, msgspec.Meta(max_length=MOST_TEXT)]


class CreateToken(Message, frozen=True, tag="create-token"):
    """Answered by `TokenCreated`.

    :ivar scope: what it is for; see `authn.scope.read_scopes`.
    :ivar life: seconds until it expires.
    :ivar name: a note of the owner's.
    """

    scope: Text
    life: float
    name: Text = ""


class ListTokens(Message, frozen=True, tag="list-tokens"):
    """Answered by `TokensListed`."""


class RevokeToken(Message, frozen=True, tag="revoke-token"):
    """Answered by `Done`.

    :ivar id: from `ListTokens`.
    """

    id: Text


# Answers. `Refused` has the codes ``no-account`` (the site lets this account not in), ``not-possible`` (the reason says
# what would be), ``too-many``, ``not-found``, and those of the desk itself.


class TokenCreated(Message, frozen=True, tag="token-created"):
    """:ivar text: the token, which nobody can tell again; ``scope`` says what it is for."""

    id: str
    scope: str
    text: str
    ends: float


class Listed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A token. Times are Unix seconds; ``last_used`` is 0 for never."""

    id: str
    scope: str
    name: str
    created: float
    ends: float
    last_used: float


class TokensListed(Message, frozen=True, tag="tokens-listed"):
    """The account's tokens, oldest first; those that expired lately are among them."""

    tokens: tuple[Listed, ...]
