"""The relay with scripted sides; whole exchanges are in tests/scenario."""

from __future__ import annotations

from supercloud.errors import Unanswered, Unreachable
from supercloud.message.head import CHUNKED, Field, ResponseHead, parse_response
from supercloud.relay.http import HttpRelay
from tests.fakes.legs import FakeDownstream, FakeUpstreamLeg

_HEAD = parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
_EARLY = parse_response(b"HTTP/1.1 103 X\r\n\r\n")
_SWITCH = parse_response(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")


class FakeTrailing:
    """Implements `relay.http.Trailing`: all but those that say not to be."""

    def inward(self, trailers: tuple[Field, ...]) -> list[bytes]:
        return [name + b": " + value + b"\r\n" for _, name, value in trailers if value != b"not"]

    def outward(self, trailers: tuple[Field, ...], head: ResponseHead) -> list[bytes]:
        assert head is _HEAD
        return self.inward(trailers)


class Relayed:
    def __init__(
        self,
        length: int = 0,
        *,
        upgrade: bool = False,
        exchanges: int = 1,
        retries: bool = False,
        trailing: FakeTrailing | None = None,
    ) -> None:
        self.down, self.up = FakeDownstream(), FakeUpstreamLeg(exchanges)
        self.retried = 0
        self.relay = HttpRelay(
            self.down,
            self.up,
            length=length,
            upgrade=upgrade,
            trailing=trailing,
            retry=self._retry if retries else None,
        )
        self.relay.start(b"GET", b"head")

    def _retry(self) -> None:
        self.retried += 1


def test_a_request_without_a_body_is_complete_with_its_head() -> None:
    one = Relayed()
    assert one.up.said == [("begin", b"head"), "finish"]
    assert one.down.said == []


def test_a_sized_body_passes_as_it_is() -> None:
    one = Relayed(3)
    one.relay.request_body(b"abc")
    one.relay.request_ended(())
    assert one.up.said == [("begin", b"head"), ("write", b"abc"), "finish"]


def test_a_chunked_body_is_cut_anew_and_keeps_its_trailers() -> None:
    one = Relayed(CHUNKED, trailing=FakeTrailing())
    one.relay.request_body(b"abc")
    one.relay.request_ended(((b"x", b"X", b"y"), (b"z", b"Z", b"not")))
    assert one.up.said[1:] == [("write", b"3\r\nabc\r\n"), ("write", b"0\r\nX: y\r\n\r\n"), "finish"]


def test_trailers_of_a_response_pass_as_its_head_does() -> None:
    one = Relayed(trailing=FakeTrailing())
    one.relay.response_started(_HEAD)
    one.relay.response_ended(((b"x", b"X", b"y"), (b"z", b"Z", b"not")))
    assert one.down.said[-1] == ("end", b"X: y\r\n")


def test_where_nobody_judges_trailers_none_pass() -> None:
    one = Relayed(CHUNKED)
    one.relay.response_started(_HEAD)
    one.relay.request_ended(((b"x", b"X", b"y"),))
    assert one.up.said[1:] == [("write", b"0\r\n\r\n"), "finish"]
    one.relay.response_ended(((b"x", b"X", b"y"),))
    assert one.down.said[-1] == "end"


def test_a_response_passes_in_order() -> None:
    one = Relayed()
    one.relay.response_started(_EARLY)
    one.relay.response_started(_HEAD)
    one.relay.response_body(b"ok")
    one.relay.response_pause()
    one.relay.response_ended(())
    assert [what if isinstance(what, str) else what[0] for what in one.down.said] == [
        "head", "head", "body", "flush", "end",
    ]  # fmt: skip


def test_after_the_response_the_rest_of_the_request_goes_nowhere() -> None:
    one = Relayed(10)
    one.relay.response_started(_HEAD)
    one.relay.response_ended(())
    one.relay.request_body(b"late")
    one.relay.request_ended(())
    one.relay.downstream_lost()
    one.relay.downstream_choked()
    one.relay.downstream_drained()
    assert one.up.said == [("begin", b"head")]


def test_a_lost_browser_breaks_the_exchange_off_and_ends_a_tunnel() -> None:
    one = Relayed()
    one.relay.downstream_lost()
    one.relay.downstream_lost()
    assert one.up.said[-1:] == ["leave"]
    two = Relayed(upgrade=True)
    two.relay.response_started(_SWITCH)
    two.relay.downstream_lost()
    assert two.up.said[-1:] == ["close"]


def test_a_tunnel_carries_both_ways_and_half_closes() -> None:
    one = Relayed(upgrade=True)
    one.relay.downstream_ended()
    one.relay.response_started(_SWITCH)
    one.relay.tunnel_sent(b"up")
    one.relay.tunnel_received(b"down")
    one.relay.downstream_ended()
    assert one.up.said[2:] == [("write", b"up"), "finish_tunnel"]
    one.relay.tunnel_ended()
    assert one.down.said[1:] == [("tunnel", b"down"), "end_tunnel"]
    assert one.up.said[-1] == "close"


def test_101_that_nobody_asked_for_is_a_failure() -> None:
    one = Relayed()
    one.relay.response_started(_SWITCH)
    assert one.up.said[-1] == "leave"
    assert isinstance(one.down.said[0], Unreachable)


def test_a_kept_connection_that_was_closed_is_tried_again_if_that_is_harmless() -> None:
    one = Relayed(exchanges=2, retries=True)
    one.relay.upstream_lost(Unanswered())
    assert one.retried == 1
    assert one.down.said == []


def test_one_that_has_answered_with_a_byte_is_not_tried_again() -> None:
    one = Relayed(exchanges=2, retries=True)
    one.relay.upstream_lost(Unreachable())
    assert one.retried == 0
    assert isinstance(one.down.said[0], Unreachable)


def test_a_first_exchange_and_one_with_a_body_are_not_tried_again() -> None:
    first, body = Relayed(retries=True), Relayed(3, exchanges=2, retries=True)
    body.relay.request_body(b"a")
    for one in (first, body):
        one.relay.upstream_lost(Unanswered())
        assert one.retried == 0
        assert isinstance(one.down.said[-1], Unanswered)


def test_each_side_waits_for_the_other() -> None:
    one = Relayed(5)
    one.relay.downstream_choked()
    one.relay.downstream_drained()
    one.relay.upstream_choked()
    one.relay.upstream_drained()
    assert one.up.said[1:] == ["pause", "resume"]
    assert one.down.said[1:] == ["pause", "resume"]


def test_a_relay_that_was_left_before_it_began_sends_nothing() -> None:
    down, up = FakeDownstream(), FakeUpstreamLeg(1)
    relay = HttpRelay(down, up, length=0)
    relay.downstream_lost()
    relay.start(b"GET", b"head")
    assert up.said == ["leave"]


def test_http_has_no_way_to_tell_a_browser_that_its_access_ended() -> None:
    relay = HttpRelay(FakeDownstream(), FakeUpstreamLeg(1), length=0)
    assert not relay.access_ended("signed out")
