"""A portal that stops lets exchanges finish, within a bound."""

from __future__ import annotations

from tests.fakes.portal import OK, FakePortal, get


def test_without_connections_it_stops_at_once(portal: FakePortal) -> None:
    assert portal.door.stop(10.0).called


def test_nobody_is_let_in_any_more(portal: FakePortal) -> None:
    portal.door.stop(10.0)
    assert portal.door.buildProtocol(None) is None


def test_an_idle_connection_is_closed_at_once(portal: FakePortal) -> None:
    browser = portal.browser()
    stopped = portal.door.stop(10.0)
    assert browser.is_closing
    assert not stopped.called
    portal.settle()
    assert stopped.called


def test_an_exchange_under_way_finishes_and_its_connection_closes(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    stopped = portal.door.stop(10.0)
    assert not browser.is_closing
    portal.dialer[0].send(OK)
    assert browser.status == 200
    assert browser.field(b"connection") == b"close"
    portal.settle()
    assert stopped.called


def test_what_does_not_finish_in_time_is_broken_off(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    stopped = portal.door.stop(10.0)
    portal.clock.pump([10.0, 0.0])
    assert browser.transport.aborted
    assert stopped.called
    assert portal.dialer[0].transport.aborted


def test_a_connection_that_does_not_even_break_off_keeps_nothing(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.transport.loseConnection = browser.transport.abortConnection = lambda: None
    stopped = portal.door.stop(10.0)
    portal.clock.pump([9.0, 0.0])
    assert not stopped.called
    portal.clock.pump([10.0, 1.0])
    assert stopped.called


def test_a_tunnel_ends_on_both_sides(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, extra=b"Connection: upgrade\r\nUpgrade: x\r\n"))
    portal.dialer[0].send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    portal.door.stop(10.0)
    assert browser.is_closing
    assert portal.dialer[0].is_closing
    portal.settle()
    assert portal.pool.open_connections == 0


def test_an_exchange_that_waits_for_its_application_is_answered_if_that_comes_in_time(portal: FakePortal) -> None:
    portal.dialer.waiting = waiting = []
    browser = portal.browser()
    browser.send(get(portal))
    portal.door.stop(10.0)
    waiting[0].callback(None)
    portal.dialer[0].send(OK)
    assert browser.status == 200


def test_kept_connections_close_with_the_pool(portal: FakePortal) -> None:
    portal.browser().send(get(portal))
    portal.dialer[0].send(OK)
    portal.pool.close()
    portal.settle()
    assert portal.pool.open_connections == 0
