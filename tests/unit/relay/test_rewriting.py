"""The shell with scripted sides; whole exchanges are in tests/scenario."""

from __future__ import annotations

import gc
import sys
import threading

import pytest
from twisted.internet.task import Clock

from supercloud.errors import Unreachable
from supercloud.message.head import parse_request, parse_response
from supercloud.relay.http import HttpRelay
from supercloud.relay.rewriting import Rewriters
from supercloud.rewrite.body import SLICE
from supercloud.rewrite.response import Responses
from supercloud.shares import Shares
from tests.fakes.legs import FakeDownstream, FakeUpstreamLeg
from tests.unit.rewrite.places import LINKS, P

_PAGE = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
_CODED = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n")
_OTHER = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
_HINTS = parse_response(b"HTTP/1.1 103 X\r\nContent-Type: text/html\r\n\r\n")


class Rewritten:
    def __init__(self, head=_PAGE) -> None:  # type: ignore[no-untyped-def]
        self.clock, self.down, self.up = Clock(), FakeDownstream(), FakeUpstreamLeg(1)
        self.down.share = Shares(self.clock).of(1001)
        responses = Responses(LINKS, parse_request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        self.relay = HttpRelay(self.down, self.up, length=0, rewriters=Rewriters(responses))
        self.relay.start(b"GET", b"head")
        self.relay.response_started(head)
        self.up.said.clear()

    @property
    def body(self) -> bytes:
        return b"".join(one[1] for one in self.down.said if isinstance(one, tuple) and one[0] == "body")


def test_what_has_no_links_goes_past() -> None:
    one = Rewritten(_OTHER)
    one.relay.response_body(b"<a href=/x>")
    assert one.down.relay is None
    assert one.body == b"<a href=/x>"


def test_an_early_head_is_no_page() -> None:
    one = Rewritten(_HINTS)
    assert one.down.relay is None
    one.relay.response_started(_PAGE)
    assert one.down.relay is not None


def test_a_small_page_needs_no_turn_of_its_own() -> None:
    one = Rewritten()
    one.relay.response_body(b"<a href=/x>")
    one.relay.response_ended(())
    assert one.body == f'<a href="{P}/x">'.encode()
    assert one.down.said[-1] == "end"
    assert one.clock.getDelayedCalls() == []
    assert one.up.said == []


def test_a_large_piece_takes_turns_and_the_application_waits() -> None:
    one = Rewritten()
    one.relay.response_body(b"x" * (2 * SLICE + 1))
    assert len(one.body) == SLICE
    assert one.up.said == ["pause"]
    one.clock.advance(0)
    one.clock.advance(0)
    assert len(one.body) == 2 * SLICE + 1
    assert one.up.said == ["pause", "resume"]
    assert one.down.said[-1] == "flush"


def test_an_end_that_comes_while_slices_wait_is_the_last_thing() -> None:
    one = Rewritten()
    one.relay.response_body(b"x" * (2 * SLICE + 1))
    one.relay.response_ended((b"X: y",))
    assert "end" not in one.down.said
    for _ in range(3):
        one.clock.advance(0)
    assert len(one.body) == 2 * SLICE + 1
    assert one.down.said[-2:] == ["end", "flush"] or one.down.said[-1] == "end"


def test_a_choked_browser_stops_the_rewriting() -> None:
    one = Rewritten()
    one.relay.response_body(b"x" * (3 * SLICE))
    one.down.relay.downstream_choked()
    one.clock.advance(0)
    assert len(one.body) == SLICE
    one.down.relay.downstream_drained()
    for _ in range(4):
        one.clock.advance(0)
    assert len(one.body) == 3 * SLICE
    assert one.up.said == ["pause", "resume"]


def test_a_browser_that_leaves_leaves_nothing_behind() -> None:
    one = Rewritten()
    one.relay.response_body(b"x" * (3 * SLICE))
    one.down.relay.downstream_lost()
    one.down.relay.downstream_drained()
    said = list(one.down.said)
    one.clock.advance(0)
    assert one.clock.getDelayedCalls() == []
    assert one.down.said == said
    assert one.up.said == ["pause", "leave"]


def test_a_body_that_is_not_in_its_coding_breaks_the_response() -> None:
    one = Rewritten(_CODED)
    one.relay.response_body(b"no gzip")
    assert isinstance(one.down.said[-1], Unreachable)


def test_an_application_that_is_lost_breaks_the_response() -> None:
    one = Rewritten()
    one.relay.response_body(b"x" * (2 * SLICE))
    one.relay.upstream_lost(Unreachable("gone"))
    one.clock.advance(0)
    assert isinstance(one.down.said[-1], Unreachable)
    assert one.clock.getDelayedCalls() == []


def test_a_flush_waits_for_what_is_under_way() -> None:
    one = Rewritten()
    one.relay.response_body(b"x" * (2 * SLICE))
    one.relay.response_pause()
    assert "flush" not in one.down.said
    for _ in range(3):
        one.clock.advance(0)
    assert one.down.said[-1] == "flush"


def test_the_request_goes_on_meanwhile() -> None:
    one = Rewritten()
    one.relay.upstream_choked()
    one.relay.upstream_drained()
    assert one.down.said[-2:] == ["pause", "resume"]


@pytest.mark.parametrize("ends", ["complete", "the browser leaves", "the application fails"])
def test_a_parser_is_not_left_to_whichever_thread_collects_garbage(ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """lol_html's cannot be freed in another thread: it would say so in the log, and keep its memory."""
    wrong: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", wrong.append)
    gc.collect()
    gc.disable()
    try:
        one = Rewritten()
        one.relay.response_body(b"<a href=/x>")
        match ends:
            case "complete":
                one.relay.response_ended(())
            case "the browser leaves":
                one.down.relay.downstream_lost()
            case _:
                one.relay.upstream_lost(Unreachable("reset"))
        one.down.cycle = one  # type: ignore[attr-defined]
        del one
        collecting = threading.Thread(target=gc.collect)
        collecting.start()
        collecting.join()
    finally:
        gc.enable()
    assert wrong == []
