"""A request that repeats the last one's fields takes its way; nothing that could have changed is taken on trust."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supercloud.message.head import parse_request
from supercloud.ownership.rule import SocketOwner
from tests.fakes.accounts import BOB
from tests.fakes.portal import HIS_PORT, OK, ORIGIN, PORT, TOGETHER, Browser, FakePortal, get, requests_in


class Way:
    """A browser's connection that one request has gone over.

    :ivar head: of that request, with a place for the target.
    """

    def __init__(self, portal: FakePortal, head: bytes) -> None:
        self.portal, self.head = portal, head
        self.browser: Browser = portal.browser()
        self.ask(b"/first")
        self.upstream = portal.dialer[-1]
        self.upstream.send(OK)
        assert self.browser.status == 200
        self.browser.take()
        self.upstream.take()
        portal.owners.asked.clear()

    def ask(self, target: bytes) -> None:
        self.browser.send(self.head.replace(b"/TARGET", target))


@pytest.fixture
def way(portal: FakePortal) -> Way:
    return Way(portal, get(portal, b"/TARGET", b"X-Forwarded-User: root\r\nAccept: */*\r\n"))


def test_it_looks_the_same_from_both_ends(portal: FakePortal, way: Way) -> None:
    way.ask(b"/second?q=1")
    way.upstream.send(OK)
    [(request, _)] = requests_in(way.upstream.take())
    assert request.target == b"/second?q=1"
    assert dict(request.headers)[b"x-forwarded-user"] == b"alice"
    assert way.browser.status == 200
    assert portal.owners.asked == []
    first, second = portal.lines()
    ours = {"id", "time", "seconds", "path", "rule"}
    assert {key: value for key, value in first.items() if key not in ours} == {
        key: value for key, value in second.items() if key not in ours
    }
    assert (second["path"], second["rule"]) == ("/second", "kept")


def test_a_session_that_ended_is_noticed(portal: FakePortal, way: Way) -> None:
    for session in portal.sessions._sessions.values():
        session.end("logged out")
    way.ask(b"/second")
    assert way.browser.status == 303  # to the ticket address, which knows nobody either
    assert way.upstream.received == b""


def test_the_portals_own_addresses_are_not_the_applications(way: Way) -> None:
    for target in (b"/.portal/x", b"/.portal", b"/.portal?x=/../"):
        way.ask(target)
        assert way.browser.status not in (0, 200)
        assert way.upstream.received == b""
        way.browser.take()


@pytest.mark.parametrize(
    "target",
    [
        b"/a#b", b"/a b", b"/a\tb", b"/\x80", b"*", b"a", b"", b"//x\0", b"http://evil.test/",
        b"/a\r\nTransfer-Encoding: chunked",
    ],
)  # fmt: skip
def test_a_target_that_is_none_is_refused_as_ever(way: Way, target: bytes) -> None:
    way.ask(target)
    assert way.browser.status == 400
    assert way.upstream.received == b""


def test_fields_in_the_place_of_a_target_are_read(way: Way) -> None:
    way.ask(b"/a HTTP/1.1\r\nX-Forwarded-User: root\r\nX: y")
    way.upstream.send(OK)
    [(request, _)] = requests_in(way.upstream.take())
    assert request.target == b"/a"
    assert dict(request.headers)[b"x-forwarded-user"] == b"alice"


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.replace(b"GET ", b"GE T "),
        lambda head: head.replace(b"GET ", b"GET  "),
        lambda head: head.replace(b"HTTP/1.1", b"HTTP/1.2"),
        lambda head: head.replace(b"Host: ", b"Host : "),
        lambda head: head.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        lambda head: head.replace(b"\r\n\r\n", b"\r\n x: folded\r\n\r\n"),
    ],
)
def test_a_head_that_differs_elsewhere_is_read_anew(way: Way, change: Callable[[bytes], bytes]) -> None:
    way.browser.send(change(way.head).replace(b"/TARGET", b"/"))
    assert way.browser.status == 400
    assert way.upstream.received == b""


def test_another_method_is_judged_as_another_request(way: Way) -> None:
    way.browser.send(way.head.replace(b"GET /TARGET", b"TRACE /x"))
    assert way.browser.status == 405
    assert way.upstream.received == b""


def test_a_page_of_another_origin_is_refused_though_its_cookie_is_the_same(way: Way) -> None:
    way.browser.send(way.head.replace(b"/TARGET", b"/x").replace(b"Accept:", b"Sec-Fetch-Site: same-site\r\nAccept:"))
    assert way.browser.status == 403
    assert way.upstream.received == b""


def test_somebody_elses_cookie_on_the_same_connection_is_somebody_else(portal: FakePortal, way: Way) -> None:
    bob = b"GET /x HTTP/1.1\r\nHost: " + ORIGIN.encode() + b"\r\n" + portal.cookie(BOB, origin=ORIGIN) + b"\r\n"
    way.browser.send(bob)
    assert portal.owners.asked
    assert way.upstream.received == b""


def test_a_path_beside_the_prefix_leads_elsewhere(portal: FakePortal) -> None:
    cookie = portal.cookie(origin=TOGETHER)
    head = b"GET /fw2/localhost:8080/TARGET HTTP/1.1\r\nHost: apps.portal.test\r\n" + cookie + b"\r\n"
    way = Way(portal, head)
    for target in (
        b"/fw2/localhost:80801/x",
        b"/fw2/localhost:%d/x" % HIS_PORT,
        b"/tokens",
        b"/fw2/localhost:8080.evil/x",
    ):
        way.browser.send(head.replace(b"/fw2/localhost:8080/TARGET", target))
        assert way.browser.status != 0
        assert way.upstream.received == b""
        way.browser.take()
        if not way.browser.transport.connected or way.browser.is_closing:
            way = Way(portal, head)


def test_without_a_kept_connection_the_listener_is_asked_about(portal: FakePortal, way: Way) -> None:
    way.upstream.die()
    portal.owners.listeners[PORT] = SocketOwner(1002, 1002, 99, 1002, True)
    way.ask(b"/second")
    assert portal.owners.asked
    assert way.browser.status == 404


def test_a_kept_connection_of_another_owner_is_not_taken_for_the_last_ones(portal: FakePortal) -> None:
    """The port went from alice to bob, whose group she is in: she must be led to his label."""
    way = Way(portal, get(portal, b"/TARGET"))
    [kept] = portal.pool._unused.values()
    owner = SocketOwner(1002, 1002, 99, 1002, True)
    permit = type(kept.grant.permit)(
        kept.grant.permit.principal, kept.grant.permit.target, kept.grant.permit.address, owner,
        kept.grant.permit.verdict,
    )  # fmt: skip
    kept.grant = type(kept.grant)(permit, owner, kept.grant.verdict, kept.grant.basis)
    way.ask(b"/second")
    assert way.browser.status != 200
    assert way.upstream.received == b""


def test_streams_are_counted_on_it() -> None:
    portal = FakePortal(streams=1)
    way = Way(portal, get(portal, b"/TARGET"))
    held = portal.browser()
    held.send(get(portal, b"/held"))
    way.ask(b"/second")
    assert way.browser.status == 429


def test_a_websocket_leaves_nothing_behind_for_the_next(portal: FakePortal, way: Way) -> None:
    portal.open_websocket(way.browser)
    assert way.browser.channel.memory == {}


def test_a_head_that_is_large_is_not_remembered(portal: FakePortal) -> None:
    head = get(portal, b"/TARGET", b"X-Large: " + b"x" * 9000 + b"\r\n")
    way = Way(portal, head)
    assert way.browser.channel._last.raw == b""
    way.ask(b"/second")
    way.upstream.send(OK)
    assert way.browser.status == 200


def test_a_response_head_is_remembered_for_its_method_only(portal: FakePortal) -> None:
    """Byte for byte the same head ends at once after HEAD, and has a body after GET."""
    way = Way(portal, get(portal, b"/TARGET"))
    way.browser.send(way.head.replace(b"GET /TARGET", b"HEAD /x"))
    way.upstream.send(OK.removesuffix(b"ok"))
    assert way.browser.status == 200
    way.browser.take()
    way.ask(b"/third")
    way.upstream.send(OK)
    assert way.browser.received.endswith(b"\r\n\r\nok")


def test_an_equal_head_gives_what_reading_it_anew_gives(way: Way) -> None:
    way.ask(b"/second")
    read = parse_request(way.head.replace(b"/TARGET", b"/second"))
    last = way.browser.channel._last
    assert (last.target, last.host, last.first, last.raw) == (read.target, read.host, read.first, read.raw)
