"""The port changes hands between the question and the connection: not one byte is sent."""

from __future__ import annotations

import pytest

from supercloud.ownership.rule import SocketOwner
from tests.fakes.portal import OK, PORT, FakePortal, get, websocket_request

HIS = SocketOwner(1002, 1002, 12, 1002, True)
WAITING = SocketOwner(1001, is_accepted=False)


def _take_over(portal: FakePortal) -> None:
    portal.owners.before_connection = lambda: portal.owners.listeners.update({PORT: HIS})


@pytest.mark.parametrize("extra", [b"", b"Content-Length: 3\r\n"])
def test_another_account_holds_the_connection(portal: FakePortal, extra: bytes) -> None:
    _take_over(portal)
    browser = portal.browser()
    browser.send(get(portal, extra=extra) + b"abc")
    assert browser.status == 404
    assert len(portal.dialer) == 1
    assert portal.dialer.received == b""
    assert portal.dialer[0].transport.aborted
    assert portal.pool.open_connections == 0


def test_a_websocket_likewise(portal: FakePortal) -> None:
    _take_over(portal)
    browser = portal.browser()
    browser.send(websocket_request(portal))
    assert browser.status == 404
    assert portal.dialer.received == b""


def test_the_listener_changes_while_the_connection_is_not_accepted(portal: FakePortal) -> None:
    portal.owners.connections[PORT] = WAITING
    browser = portal.browser()
    browser.send(get(portal))
    portal.owners.listeners[PORT] = HIS
    portal.clock.pump([0.02] * 10)
    assert browser.status == 404
    assert portal.dialer.received == b""


def test_a_connection_that_is_never_accepted_is_the_listeners(portal: FakePortal) -> None:
    portal.owners.connections[PORT] = WAITING
    browser = portal.browser()
    browser.send(get(portal))
    assert portal.dialer.received == b""
    portal.clock.pump([0.02] * 10)
    portal.dialer[0].send(OK)
    assert browser.status == 200
    assert portal.lines()[-1]["rule"] == "listener"


def test_another_owner_whom_the_viewer_may_reach_as_well_is_refused_too(portal: FakePortal) -> None:
    """What was decided by the first owner, the origin above all, does not hold for the second."""
    portal.owners.connections[PORT] = SocketOwner(1002, 1001, 12, 1002, True)
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 404
    assert portal.dialer.received == b""


def test_a_connection_that_the_node_does_not_know_is_not_used(portal: FakePortal) -> None:
    portal.owners.connections[PORT] = None
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 502
    assert portal.dialer.received == b""


def test_an_answer_about_the_connection_that_does_not_come_lets_nobody_through(portal: FakePortal) -> None:
    def fall_silent() -> None:
        portal.owners.is_silent = True

    portal.owners.before_connection = fall_silent
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 502
    assert portal.dialer.received == b""
    assert portal.pool.open_connections == 0


@pytest.mark.parametrize("is_eager", [False, True])
def test_an_application_that_ends_the_connection_before_it_was_verified_is_a_502(
    portal: FakePortal, is_eager: bool
) -> None:
    def end() -> None:
        upstream = portal.dialer[0]
        if is_eager:
            upstream.send(b"SSH-2.0-x\r\n")
        upstream.die()

    portal.owners.before_connection = end
    browser = portal.browser()
    browser.send(get(portal))
    assert browser.status == 502
    assert portal.pool.open_connections == 0


def test_the_port_changes_hands_between_two_requests(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    browser.take()
    portal.dialer[0].die()
    portal.owners.listeners[PORT] = HIS
    browser.send(get(portal))
    assert browser.status == 404
    assert len(portal.dialer) == 1
