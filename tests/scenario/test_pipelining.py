"""Requests sent at once are answered one after the other, in their order."""

from __future__ import annotations

from tests.fakes.portal import OK, FakePortal, get


def _numbered(number: int) -> bytes:
    return OK.replace(b"ok", b"%02d" % number)


def test_pipelined_requests_are_carried_one_after_the_other(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"".join(get(portal, b"/%d" % number) for number in range(5)))
    for number in range(5):
        [upstream] = portal.dialer
        assert upstream.take().startswith(b"GET /%d " % number)
        upstream.send(_numbered(number))
        assert browser.take().endswith(b"%02d" % number)


def test_a_pipelined_page_of_the_portals_own_waits_for_its_turn(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/a") + get(portal, b"/healthz", origin="portal.test"))
    assert browser.received == b""
    portal.dialer[0].send(OK)
    assert browser.received.index(b"\r\n\r\nok") < browser.received.index(b"\r\n\r\nok\n")


def test_a_body_and_the_next_request_in_one_piece(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/a", b"Content-Length: 3\r\n") + b"abc" + get(portal, b"/b"))
    assert portal.dialer[0].take().endswith(b"abc")
    portal.dialer[0].send(OK)
    assert len(portal.dialer) == 1
    assert portal.dialer[0].received.startswith(b"GET /b ")


def test_what_follows_a_last_request_is_not_read(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/a", b"Connection: close\r\n") + get(portal, b"/b"))
    portal.dialer[0].send(OK)
    assert browser.field(b"connection") == b"close"
    assert browser.is_closing
    assert b"/b" not in portal.dialer.received


def test_what_follows_a_refused_request_with_a_body_is_not_read(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"POST /nothing HTTP/1.1\r\nHost: portal.test\r\nContent-Length: 50\r\n\r\n" + get(portal, b"/b"))
    assert browser.status == 404
    assert browser.is_closing
    assert portal.dialer.received == b""
