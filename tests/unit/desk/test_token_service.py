"""Tokens at the desk; whose they are is what the kernel says of who asks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from twisted.internet.task import Clock

from supercloud.authn.scope import DAV
from supercloud.authn.token import MAX_NAME, MAX_PER_ACCOUNT, Tokens
from supercloud.desk.service import Asker
from supercloud.desk.token_service import TokenService
from supercloud.desk.token_wire import CreateToken, ListTokens, RevokeToken, TokenCreated, TokensListed
from supercloud.desk.wire import Done, Message, Refusal
from supercloud.events import Acts, Audit
from supercloud.packets import MOST_BYTES
from tests.fakes.accounts import ALICE, BOB, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload
from tests.fakes.tokens import FakeTokenStore

DAY = 86400.0


class Desk:
    def __init__(self) -> None:
        clock = Clock()
        clock.advance(1_000_000.0)
        self.accounts = FakeAccounts()
        self.written: list[bytes] = []
        self.audit = Audit(clock, self.written.append)
        self.tokens = Tokens(store=FakeTokenStore(), offload=FakeOffload(), clock=clock, now=clock.seconds)
        self.handlers = TokenService(self.tokens, self.accounts, Acts(self.audit, clock.seconds)).handlers

    def ask(self, request: Message, *, uid: int = 1001) -> Message:
        asker = Asker(pid=1, uid=uid, gid=uid, groups=frozenset())
        answer: Message = run(self.handlers[type(request)](asker, request, ()))
        return answer

    def create(self, *, uid: int = 1001) -> TokenCreated:
        made = self.ask(CreateToken("dav", DAY, "laptop"), uid=uid)
        assert isinstance(made, TokenCreated)
        return made

    def acts(self) -> list[dict[str, Any]]:
        """What was left in the audit so far."""
        self.audit.flush()
        return [json.loads(line) for lines in self.written for line in lines.splitlines()]

    def listed(self, *, uid: int = 1001) -> list[str]:
        answer = self.ask(ListTokens(), uid=uid)
        assert isinstance(answer, TokensListed)
        return [one.id for one in answer.tokens]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_who_asks_gets_a_token_of_their_own(desk: Desk) -> None:
    for principal in (ALICE, BOB):
        made = desk.create(uid=principal.uid)
        token = run(desk.tokens.verify(made.text, "192.0.2.7"))
        assert token is not None
        assert (token.row.uid, token.row.login, token.scopes) == (principal.uid, principal.login, {DAV})
        assert made.ends == token.row.ends


def test_everybody_sees_their_own_and_no_text(desk: Desk) -> None:
    hers, _ = desk.create(), desk.create(uid=1002)
    assert desk.listed() == [hers.id]
    assert hers.text.encode() not in msgspec.msgpack.encode(desk.ask(ListTokens()))


def test_a_revoked_one_is_over(desk: Desk) -> None:
    made = desk.create()
    assert desk.ask(RevokeToken(made.id)) == Done()
    assert run(desk.tokens.verify(made.text, "192.0.2.7")) is None


def test_nobody_revokes_somebody_elses(desk: Desk) -> None:
    made = desk.create()
    with pytest.raises(Refusal, match="not-found"):
        desk.ask(RevokeToken(made.id), uid=1002)
    assert run(desk.tokens.verify(made.text, "192.0.2.7")) is not None


@pytest.mark.parametrize("uid", [0, 999, 65534])
@pytest.mark.parametrize("request_", [CreateToken("dav", DAY), ListTokens(), RevokeToken("x")])
def test_whom_the_site_does_not_let_in_has_no_tokens(desk: Desk, uid: int, request_: Message) -> None:
    with pytest.raises(Refusal, match="no-account"):
        desk.ask(request_, uid=uid)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (CreateToken("root", DAY), "write read, jobs, forwards, keys, dav or forward:NAME"),
        (CreateToken("dav", 1.0), "a minute to 366 days"),
        (CreateToken("dav", float("nan")), "a minute to 366 days"),
        (CreateToken("dav", DAY, "a\nb"), "printable"),
    ],
)
def test_what_cannot_be_made_is_said_so(desk: Desk, request_: CreateToken, says: str) -> None:
    with pytest.raises(Refusal, match=says) as caught:
        desk.ask(request_)
    assert caught.value.code == "not-possible"


def test_as_many_as_an_account_may_have_fit_into_one_answer(desk: Desk) -> None:
    for _ in range(MAX_PER_ACCOUNT):
        desk.ask(CreateToken("forward:" + "x" * 255 + ",read,jobs,forwards,keys,dav", DAY, "\U0001f511" * MAX_NAME))
    assert len(msgspec.msgpack.encode(desk.ask(ListTokens()))) < MOST_BYTES
    with pytest.raises(Refusal, match="revoke one first"):
        desk.create()


def test_each_that_is_made_or_revoked_leaves_a_line_of_who_did_it_and_which(desk: Desk) -> None:
    made = desk.create()
    desk.ask(RevokeToken(made.id))
    begun, ended = desk.acts()
    assert begun == {
        "time": "1970-01-12T13:46:40Z",
        "act": "token-made",
        "account": "alice",
        "by": "alice",
        "by_uid": 1001,
        "way": "socket",
        "what": f"token {made.id} for dav, called 'laptop', until 1970-01-13 13:46 UTC",
        "address": "",
        "login_uid": None,
    }
    assert (ended["act"], ended["what"], ended["by_uid"]) == ("token-revoked", f"token {made.id}", 1001)
    assert made.text not in str(desk.written)


def test_what_was_not_done_leaves_none(desk: Desk) -> None:
    made = desk.create()
    for request, uid in ((RevokeToken("x"), 1001), (RevokeToken(made.id), 1002), (CreateToken("root", DAY), 1001)):
        with pytest.raises(Refusal):
            desk.ask(request, uid=uid)
    assert [line["act"] for line in desk.acts()] == ["token-made"]
