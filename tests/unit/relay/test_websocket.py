"""Handshakes and the relay's own decisions; open WebSockets are in tests/scenario/test_websocket_relay.py."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from supercloud.errors import BadMessage, Unreachable
from supercloud.message.head import RequestHead, parse_request, parse_response
from supercloud.relay.frames import CLOSE, close_payload, control
from supercloud.relay.websocket import LAST_FRAME_WITHIN, WebSocketRelay
from tests.fakes.legs import FakeDownstream, FakeUpstreamLeg
from tests.fakes.portal import accept, handshakes

_INWARD = b"GET /s?x HTTP/1.1\r\nHost: [::1]:8080\r\nCookie: a=b\r\nX-Bin: \xff\r\nVia: 1.1 me\r\n\r\n"


def _head(*lines: bytes) -> RequestHead:
    return parse_request(
        b"GET /s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    )


class Relayed:
    def __init__(self) -> None:
        self.clock, self.down, self.up = Clock(), FakeDownstream(), FakeUpstreamLeg(1)
        self.relay = WebSocketRelay(
            self.down,
            self.up,
            handshakes=handshakes(),
            extra=lambda head: b"",
            clock=self.clock,
            ping=25.0,
            is_used=lambda: None,
        )
        self.relay.start(_head(), _INWARD)
        self.handshake: bytes = self.up.said[0][1]

    def open(self) -> None:
        self.relay.response_started(parse_response(accept(self.handshake)))
        assert self.down.said[0][0] == "tunnel"
        self.down.said.clear()
        self.up.said.clear()


def test_the_handshake_toward_the_application_is_made_of_the_inward_head() -> None:
    lines = Relayed().handshake.split(b"\r\n")
    assert lines[0] == b"GET /s?x HTTP/1.1"
    assert b"Host: [::1]:8080" in lines
    assert b"Cookie: a=b" in lines
    assert not any(line.startswith((b"X-Bin", b"Origin", b"Sec-WebSocket-Extensions")) for line in lines)


def test_each_handshake_has_a_key_of_its_own() -> None:
    first, second = Relayed().handshake, Relayed().handshake
    assert b"dGhlIHNhbXBsZSBub25jZQ==" not in first
    assert first != second


@pytest.mark.parametrize("line", [b"Sec-WebSocket-Protocol: a, a", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
def test_an_odd_handshake_is_refused(line: bytes) -> None:
    with pytest.raises(BadMessage):
        handshakes().server(_head(line))


def test_stopping_before_it_is_open_is_a_failure() -> None:
    one = Relayed()
    one.relay.going_away()
    assert isinstance(one.down.said[0], Unreachable)


def test_leaving_before_it_is_open_breaks_it_off() -> None:
    one = Relayed()
    one.relay.downstream_ended()
    assert one.up.said[-1] == "leave"


def test_an_application_that_goes_before_it_is_open_is_a_failure() -> None:
    one = Relayed()
    one.relay.upstream_lost(Unreachable("x"))
    assert isinstance(one.down.said[0], Unreachable)


def test_no_timer_stays_behind() -> None:
    for end in ("downstream_lost", "going_away", "tunnel_ended"):
        one = Relayed()
        one.open()
        assert one.clock.getDelayedCalls()
        getattr(one.relay, end)()
        assert one.clock.getDelayedCalls() == []


def test_nothing_is_sent_after_a_close_of_ones_own() -> None:
    one = Relayed()
    one.open()
    one.relay.tunnel_sent(control(CLOSE, close_payload(1000, ""), b"abcd"))
    one.relay.going_away()
    assert [what for what in one.up.said if what != "close"] == [("write", control(CLOSE, b"\x03\xe8", b"abcd"))]


def test_nothing_of_a_late_frame_passes() -> None:
    one = Relayed()
    one.open()
    one.relay.going_away()
    said = len(one.down.said), len(one.up.said)
    one.relay.tunnel_sent(b"\x81\x81abcdx")
    one.relay.tunnel_received(b"\x81\x01x")
    one.relay.downstream_choked()
    one.relay.downstream_drained()
    assert (len(one.down.said), len(one.up.said)) == said


def test_the_end_of_access_before_it_is_open_is_not_told_by_a_frame() -> None:
    relayed = Relayed()
    assert not relayed.relay.access_ended("signed out")


def test_the_end_of_access_closes_both_ends_between_frames() -> None:
    relayed = Relayed()
    relayed.open()
    assert relayed.relay.access_ended("signed out")
    assert relayed.down.said == [("tunnel", control(CLOSE, close_payload(1008, "signed out"))), "end_tunnel"]
    assert relayed.up.said[-1] == "close"
    assert relayed.clock.getDelayedCalls() == []


def test_whoever_was_closed_already_is_not_told_another_reason() -> None:
    relayed = Relayed()
    relayed.open()
    relayed.relay.tunnel_received(control(CLOSE, close_payload(1000, "done")))
    assert not relayed.relay.access_ended("signed out")


def test_a_frame_that_does_not_end_is_waited_for_once_and_then_broken_off() -> None:
    relayed = Relayed()
    relayed.open()
    relayed.relay.tunnel_received(b"\x82\x0ahalf")
    for reason in ("signed out", "said once only"):
        assert relayed.relay.access_ended(reason)
    assert relayed.down.said == [("tunnel", b"\x82\x0ahalf")]
    relayed.clock.advance(LAST_FRAME_WITHIN)
    assert relayed.down.said[-1] == "break_off"


def test_an_application_that_goes_in_its_last_frame_ends_it_without_another_code() -> None:
    relayed = Relayed()
    relayed.open()
    relayed.relay.tunnel_received(b"\x82\x0ahalf")
    relayed.relay.access_ended("signed out")
    relayed.relay.upstream_lost(Unreachable("gone"))
    assert relayed.down.said == [("tunnel", b"\x82\x0ahalf"), "end_tunnel"]
