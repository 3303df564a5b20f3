"""A browser that goes away takes its exchange with it, and nothing stays behind."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.fakes.portal import FakePortal, get


def test_leaving_in_an_upload_breaks_the_application_s_connection(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n")
    browser.leave()
    assert portal.dialer[0].transport.aborted
    assert not portal.dialer[0].received.endswith(b"0\r\n\r\n")
    portal.settle()
    assert portal.pool.open_connections == 0
    assert portal.lines()[-1]["outcome"] == "abandoned"


def test_leaving_in_a_download_breaks_the_application_s_connection(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    browser.leave()
    portal.dialer[0].send(b"more")
    assert portal.dialer[0].transport.aborted
    portal.settle()
    assert portal.pool.open_connections == 0


def test_leaving_while_the_portal_connects_ends_the_attempt(portal: FakePortal) -> None:
    portal.dialer.waiting = []
    browser = portal.browser()
    browser.send(get(portal))
    [waiting] = portal.dialer.waiting
    browser.leave()
    assert waiting.called
    assert len(portal.dialer) == 0
    assert portal.pool.open_connections == 0
    assert portal.lines()[-1]["outcome"] == "abandoned"


def test_leaving_while_a_connection_is_made_anew_ends_that_too(portal: FakePortal) -> None:
    browser, again = portal.browser(), portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    portal.dialer.waiting = waiting = []
    again.send(get(portal))
    portal.dialer[0].die()
    assert len(waiting) == 1
    again.leave()
    assert waiting[0].called
    assert portal.pool.open_connections == 0


def test_a_mistake_while_a_connection_is_made_anew_is_answered(portal: FakePortal) -> None:
    from twisted.logger import globalLogPublisher

    logged: list[object] = []
    globalLogPublisher.addObserver(logged.append)
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    browser.take()
    portal.dialer.waiting = waiting = list[Deferred[None]]()
    browser.send(get(portal))
    portal.dialer[0].die()
    waiting[0].errback(ZeroDivisionError())
    globalLogPublisher.removeObserver(logged.append)
    assert browser.status == 500
    assert len(logged) == 1


def test_what_a_broken_application_leaves_is_no_whole_response(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    portal.dialer[0].die()
    assert not browser.received.endswith(b"0\r\n\r\n")
    assert browser.transport.aborted
    assert portal.lines()[-1]["outcome"] == "broken"
