"""HTTP/1.0 on both sides."""

from __future__ import annotations

from tests.fakes.portal import OK, FakePortal, get


def _get(portal: FakePortal, extra: bytes = b"") -> bytes:
    return get(portal, extra=extra).replace(b"HTTP/1.1", b"HTTP/1.0", 1)


def test_a_client_of_http_1_0_gets_one_response_and_the_end(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_get(portal))
    portal.dialer[0].send(OK)
    assert browser.field(b"connection") == b"close"
    assert browser.is_closing


def test_it_may_ask_to_stay(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_get(portal, b"Connection: keep-alive\r\n"))
    portal.dialer[0].send(OK)
    assert browser.field(b"connection") == b"keep-alive"
    assert not browser.is_closing


def test_it_gets_no_chunks(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_get(portal, b"Connection: keep-alive\r\n"))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert browser.field(b"transfer-encoding") is None
    assert browser.field(b"connection") == b"close"
    assert browser.received.endswith(b"\r\n\r\nhello")
    assert browser.is_closing


def test_it_gets_no_upgrade(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_get(portal, b"Connection: upgrade\r\nUpgrade: x\r\n"))
    assert b"pgrade" not in portal.dialer.received


def test_the_application_is_asked_in_http_1_1(portal: FakePortal) -> None:
    portal.browser().send(_get(portal))
    assert portal.dialer.received.startswith(b"GET / HTTP/1.1\r\n")


def test_an_application_of_http_1_0_is_not_kept(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK.replace(b"1.1", b"1.0"))
    assert browser.status == 200
    assert portal.dialer[0].is_closing
    assert not browser.is_closing
