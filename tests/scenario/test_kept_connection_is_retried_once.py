"""A kept connection may be closed by the application at any time."""

from __future__ import annotations

import pytest

from supercloud.upstream.http11 import MAX_HEAD, MAX_INTERIM
from supercloud.upstream.pool import FRESH, KEPT
from tests.fakes.portal import OK, PORT, Browser, FakePortal, get, websocket_request


@pytest.fixture
def browser(portal: FakePortal) -> Browser:
    """With one kept connection behind it."""
    made = portal.browser()
    made.send(get(portal))
    portal.dialer[0].send(OK)
    made.take()
    portal.dialer[0].take()
    return made


def test_a_request_on_a_connection_that_turns_out_closed_is_sent_again(portal: FakePortal, browser: Browser) -> None:
    browser.send(get(portal, b"/again"))
    portal.dialer[0].die()
    assert portal.dialer[1].received.startswith(b"GET /again ")
    portal.dialer[1].send(OK)
    assert browser.status == 200
    assert len(portal.lines()) == 2


def test_but_only_once(portal: FakePortal, browser: Browser) -> None:
    browser.send(get(portal))
    portal.dialer[0].die()
    portal.dialer[1].die()
    assert browser.status == 502
    assert len(portal.dialer) == 2


def test_who_listens_is_asked_again(portal: FakePortal, browser: Browser) -> None:
    browser.send(get(portal))
    del portal.owners.listeners[PORT]
    portal.dialer[0].die()
    assert browser.status == 503


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH"])
def test_what_may_have_an_effect_is_not_sent_again(portal: FakePortal, browser: Browser, method: bytes) -> None:
    browser.send(get(portal).replace(b"GET", method, 1))
    portal.dialer[0].die()
    assert browser.status == 502
    assert len(portal.dialer) == 1


def test_nor_is_what_has_a_body(portal: FakePortal, browser: Browser) -> None:
    browser.send(get(portal, extra=b"Content-Length: 3\r\n") + b"abc")
    portal.dialer[0].die()
    assert browser.status == 502
    assert len(portal.dialer) == 1


def test_nor_what_was_answered_in_part(portal: FakePortal, browser: Browser) -> None:
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    portal.dialer[0].die()
    assert b"502 Bad Gateway" in browser.received
    assert len(portal.dialer) == 1


SEEN = {
    "malformed": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "too large": b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HEAD,
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a flood of 1xx": b"HTTP/1.1 102 X\r\n\r\n" * (MAX_INTERIM + 1),
    "a bare end of line": b"\r\n\r\n",
    "one byte": b"H",
    "half a head": b"HTTP/1.1 200 OK\r\nConte",
    "a part of a body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    "a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
}


@pytest.mark.parametrize("name", SEEN)
def test_nor_what_the_application_has_answered_with_a_single_byte(
    portal: FakePortal, browser: Browser, name: str
) -> None:
    """It has seen the request then, whatever its answer is worth."""
    browser.send(get(portal))
    portal.dialer[0].send(SEEN[name])
    portal.dialer[0].die()
    assert len(portal.dialer) == 1
    assert portal.lines()[-1]["outcome"] in ("unreachable", "broken")


@pytest.mark.parametrize("name", SEEN)
def test_nor_what_a_worker_has_answered_with_a_single_byte(portal: FakePortal, name: str) -> None:
    browser = portal.browser()
    ask = b"PROPFIND /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie() + b"\r\n"
    browser.send(ask)
    portal.worker_dialer[0].send(OK)
    browser.send(ask)
    portal.worker_dialer[0].send(SEEN[name])
    portal.worker_dialer[0].die()
    assert len(portal.worker_dialer) == 1


def test_what_may_have_an_effect_uses_a_fresh_connection_only(portal: FakePortal, browser: Browser) -> None:
    portal.settle(FRESH + 0.1)
    browser.send(get(portal).replace(b"GET", b"POST", 1))
    assert portal.dialer[0].received == b""
    assert portal.dialer[1].received.startswith(b"POST ")


def test_nor_does_a_websocket_begin_on_one_that_the_application_may_be_closing(
    portal: FakePortal, browser: Browser
) -> None:
    portal.settle(FRESH + 0.1)
    browser.send(websocket_request(portal))
    assert portal.dialer[0].received == b""
    assert portal.dialer[1].received.startswith(b"GET /socket ")


def test_a_connection_that_the_application_finished_with_is_not_used(portal: FakePortal, browser: Browser) -> None:
    """Its end is seen, and in the same turn of the reactor a request comes that must not be sent twice."""
    portal.dialer[0].finish()
    browser.send(get(portal).replace(b"GET", b"POST", 1))
    assert portal.dialer[0].received == b""
    assert portal.dialer[1].received.startswith(b"POST ")


def test_a_connection_that_was_unused_for_long_is_verified_anew_by_connecting(
    portal: FakePortal, browser: Browser
) -> None:
    portal.settle(KEPT)
    assert portal.dialer[0].is_closing
    browser = portal.browser()
    browser.send(get(portal))
    assert len(portal.dialer) == 2
