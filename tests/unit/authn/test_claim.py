"""A name that somebody gave is written out only if it is an account's."""

from __future__ import annotations

import re

import pytest
from twisted.internet.defer import Deferred

from supercloud.authn.claim import Claim, Claims
from supercloud.errors import Busy
from supercloud.identity import is_login


async def _is_alices(login: str) -> bool:
    return login == "alice"


def claim(claims: Claims, text: str) -> Claim:
    made = claims.of(text)
    claims.look_up(made, text)
    return made


def test_an_accounts_name_is_written_out() -> None:
    assert claim(Claims(_is_alices), "alice").shown == "alice"


@pytest.mark.parametrize(
    "typed", ["hunter2", "Tr0ub4dor&3", "", "alice ", "alicee", "a" * 10_000, "ä\n\"'\x00", "\ud800", "scp_" + "0" * 64]
)
def test_anything_else_may_be_a_password_and_is_eight_digits(typed: str) -> None:
    shown = claim(Claims(_is_alices), typed).shown
    assert re.fullmatch(r"\?[0-9a-f]{8}", shown)
    assert not is_login(shown)


def test_the_same_is_known_again_here_and_nowhere_else() -> None:
    claims = Claims(_is_alices)
    assert claims.of("hunter2").shown == claims.of("hunter2").shown != claims.of("hunter3").shown
    assert claims.of("hunter2").shown != Claims(_is_alices).of("hunter2").shown


def test_only_what_an_account_can_be_called_is_looked_up() -> None:
    asked: list[str] = []

    async def exists(login: str) -> bool:
        asked.append(login)
        return False

    for typed in ("hunter2", "../x", "a b", "x" * 300):
        claim(Claims(exists), typed)
    assert asked == ["hunter2"]


def test_nobody_waits_for_the_look_up_and_until_then_it_is_a_digest() -> None:
    answer: Deferred[bool] = Deferred()

    async def exists(login: str) -> bool:
        return await answer

    made = claim(Claims(exists), "alice")
    assert made.shown.startswith("?")
    answer.callback(True)
    assert made.shown == "alice"


def test_where_too_much_is_looked_up_it_stays_a_digest() -> None:
    async def exists(login: str) -> bool:
        raise Busy

    assert claim(Claims(exists), "alice").shown.startswith("?")
