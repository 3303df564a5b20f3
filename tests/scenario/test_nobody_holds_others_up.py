"""One account's application or browser sends what costs most: so much of it is done in a turn, all of it in the end.

The work is counted, by a clock that it moves itself, and in pieces.
"""

from __future__ import annotations

import pytest

from supercloud.front.channel import MAX_HEADS
from supercloud.message.body import MAX_CHUNKS
from supercloud.message.fields import MAX_PARTS
from supercloud.message.head import parse_response
from supercloud.relay.frames import MAX_FRAMES
from supercloud.rewrite.body import SLICE
from supercloud.shares import Shares
from tests.fakes.portal import OK, TOGETHER, FakePortal, get
from tests.fakes.reactor import Turning
from tests.fakes.transport import FakeTransport

_TINY = b"1\r\nx\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n\r\n"
_APPLICATION = b"/fw2/localhost:8080/"
_COST = 0.0004  # seconds of each look at the clock


@pytest.fixture
def turns() -> Turning:
    return Turning()


@pytest.fixture
def portal(turns: Turning) -> FakePortal:
    """One whose waiting work is done when the test takes a turn."""
    now = [0.0]

    def seconds() -> float:
        now[0] += _COST
        return now[0]

    return FakePortal(shares=Shares(turns, seconds))


def _finish(turns: Turning) -> int:
    """Turns until nothing waits."""
    count = 0
    while turns.calls:
        turns.turn()
        count += 1
        assert count < 2000
    return count


def test_a_download_in_tiny_chunks_is_read_so_many_in_a_turn_and_written_as_one(
    portal: FakePortal, turns: Turning
) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(_HEAD + _TINY * 10_000 + b"0\r\n\r\n")
    assert browser.received.count(b"x") <= MAX_CHUNKS + 1
    assert portal.dialer[0].transport.is_paused
    assert _finish(turns) >= 3
    assert browser.received.count(b"x") == 10_000
    assert len(browser.received) < 10_300  # pieces of a thousand and no chunks of one
    assert browser.received.endswith(b"0\r\n\r\n")
    assert not portal.dialer[0].transport.is_paused


def test_an_application_that_leaves_behind_its_tiny_chunks_loses_none(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(_HEAD + _TINY * 10_000 + b"0\r\n\r\n")
    portal.dialer[0].die()
    assert browser.received.count(b"x") == 10_000
    assert browser.received.endswith(b"0\r\n\r\n")


def test_a_browser_that_reads_slowly_stops_what_waits(portal: FakePortal, turns: Turning) -> None:
    browser = portal.browser(room=10)
    browser.send(get(portal))
    portal.dialer[0].send(_HEAD + _TINY * 10_000 + b"0\r\n\r\n")
    _finish(turns)
    assert browser.received.count(b"x") <= MAX_CHUNKS + 1
    while portal.dialer[0].transport.is_paused:
        browser.transport.drain()
        _finish(turns)
    assert browser.received.count(b"x") == 10_000


def test_a_browser_that_leaves_ends_what_waits(portal: FakePortal, turns: Turning) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(_HEAD + _TINY * 10_000)
    browser.leave()
    assert portal.dialer[0].is_closing
    assert _finish(turns) <= 1


def test_an_upload_in_tiny_chunks_is_read_so_many_in_a_turn_and_written_as_one(
    portal: FakePortal, turns: Turning
) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=b"Transfer-Encoding: chunked\r\n").replace(b"GET", b"PUT", 1) + _TINY * 10_000)
    head_end = portal.dialer[0].received.index(b"\r\n\r\n") + 4
    assert portal.dialer[0].received[head_end:].count(b"x") <= MAX_CHUNKS + 1
    assert browser.transport.is_paused
    assert _finish(turns) >= 3
    assert portal.dialer[0].received[head_end:].count(b"x") == 10_000
    assert len(portal.dialer[0].received) - head_end < 10_200
    assert not browser.transport.is_paused
    browser.send(b"0\r\n\r\n")
    assert portal.dialer[0].received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("frame", [b"\x82\x00", b"\x89\x00", b"\x8a\x01x"], ids=["data", "ping", "pong"])
def test_tiny_frames_of_an_application_pass_so_many_in_a_turn(portal: FakePortal, turns: Turning, frame: bytes) -> None:
    browser = portal.browser()
    upstream = portal.open_websocket(browser)
    upstream.send(frame * 10_000)
    assert browser.received == frame * MAX_FRAMES
    assert upstream.transport.is_paused
    assert _finish(turns) >= 3
    assert browser.received == frame * 10_000
    assert not upstream.transport.is_paused


def test_tiny_frames_of_a_browser_pass_so_many_in_a_turn(portal: FakePortal, turns: Turning) -> None:
    browser = portal.browser()
    upstream = portal.open_websocket(browser)
    frame = b"\x82\x80abcd"
    browser.send(frame * 10_000)
    assert upstream.received == frame * MAX_FRAMES
    assert browser.transport.is_paused
    assert _finish(turns) >= 3
    assert upstream.received == frame * 10_000
    assert not browser.transport.is_paused


@pytest.mark.parametrize("who", ["browser", "application"])
def test_who_leaves_behind_tiny_frames_loses_none(portal: FakePortal, who: str) -> None:
    browser = portal.browser()
    upstream = portal.open_websocket(browser)
    if who == "browser":
        browser.send(b"\x82\x80abcd" * 5000)
        browser.leave()
        assert upstream.received.startswith(b"\x82\x80abcd" * 5000)
    else:
        upstream.send(b"\x82\x00" * 5000)
        upstream.die()
        assert browser.received.startswith(b"\x82\x00" * 5000)


def test_requests_sent_ahead_are_begun_so_many_in_a_turn(portal: FakePortal, turns: Turning) -> None:
    browser = portal.browser()
    browser.send(_HEALTH * 100)
    assert browser.received.count(b"200 OK") == MAX_HEADS
    _finish(turns)
    assert browser.received.count(b"200 OK") == 100


def test_pages_of_one_account_share_a_turn_and_anothers_has_one_of_its_own(portal: FakePortal, turns: Turning) -> None:
    """150 pages at once were 2.3 s for everybody: each had its slice in the same turn."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + b"<a href=/x>" * 3000
    browsers = []
    for _ in range(40):
        browser = portal.browser()
        browser.send(get(portal, _APPLICATION, origin=TOGETHER))
        portal.dialer.upstreams[-1].send(page)
        browsers.append(browser)
    before = [len(browser.received) for browser in browsers]
    others: list[str] = []
    portal.shares.of(1002).later(lambda: others.append("served"))
    turns.turn()
    moved = sum(len(browser.received) > size for browser, size in zip(browsers, before, strict=True))
    assert 1 <= moved <= 4
    assert others == ["served"]
    assert _finish(turns) >= 40 * len(page) // SLICE // 4
    for upstream in portal.dialer.upstreams:
        upstream.die()
    _finish(turns)
    assert {browser.received.count(b'<a href="/fw2/localhost:8080/x">') for browser in browsers} == {3000}


@pytest.mark.parametrize(
    ("field", "most"),
    [
        (b"Link: " + b"</x>," * MAX_PARTS, MAX_PARTS),
        (b"Set-Cookie: a=b" + b";" * MAX_PARTS, MAX_PARTS),
    ],
)
def test_a_head_with_more_parts_than_are_rewritten_is_refused_with_words(
    portal: FakePortal, field: bytes, most: int
) -> None:
    for extra, status in ((b"", 200), (b"\r\nLink: </one-more>", 502)):
        browser = portal.browser()
        browser.send(get(portal))
        upstream = portal.dialer.upstreams[-1]
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + field + extra + b"\r\n\r\n")
        assert browser.status == status
        upstream.die()
    assert b"more than 1000 links and cookie attributes" in browser.received


@pytest.mark.parametrize(
    "field", [b"a:\r\n" * 30_000, b"Connection: " + b"a," * 50_000 + b"\r\n"], ids=["fields", "connection options"]
)
def test_a_head_of_very_many_parts_is_refused_before_they_are_looked_at(portal: FakePortal, field: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + field + b"\r\n")
    assert browser.status == 502
    portal.settle(1)
    sent = portal.browser()
    sent.send(b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n" + field[:60_000] + b"\r\n\r\n")
    assert sent.status in (400, 431)


def test_an_application_that_is_read_costs_its_viewer(portal: FakePortal) -> None:
    browser = portal.browser()
    assert browser.channel.share is portal.shares.of("192.0.2.7")
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    account = portal.shares.of(1001)
    assert browser.channel.share is account
    assert browser.transport.share is account  # type: ignore[attr-defined]
    assert portal.dialer[0].transport.share is account  # type: ignore[attr-defined]


def test_handshakes_of_a_network_do_not_hold_up_those_who_have_done_with_theirs(portal: FakePortal) -> None:
    channel = portal.door.buildProtocol(None)
    assert channel is not None
    transport = FakeTransport(portal.clock, channel)
    channel.makeConnection(transport)
    greeting = transport.share  # type: ignore[attr-defined]
    assert greeting is not portal.shares.of("192.0.2.7")
    assert greeting is portal.shares.of(("handshakes", "192.0.2.7"))
    channel.handshakeCompleted()
    assert transport.share is portal.shares.of("192.0.2.7")  # type: ignore[attr-defined]


def test_a_worker_costs_its_user_whoever_asks_it(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/", origin="portal.test"))
    portal.settle(1)
    shares = {one.transport.share.key for one in portal.worker_dialer.upstreams}
    assert shares == {1001}


def test_thirty_two_connection_options_are_read() -> None:
    named = b", ".join(b"a%d" % number for number in range(32))
    assert len(parse_response(b"HTTP/1.1 200 OK\r\nConnection: " + named + b"\r\n\r\n").options) == 32
