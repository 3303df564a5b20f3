"""Connections: one address and one account take all they can get, and others connect all the same."""

from __future__ import annotations

import pytest

from supercloud.config import Limits
from tests.fakes.accounts import BOB
from tests.fakes.portal import OK, FakePortal, get
from tests.fakes.transport import FakeTransport

_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n\r\n"
_MOST = 20


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal(limits=Limits(connections=_MOST, handshakes=5))


def _others_connect(portal: FakePortal) -> None:
    """Somebody comes from elsewhere, asks, thinks, and asks again."""
    browser = portal.browser(peer="198.51.100.1")
    browser.send(_HEALTH)
    assert browser.status == 200
    browser.take()
    portal.browser(peer="192.0.2.7")  # one more of the attacker's
    browser.send(_HEALTH)
    assert browser.status == 200
    browser.leave()


@pytest.mark.parametrize("peers", [("192.0.2.7",), ("2001:db8::1", "2001:db8::ffff:2"), ("127.0.0.1", "::1")])
def test_an_address_that_sends_nothing_does_not_keep_others_out(portal: FakePortal, peers: tuple[str, ...]) -> None:
    silent = [portal.browser(peer=peers[number % len(peers)]) for number in range(3 * _MOST)]
    assert sum(not one.is_closing for one in silent) == _MOST
    _others_connect(portal)
    assert len(portal.places) == _MOST - 1


def test_requests_of_nobodys_that_never_end_keep_nobody_out(portal: FakePortal) -> None:
    begun = b"POST /login HTTP/1.1\r\nHost: portal.test\r\nContent-Length: 100\r\n\r\nx"
    for _ in range(2 * _MOST):
        portal.browser().send(begun)
    _others_connect(portal)


def test_idle_connections_of_one_account_from_everywhere_keep_nobody_out(portal: FakePortal) -> None:
    idle = []
    for number in range(2 * _MOST):
        browser = portal.browser(peer=f"203.0.113.{number}")
        browser.send(get(portal))
        portal.dialer.upstreams[-1].send(OK)
        assert browser.status == 200
        idle.append(browser)
    _others_connect(portal)
    assert sum(not one.is_closing for one in idle) < _MOST


def test_a_download_under_way_goes_on_whatever_comes(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")
    for _ in range(3 * _MOST):
        portal.browser()
    portal.dialer[0].send(b"y")
    assert browser.received.endswith(b"xy")
    assert not browser.is_closing


def test_a_request_on_a_trodden_way_is_not_ended_either(portal: FakePortal) -> None:
    browser = portal.browser()
    for _ in range(2):
        browser.send(get(portal))
        portal.dialer[0].send(OK)
    browser.send(get(portal))
    for _ in range(3 * _MOST):
        portal.browser()
    portal.dialer[0].send(OK)
    assert browser.received.count(b"200 OK") == 3


def test_a_connection_without_a_handshake_has_ten_seconds(portal: FakePortal) -> None:
    channel = portal.door.buildProtocol(None)
    assert channel is not None
    made = FakeTransport(portal.clock, channel)
    channel.makeConnection(made)
    portal.settle(9)
    assert not made.disconnecting
    portal.settle(2)
    assert made.disconnecting


def test_bob_works_while_alice_holds_all_that_an_account_may(portal: FakePortal) -> None:
    for _ in range(_MOST // 2):
        portal.browser().send(get(portal))  # its application never answers
    for _ in range(2 * _MOST):
        portal.browser()
    bobs = portal.browser(peer="198.51.100.7")
    origin = "localhost-9090-u1002.fh.portal.test"
    cookie = portal.cookie(BOB, origin=origin)
    bobs.send(b"GET / HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n" + cookie + b"\r\n")
    portal.dialer.upstreams[-1].send(OK)
    assert bobs.status == 200
