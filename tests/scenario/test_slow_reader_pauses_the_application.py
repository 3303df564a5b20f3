"""Each side of an exchange is read no faster than the other reads."""

from __future__ import annotations

from tests.fakes.portal import OK, FakePortal, get


def test_a_browser_that_reads_slowly_pauses_the_application(portal: FakePortal) -> None:
    browser = portal.browser(room=1000)
    browser.send(get(portal))
    upstream = portal.dialer[0]
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b"x" * 2000)
    assert upstream.transport.is_paused
    browser.transport.drain()
    assert not upstream.transport.is_paused
    upstream.send(b"x" * 2000)
    assert browser.received.count(b"x") == 4000


def test_an_application_that_reads_slowly_pauses_the_browser(portal: FakePortal) -> None:
    portal.dialer.room = 1000
    browser = portal.browser()
    head = get(portal, extra=b"Content-Length: 4000\r\n").replace(b"GET", b"PUT", 1)
    browser.send(head + b"x" * 2000)
    upstream = portal.dialer[0]
    assert browser.transport.is_paused
    upstream.transport.drain()
    assert not browser.transport.is_paused
    browser.send(b"x" * 2000)
    assert upstream.received.count(b"x") >= 4000


def test_a_request_behind_a_response_that_is_not_read_yet_waits(portal: FakePortal) -> None:
    browser = portal.browser(room=1000)
    browser.send(get(portal))
    upstream = portal.dialer[0]
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)
    asked = upstream.received.count(b"GET ")
    browser.send(get(portal))
    assert upstream.received.count(b"GET ") == asked
    assert browser.transport.is_paused
    browser.transport.drain()
    assert upstream.received.count(b"GET ") == asked + 1
    assert not browser.transport.is_paused


def test_who_reads_no_answers_gets_no_more_of_them(portal: FakePortal) -> None:
    browser = portal.browser(room=2000)
    asked = b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n\r\n"
    browser.send(asked * 100)
    assert len(browser.received) < 3000
    assert browser.transport.is_paused
    for _ in range(100):
        browser.transport.drain()
        portal.settle()
    assert browser.received.count(b"HTTP/1.1 200 OK") == 100
    assert not browser.transport.is_paused


def test_a_connection_is_not_kept_at_the_pace_of_the_browser_that_used_it(portal: FakePortal) -> None:
    slow, other = portal.browser(room=10), portal.browser()
    slow.send(get(portal))
    upstream = portal.dialer[0]
    upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + OK)
    slow.transport.producerState = "producing"
    other.send(get(portal))
    assert len(portal.dialer) == 1
    assert not upstream.transport.is_paused
    upstream.send(OK)
    assert other.status == 200


def test_a_browser_that_sends_far_ahead_waits(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal) + b"GET /" + b"x" * 70_000)
    assert browser.transport.is_paused
    portal.dialer[0].send(OK)
    assert not browser.transport.is_paused


def test_bytes_sent_far_ahead_of_an_upgrade_do_not_stop_the_tunnel(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=b"Connection: upgrade\r\nUpgrade: x\r\n") + b"y" * 70_000)
    assert browser.transport.is_paused
    portal.dialer[0].take()
    portal.dialer[0].send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert portal.dialer[0].received == b"y" * 70_000
    assert not browser.transport.is_paused


def test_an_upload_that_takes_days_is_not_silent(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=b"Content-Length: 48\r\n").replace(b"GET", b"PUT", 1))
    for _ in range(48):
        portal.settle(3000)
        browser.send(b"x")
    portal.dialer[0].send(OK)
    assert browser.status == 200


def test_a_download_that_takes_days_is_not_silent(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 48\r\n\r\n")
    for _ in range(48):
        portal.settle(3000)
        portal.dialer[0].send(b"x")
    assert browser.received.endswith(b"x" * 48)
    assert not browser.is_closing


def test_an_exchange_in_which_nobody_says_anything_ends(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.settle(3601)
    assert browser.status == 408
    assert portal.dialer[0].transport.aborted
    assert portal.lines()[-1]["outcome"] == "timed-out"
