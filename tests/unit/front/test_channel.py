"""The channel as Twisted calls it; whole exchanges are in tests/scenario."""

from __future__ import annotations

import time

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from zope.interface.verify import verifyObject

from supercloud.front.channel import LINGER
from tests.fakes.portal import OK, FakePortal, get

_HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n\r\n"


def test_it_is_what_twisted_calls() -> None:
    channel = FakePortal().browser().channel
    for interface in (IProtocol, IHalfCloseableProtocol, IPushProducer):
        assert verifyObject(interface, channel)
    channel.writeConnectionLost()
    channel.stopProducing()


def test_a_head_may_come_byte_by_byte() -> None:
    browser = FakePortal().browser()
    for byte in _HEALTHZ:
        assert browser.status == 0
        browser.send(bytes([byte]))
    assert browser.status == 200


def test_a_bare_line_end_is_refused_before_the_head_is_whole() -> None:
    browser = FakePortal().browser()
    browser.send(b"GET / HTTP/1.1\nHost")
    assert browser.status == 400


def test_a_closed_connection_reads_nothing_more() -> None:
    browser = FakePortal().browser()
    browser.send(b"BAD\r\n\r\n")
    browser.take()
    browser.send(_HEALTHZ)
    assert browser.received == b""


def test_a_browser_that_does_not_close_is_cut_off() -> None:
    portal = FakePortal()
    browser = portal.browser()
    portal.clock.advance(0)
    browser.channel.close()
    assert browser.transport.disconnecting
    assert not browser.transport.aborted
    deadline = browser.channel.door.limits.idle
    assert deadline > LINGER


def test_no_timer_stays_behind() -> None:
    portal = FakePortal()
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    browser.leave()
    portal.stop()
    portal.clock.pump([0, 0.2])
    assert portal.clock.getDelayedCalls() == []


def test_what_a_stage_remembers_belongs_to_one_connection() -> None:
    portal = FakePortal()
    first, second = portal.browser().channel, portal.browser().channel
    first.memory["x"] = 1
    assert second.memory == {}


def test_a_head_that_comes_byte_by_byte_is_looked_at_once() -> None:
    portal = FakePortal()
    browser = portal.browser()
    field = b"X-Long: " + b"a" * 30_000 + b"\r\n"
    head = b"GET /fw2/localhost:8080/ HTTP/1.1\r\nHost: portal.test\r\n" + field + b"\r\n"
    began = time.process_time()
    for at in range(len(head)):
        browser.send(head[at : at + 1])
    assert browser.status == 401
    assert time.process_time() - began < 5  # seconds; looking at all of it each time takes a minute


def test_a_bare_line_end_is_noticed_wherever_the_pieces_are_cut() -> None:
    for cut in range(1, 40):
        browser = FakePortal().browser()
        head = b"GET / HTTP/1.1\nHost: portal.test\r\nA: b\r\n\r\n"
        browser.send(head[:cut])
        browser.send(head[cut:])
        assert browser.status == 400, cut


def test_an_empty_line_between_requests_is_no_request() -> None:
    portal = FakePortal()
    browser = portal.browser()
    browser.send(b"\r\n")
    portal.clock.advance(60)
    assert browser.received == b""


def test_a_connection_does_not_remember_a_head_that_shows_a_password() -> None:
    browser = FakePortal().browser()
    for shown, is_remembered in ((b"Bearer x", True), (b"Basic YWxpY2U6aHVudGVyMg==", False)):
        browser.send(_HEALTHZ[:-2] + b"Authorization: " + shown + b"\r\n\r\n")
        assert browser.status == 200
        browser.take()
        assert (shown in browser.channel._last.raw) is is_remembered
