"""What one account may hold open at once."""

from __future__ import annotations

from supercloud.config import Limits
from tests.fakes.accounts import BOB
from tests.fakes.portal import OK, FakePortal, get


def _bobs(portal: FakePortal) -> bytes:
    return (b"GET / HTTP/1.1\r\nHost: localhost-9090-u1002.fh.portal.test\r\n"
            + portal.cookie(BOB, origin="localhost-9090-u1002.fh.portal.test") + b"\r\n")  # fmt: skip


def test_connections_at_the_limit_are_made_and_one_more_is_not() -> None:
    portal = FakePortal(connections=3)
    for _ in range(3):
        portal.browser().send(get(portal))
    assert len(portal.dialer) == 3
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 429
    assert len(portal.dialer) == 3


def test_another_account_is_not_concerned() -> None:
    portal = FakePortal(connections=1)
    portal.browser().send(get(portal))
    portal.browser().send(_bobs(portal))
    assert len(portal.dialer) == 2


def test_an_unused_connection_makes_way() -> None:
    portal = FakePortal(connections=1)
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    browser.send(get(portal, b"/", origin="localhost-9191-u1001.fh.portal.test"))
    assert len(portal.dialer) == 2
    assert portal.dialer[0].is_closing


def test_an_unused_connection_makes_way_for_one_only() -> None:
    portal = FakePortal(connections=1)
    browser, other = portal.browser(), portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    browser.send(get(portal, b"/", origin="localhost-9191-u1001.fh.portal.test"))
    other.send(get(portal, b"/", origin="localhost-9191-u1001.fh.portal.test"))
    assert other.status == 429
    assert len(portal.dialer) == 2


def test_a_connection_that_makes_way_carries_nothing_more() -> None:
    portal = FakePortal(connections=2)
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    portal.dialer[0].take()
    for _ in range(2):
        portal.browser().send(get(portal, b"/", origin="localhost-9191-u1001.fh.portal.test"))
    assert portal.dialer[0].is_closing
    browser.send(get(portal))
    assert portal.dialer[0].received == b""


def test_requests_under_way_at_the_limit_are_carried_and_one_more_is_not() -> None:
    portal = FakePortal(streams=2)
    browsers = [portal.browser() for _ in range(3)]
    for browser in browsers:
        browser.send(get(portal))
    assert [browser.status for browser in browsers] == [0, 0, 429]
    portal.dialer[0].send(OK)
    browsers[2].take()
    browsers[2].send(get(portal))
    assert browsers[2].received == b""


def test_a_browser_that_leaves_frees_its_place() -> None:
    portal = FakePortal(streams=1, connections=1)
    for _ in range(3):
        browser = portal.browser()
        browser.send(get(portal))
        assert browser.status == 0
        browser.leave()
        portal.settle()


def test_a_refused_connect_frees_its_place() -> None:
    from supercloud.errors import Unreachable

    portal = FakePortal(connections=1)
    portal.dialer.refuses = Unreachable("no route")
    for _ in range(3):
        browser = portal.browser()
        browser.send(get(portal))
        assert browser.status == 502


def test_heads_fields_and_time_have_limits() -> None:
    portal = FakePortal(limits=Limits(head=1000, fields=10))

    def answer(data: bytes) -> int:
        browser = portal.browser()
        browser.send(data)
        return browser.status

    start = b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n"
    assert answer(start + b"X: y\r\n" * 9 + b"\r\n") == 200
    assert answer(start + b"X: y\r\n" * 10 + b"\r\n") == 431
    exact = start + b"X: " + b"y" * (1000 - len(start) - 7) + b"\r\n\r\n"
    assert len(exact) == 1000
    assert answer(exact) == 200
    assert answer(exact.replace(b"yy", b"yyy", 1)) == 431
    assert answer(start + b"X: " + b"y" * 1000) == 431


def test_a_head_that_drips_is_not_waited_for(portal: FakePortal) -> None:
    browser = portal.browser()
    for byte in get(portal)[:14]:
        browser.send(bytes([byte]))
        portal.settle(1)
    assert browser.status == 0
    portal.settle(2)
    assert browser.status == 408
    assert browser.is_closing


def test_a_connection_between_requests_is_closed_in_the_end(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    browser.take()
    portal.settle(74)
    assert not browser.is_closing
    portal.settle(2)
    assert browser.is_closing
    assert browser.received == b""


def test_the_whole_portal_has_a_limit_too() -> None:
    portal = FakePortal(limits=Limits(connections=1))
    first = portal.browser()
    first.send(get(portal))  # and its application has not answered
    assert portal.door.buildProtocol(None) is None
    first.leave()
    assert portal.door.buildProtocol(None) is not None
