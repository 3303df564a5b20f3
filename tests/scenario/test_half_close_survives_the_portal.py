"""Half-close, where TCP is in the clear: Twisted's TLS ends both directions at once, so over TLS there is none.

Every listener of the front speaks TLS. The rules here hold for the legs toward applications, and show what a plain
downstream leg would do; `test_tls_ends_both_directions_at_once` holds the limitation.
"""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.tls import TLSMemoryBIOProtocol

from tests.fakes.portal import OK, FakePortal, get

_UPGRADE = b"Connection: upgrade\r\nUpgrade: x\r\n"
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


def test_tls_ends_both_directions_at_once() -> None:
    assert not IHalfCloseableProtocol.implementedBy(TLSMemoryBIOProtocol)
    assert not hasattr(TLSMemoryBIOProtocol, "loseWriteConnection")


def test_a_browser_that_finished_sending_still_gets_its_response(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    browser.finish()
    portal.dialer[0].send(OK)
    assert browser.received.endswith(b"ok")


def test_a_browser_that_finishes_in_the_middle_of_a_body_is_gone(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=b"Content-Length: 10\r\n") + b"half")
    browser.finish()
    portal.settle()
    assert portal.dialer[0].transport.aborted
    assert portal.lines()[-1]["outcome"] == "abandoned"


def test_a_browser_that_finishes_between_requests_is_closed(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.finish()
    assert browser.is_closing


def test_the_end_of_one_direction_of_a_tunnel_leaves_the_other_open(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=_UPGRADE))
    upstream = portal.dialer[0]
    upstream.send(_SWITCHED)
    browser.take()
    browser.send(b"last words")
    browser.finish()
    assert upstream.received.endswith(b"last words")
    assert upstream.transport.half_closed
    upstream.send(b"answer")
    assert browser.received == b"answer"
    assert not browser.is_closing


def test_the_applications_end_of_a_tunnel_ends_it_once_everything_has_left(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=_UPGRADE))
    upstream = portal.dialer[0]
    upstream.send(_SWITCHED + b"first bytes")
    upstream.finish()
    assert browser.received.endswith(b"first bytes")
    assert browser.transport.disconnecting
    assert not browser.transport.aborted
    assert upstream.transport.disconnecting
    assert portal.lines()[-1]["outcome"] == "served"


def test_an_application_may_end_its_response_by_finishing(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\n\r\nhello")
    portal.dialer[0].finish()
    assert browser.received.endswith(b"5\r\nhello\r\n0\r\n\r\n")
    assert portal.dialer[0].is_closing
    assert not browser.is_closing
