"""Somebody else's listener is not touched."""

from __future__ import annotations

import pytest

from supercloud.ownership.rule import SocketOwner
from tests.fakes.accounts import ALICE, BOB, CAROL
from tests.fakes.portal import OK, PORT, SHARED_PORT, FakePortal, get, websocket_request


@pytest.mark.parametrize("extra", [b"", b"Content-Length: 3\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n"])
def test_it_is_not_even_connected_to(portal: FakePortal, extra: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=extra, origin="localhost-9090-u1002.fh.portal.test"))
    assert browser.status == 404
    assert portal.dialer.dialled == []
    assert portal.lines()[-1]["outcome"] == "refused"


def test_nor_by_a_websocket(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal, origin="localhost-9090-u1002.fh.portal.test"))
    assert browser.status == 404
    assert portal.dialer.dialled == []


def test_root_s_listener_is_nobody_s(portal: FakePortal) -> None:
    portal.owners.listeners[PORT] = SocketOwner(0, 0, 1, 0, True)
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 404
    assert portal.dialer.dialled == []


def test_a_member_of_the_group_gets_through_at_the_owners_label(portal: FakePortal) -> None:
    host = f"localhost-{SHARED_PORT}-u1001.fh.portal.test"
    browser = portal.browser()
    cookie = portal.cookie(BOB, origin=host, owner=ALICE.uid)
    browser.send(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + cookie + b"\r\n")
    portal.dialer[0].send(OK)
    assert browser.status == 200
    assert b"X-Forwarded-User: bob\r\n" in portal.dialer.received


def test_who_is_not_in_the_group_does_not(portal: FakePortal) -> None:
    host = f"localhost-{SHARED_PORT}-u1001.fh.portal.test"
    browser = portal.browser()
    cookie = portal.cookie(CAROL, origin=host, owner=ALICE.uid)
    browser.send(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + cookie + b"\r\n")
    assert browser.status == 404
    assert portal.dialer.dialled == []


def test_nothing_is_shared_between_principals(portal: FakePortal) -> None:
    hers = portal.browser()
    hers.send(get(portal))
    portal.dialer[0].send(OK)
    his = portal.browser()
    his.send(b"GET / HTTP/1.1\r\nHost: localhost-8080-u1001.fh.portal.test\r\n"
             + portal.cookie(BOB, origin="localhost-8080-u1001.fh.portal.test") + b"\r\n")  # fmt: skip
    assert his.status == 404
    assert len(portal.dialer) == 1
    assert portal.dialer.received.count(b"GET ") == 1


def test_an_answer_that_does_not_come_lets_nobody_through(portal: FakePortal) -> None:
    portal.owners.is_silent = True
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 502
    assert portal.dialer.dialled == []


def test_the_portals_own_listener_is_no_target() -> None:
    portal = FakePortal(own=(("127.0.0.1", PORT), ("::1", PORT)))
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 404
    assert portal.owners.asked == []


def test_nothing_listens_is_a_page_that_waits(portal: FakePortal) -> None:
    del portal.owners.listeners[PORT]
    browser = portal.browser()
    browser.send(get(portal, extra=b"Accept: text/html\r\n"))
    assert browser.status == 503
    assert browser.field(b"retry-after") == b"2"
    assert b'http-equiv="refresh"' in browser.received
