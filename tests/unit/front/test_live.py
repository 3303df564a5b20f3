"""Which exchanges are told, and what happens when asking itself breaks; stories are in tests/scenario."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.authn.authenticate import Viewer
from supercloud.errors import MethodRefused, TooMany
from supercloud.front.exchange import Relay
from supercloud.front.live import EVERY, MOST, Live
from supercloud.identity import Principal
from supercloud.message.head import ResponseHead, parse_request
from tests.fakes.accounts import ALICE
from tests.fakes.sessions import FakeSessions


class Audit:
    target = ""


class Exchange:
    """The browser's side."""

    def __init__(self, method: bytes = b"GET", fields: bytes = b"") -> None:
        self.head = parse_request(method + b" /api/events HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
        self.audit = Audit()
        self.is_over = False
        self.on_over: list[Any] = []
        self.outward: Any = None
        self.said = b""
        self.relay: Relay | None = None

    def carry(self, relay: Relay) -> None:
        self.relay = relay

    def respond_head(self, head: ResponseHead) -> None:
        assert head.status == 200

    def respond_body(self, payload: bytes) -> None:
        self.said += payload

    def respond_flush(self) -> None:
        """Nothing is held back."""

    def respond_end(self, trailers: tuple[bytes, ...]) -> None:
        self.is_over = True
        for call in self.on_over:
            call()


class Ask:
    """Implements `front.live.WorkspaceAsk`."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self.waiting: Deferred[bytes] | None = None

    async def workspace(self, principal: Principal) -> bytes:
        self.asked.append(principal.login)
        if self.waiting is not None:
            return await self.waiting
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def viewer() -> Viewer:
    sessions: Any = FakeSessions()
    return Viewer(ALICE, sessions.begin(ALICE), ALICE.uid, sessions)


def begin(live: Live, exchange: Any) -> Any:
    live.begin(exchange, viewer())
    return exchange


def test_an_answer_that_is_there_at_once_is_told() -> None:
    clock, ask = Clock(), Ask(b"1", b"2")
    exchange = begin(Live(ask, clock), Exchange())
    clock.advance(EVERY)
    assert exchange.said == b"retry: 3000\n\nevent: workspace\ndata: 1\n\nevent: workspace\ndata: 2\n\n"


def test_a_mistake_of_the_portals_own_is_told_as_trouble_and_ends_nothing() -> None:
    clock, ask = Clock(), Ask(RuntimeError("secret"), b"1")
    exchange = begin(Live(ask, clock), Exchange())
    assert b"event: trouble\n" in exchange.said
    assert b"secret" not in exchange.said
    for _ in range(2):
        clock.advance(EVERY)
    assert exchange.said.endswith(b"event: workspace\ndata: 1\n\n")


def test_whoever_left_while_they_were_authenticated_is_told_nothing() -> None:
    clock, ask, exchange = Clock(), Ask(), Exchange()
    exchange.is_over = True
    live = Live(ask, clock)
    begin(live, exchange)
    assert len(live) == 0
    assert ask.asked == []


def test_a_question_under_way_is_given_up_with_the_last_page() -> None:
    clock, ask = Clock(), Ask()
    ask.waiting = Deferred()
    live = Live(ask, clock)
    exchange = begin(live, Exchange())
    exchange.relay.portal_stops()
    assert ask.waiting.called
    assert len(live) == 0
    assert clock.getDelayedCalls() == []


def test_an_account_has_so_many_pages_told_and_one_more_when_one_closes() -> None:
    live = Live(Ask(b"{}"), Clock())
    exchanges = [begin(live, Exchange()) for _ in range(MOST)]
    with pytest.raises(TooMany):
        begin(live, Exchange())
    exchanges[0].respond_end(())
    assert begin(live, Exchange()).said


@pytest.mark.parametrize("fields", [b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_request_with_a_body_is_refused(fields: bytes) -> None:
    live = Live(Ask(), Clock())
    with pytest.raises(MethodRefused):
        begin(live, Exchange(fields=fields))
    assert len(live) == 0
