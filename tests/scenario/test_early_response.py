"""An application may answer before it has read the request."""

from __future__ import annotations

from supercloud.front.channel import LINGER
from tests.fakes.portal import OK, FakePortal, get

_REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!"


def _upload(portal: FakePortal) -> bytes:
    return get(portal, extra=b"Content-Length: 10\r\n").replace(b"GET", b"PUT", 1)


def test_an_early_response_arrives_at_once(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal) + b"half.")
    portal.dialer[0].send(_REFUSAL)
    assert browser.status == 413
    assert browser.received.endswith(b"no!")
    assert portal.dialer[0].is_closing


def test_the_rest_of_a_request_that_was_answered_is_dropped_and_the_next_one_served(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal) + b"half.")
    portal.dialer[0].send(_REFUSAL)
    browser.take()
    browser.send(b"other" + get(portal, b"/next"))
    assert b"other" not in portal.dialer.received
    portal.dialer[1].send(OK)
    assert browser.status == 200


def test_the_rest_of_a_request_that_was_answered_is_not_waited_for_for_ever(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal) + b"half.")
    portal.dialer[0].send(_REFUSAL)
    portal.settle(LINGER + 0.1)
    assert browser.is_closing


def test_a_broken_rest_of_a_request_that_was_answered_closes_the_connection(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=b"Transfer-Encoding: chunked\r\n") + b"1\r\n")
    portal.dialer[0].send(_REFUSAL)
    browser.send(b"xyz")
    assert browser.is_closing
    assert browser.received.count(b"HTTP/1.1") == 1


def test_an_early_response_may_go_on_while_the_request_does(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal) + b"half.")
    upstream = portal.dialer[0]
    upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    browser.send(b"other")
    assert upstream.received.endswith(b"half.other")
    upstream.send(b"0\r\n\r\n")
    assert not upstream.is_closing
    assert not browser.is_closing
