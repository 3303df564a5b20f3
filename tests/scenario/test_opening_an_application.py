"""From the workspace into an application: what lets its owner in goes to a process of the owner's, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supercloud.authn.scope import forward_scope
from supercloud.front.pages import Listed
from supercloud.ownership.rule import SocketOwner
from supercloud.target import Application
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import (
    OK,
    ORIGIN,
    PORT,
    SHARED_PORT,
    TOGETHER,
    Browser,
    FakePortal,
    accept,
    bearer,
    get,
    requests_in,
    websocket_request,
)
from tests.scenario.person import PAGE, Person

TOLD = {"node": "localhost", "port": PORT, "path": "/lab?reset", "authorization": "token abc"}
OPENED = f"https://{ORIGIN}/lab?reset"
LAB = Application("localhost", PORT)


def tell(portal: FakePortal, told: dict[str, Any] | None = TOLD) -> None:
    """The worker answers the front's question about a job."""
    body = b"" if told is None else json.dumps(told).encode()
    status = b"404 Not Found" if told is None else b"200 OK"
    portal.worker_dialer[-1].send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


def open_job(portal: FakePortal, cookie: bytes, at: bytes = b"/open/42", **changed: Any) -> Browser:
    browser = portal.browser()
    browser.send(b"GET " + at + b" HTTP/1.1\r\nHost: portal.test\r\n" + PAGE + cookie + b"\r\n")
    if portal.worker_dialer.upstreams and not browser.status:
        tell(portal, TOLD | changed)
    return browser


def fields_of(portal: FakePortal) -> dict[bytes, bytes]:
    """What the application got last."""
    [(request, _)] = requests_in(portal.dialer[-1].take())
    return dict(request.headers)


def ask(portal: FakePortal, extra: bytes = b"", *, origin: str = ORIGIN) -> dict[bytes, bytes]:
    portal.browser().send(get(portal, b"/lab", extra, origin=origin))
    return fields_of(portal)


def test_a_job_is_opened_on_an_origin_of_its_own_by_a_link_without_a_credential(portal: FakePortal) -> None:
    browser = open_job(portal, portal.cookie())
    assert portal.worker_dialer[0].received == b"SESSION /42 HTTP/1.1\r\nHost: worker\r\n\r\n"
    assert browser.status == 303
    assert browser.field(b"location") == OPENED.encode()
    assert b"abc" not in browser.received


def test_the_application_is_told_what_lets_its_owner_in(portal: FakePortal) -> None:
    person = Person(portal, ALICE)
    tells = portal.browser()
    tells.send(b"GET /open/42 HTTP/1.1\r\nHost: portal.test\r\n" + person.cookies("portal.test").encode() + b"\r\n")
    tell(portal)
    browser = person.visit(OPENED)
    sent = portal.dialer[-1].take()
    [(request, _)] = requests_in(sent)
    assert request.target == b"/lab?reset"
    assert dict(request.headers)[b"authorization"] == b"token abc"
    portal.dialer[-1].send(OK)
    assert browser.status == 200
    assert b"abc" not in browser.received
    assert "abc" not in json.dumps(portal.lines())
    assert not any("abc" in url for url in person.visited)


def test_an_application_without_an_origin_is_opened_by_its_path(portal: FakePortal) -> None:
    portal.hosts.has_wildcards = False
    assert (
        open_job(portal, portal.cookie()).field(b"location") == b"https://apps.portal.test/fw2/localhost:8080/lab?reset"
    )
    portal.browser().send(get(portal, b"/fw2/localhost:8080/lab", origin=TOGETHER))
    assert fields_of(portal)[b"authorization"] == b"token abc"


def test_the_next_request_of_a_trodden_connection_has_it(portal: FakePortal) -> None:
    browser, request = portal.browser(), get(portal, b"/lab")
    for _ in range(2):
        browser.send(request)
        assert b"authorization" not in fields_of(portal)
        portal.dialer[-1].send(OK)
    open_job(portal, portal.cookie())
    browser.send(request)
    assert fields_of(portal)[b"authorization"] == b"token abc"
    portal.dialer[-1].send(OK)
    browser.send(request)
    assert fields_of(portal)[b"authorization"] == b"token abc"
    portal.dialer[-1].send(OK)
    open_job(portal, portal.cookie(), authorization="token def")
    browser.send(request)
    assert fields_of(portal)[b"authorization"] == b"token def"
    assert len(portal.dialer) == 3, "a connection for what was shown on it, and for nothing else"


def test_websockets_have_it_too(portal: FakePortal) -> None:
    open_job(portal, portal.cookie())
    browser = portal.browser()
    browser.send(websocket_request(portal, b"Origin: https://" + ORIGIN.encode() + b"\r\n"))
    handshake = portal.dialer[-1].take()
    assert b"Authorization: token abc\r\n" in handshake
    portal.dialer[-1].send(accept(handshake))
    assert browser.status == 101
    assert b"abc" not in browser.received


def test_a_field_of_the_requests_own_goes_before(portal: FakePortal) -> None:
    open_job(portal, portal.cookie())
    assert ask(portal, b"Authorization: token mine\r\n")[b"authorization"] == b"token mine"


def test_a_job_that_needs_none_has_none(portal: FakePortal) -> None:
    open_job(portal, portal.cookie())
    assert open_job(portal, portal.cookie(), authorization="").status == 303
    assert b"authorization" not in ask(portal)


# Attacks.


def test_bobs_listener_that_took_the_port_is_told_nothing(portal: FakePortal) -> None:
    open_job(portal, portal.cookie())
    portal.owners.listeners[PORT] = SocketOwner(BOB.uid, ALICE.gid, 14, BOB.gid, True)
    portal.browser().send(get(portal, b"/lab"))
    assert b"abc" not in portal.dialer.received


def test_bobs_listener_that_is_shared_with_alice_is_told_nothing(portal: FakePortal) -> None:
    origin = f"localhost-{SHARED_PORT}-u{BOB.uid}.fh.portal.test"
    portal.owners.listeners[SHARED_PORT] = SocketOwner(BOB.uid, ALICE.gid, 14, BOB.gid, True)
    open_job(portal, portal.cookie(), port=SHARED_PORT)
    cookie = portal.cookie(ALICE, origin=origin, owner=BOB.uid)
    portal.browser().send(b"GET /lab HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n" + cookie + b"\r\n")
    assert b"GET /lab" in portal.dialer.received
    assert b"abc" not in portal.dialer.received


def test_a_connection_that_a_process_of_bobs_holds_is_told_nothing(portal: FakePortal) -> None:
    """The port changed hands between the answer and the connection, to a process whose group would permit."""
    open_job(portal, portal.cookie())
    portal.owners.connections[PORT] = SocketOwner(BOB.uid, ALICE.gid, 14, BOB.gid, True)
    portal.browser().send(get(portal, b"/lab"))
    assert len(portal.dialer) == 1
    assert portal.dialer.received == b""


def test_a_trodden_way_leads_to_bobs_listener_without_it(portal: FakePortal) -> None:
    open_job(portal, portal.cookie())
    browser, request = portal.browser(), get(portal, b"/lab")
    browser.send(request)
    upstream = portal.dialer[-1]
    upstream.send(OK)
    assert b"abc" in upstream.take()
    upstream.die()
    portal.owners.listeners[PORT] = SocketOwner(BOB.uid, ALICE.gid, 14, BOB.gid, True)
    browser.send(request)
    assert b"abc" not in portal.dialer.received


def test_bob_who_looks_at_alices_application_brings_none_of_hers(portal: FakePortal) -> None:
    open_job(portal, portal.cookie(), port=SHARED_PORT)
    origin = f"localhost-{SHARED_PORT}-u{ALICE.uid}.fh.portal.test"
    cookie = portal.cookie(BOB, origin=origin, owner=ALICE.uid)
    portal.browser().send(b"GET /lab HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n" + cookie + b"\r\n")
    assert b"GET /lab" in portal.dialer.received
    assert b"abc" not in portal.dialer.received


def test_bob_asks_his_own_worker_and_hands_to_himself(portal: FakePortal) -> None:
    open_job(portal, portal.cookie(BOB))
    assert portal.worker_dialer.dialled == [("/run/1002-1.sock", BOB.uid)]
    assert b"authorization" not in ask(portal)


def test_another_port_is_told_nothing(portal: FakePortal) -> None:
    open_job(portal, portal.cookie(), port=8888)
    assert b"authorization" not in ask(portal)


def test_after_signing_out_nothing_is_left(portal: FakePortal) -> None:
    cookie = portal.cookie()
    browser, request = portal.browser(), get(portal, b"/lab")
    open_job(portal, cookie)
    browser.send(request)
    assert fields_of(portal)[b"authorization"] == b"token abc"
    portal.dialer[-1].send(OK)
    portal.browser().send(b"POST /logout HTTP/1.1\r\nHost: portal.test\r\n" + cookie + b"\r\n")
    assert len(portal.handed) == 0
    assert b"authorization" not in ask(portal)


def test_a_session_that_ended_alone_takes_it_from_a_trodden_connection(portal: FakePortal) -> None:
    browser, request = portal.browser(), get(portal, b"/lab")
    cookie = portal.cookie()
    opener = portal.sessions._sessions[max(portal.sessions._sessions)]
    open_job(portal, cookie)
    browser.send(request)
    assert fields_of(portal)[b"authorization"] == b"token abc"
    portal.dialer[-1].send(OK)
    opener.end("kicked")
    browser.send(request)
    assert b"authorization" not in fields_of(portal)


def test_a_token_for_a_forward_brings_none(portal: FakePortal) -> None:
    portal = FakePortal(takes_programs=True)
    portal.forwards.write("alice-tb", "http://localhost:8080/")
    open_job(portal, portal.cookie())
    token = bearer(portal.token(ALICE, forward_scope("alice-tb")))
    portal.browser().send(b"GET /fw/alice-tb/ HTTP/1.1\r\nHost: portal.test\r\n" + token + b"\r\n")
    assert b"GET / " in portal.dialer.received
    assert b"abc" not in portal.dialer.received


def program(portal: FakePortal, token: str) -> Browser:
    """A program of alice's asks for her application by its forward."""
    browser = portal.browser()
    browser.send(b"GET /fw/alice-tb/program HTTP/1.1\r\nHost: portal.test\r\n" + bearer(token) + b"\r\n")
    return browser


@pytest.fixture
def guarded() -> FakePortal:
    """Alice's forward leads to an application whose guard looks at a connection's first request only."""
    portal = FakePortal(takes_programs=True)
    portal.forwards.write("alice-tb", "http://localhost:8080/")
    return portal


@pytest.mark.parametrize("is_opened", [True, False])
def test_a_token_does_not_use_a_connection_that_a_session_opened(guarded: FakePortal, is_opened: bool) -> None:
    """Whoever has shown the secret there is taken to be at its other end until it closes."""
    if is_opened:
        open_job(guarded, guarded.cookie())
    guarded.browser().send(get(guarded, b"/lab", origin=f"alice-tb-u{ALICE.uid}.fn.portal.test"))
    assert (b"authorization" in fields_of(guarded)) is is_opened
    guarded.dialer[0].send(OK)
    program(guarded, guarded.token(ALICE, forward_scope("alice-tb")))
    assert guarded.dialer[0].received == b""
    assert guarded.dialer[1].received.startswith(b"GET /program ")


def test_nor_does_a_session_one_that_a_token_opened_nor_another_token(guarded: FakePortal) -> None:
    scope = forward_scope("alice-tb")
    token = guarded.token(ALICE, scope)
    for _ in range(2):
        program(guarded, token)
        guarded.dialer[0].send(OK)
    assert len(guarded.dialer) == 1
    guarded.dialer[0].take()
    program(guarded, guarded.token(ALICE, scope))
    guarded.dialer[1].send(OK)
    guarded.browser().send(get(guarded, b"/lab", origin=f"alice-tb-u{ALICE.uid}.fn.portal.test"))
    assert guarded.dialer[0].received == b""
    assert len(guarded.dialer) == 3


def test_what_was_forgotten_opens_no_connection_that_is_kept(portal: FakePortal) -> None:
    """Alice is signed in twice; the session that opened the application has ended, the connection has not."""
    cookie = portal.cookie()
    opener = portal.sessions._sessions[max(portal.sessions._sessions)]
    open_job(portal, cookie)
    browser, request = portal.browser(), get(portal, b"/lab")
    browser.send(request)
    assert b"abc" in portal.dialer[0].take()
    portal.dialer[0].send(OK)
    opener.end("signed out elsewhere")
    for one in (browser, portal.browser()):
        one.send(request)
        assert portal.dialer[0].received == b""
        assert b"authorization" not in fields_of(portal)
        portal.dialer[-1].send(OK)
    assert len(portal.dialer) == 2


def test_bobs_forward_to_alices_application_brings_none(portal: FakePortal) -> None:
    """He says below which of its paths her requests end up."""
    owner = SocketOwner(ALICE.uid, 2000, 13, ALICE.uid, True)
    portal.owners.listeners[PORT] = owner
    portal.forwards.write("bobs", "http://localhost:8080/api/shutdown/", uid=BOB.uid, gid=2000, executors=(ALICE.uid,))
    portal.forwards.write("hers", "http://localhost:8080/")
    open_job(portal, portal.cookie())
    for name, is_handed in (("bobs", False), ("hers", True)):
        sent = ask(portal, origin=f"{name}-u{ALICE.uid}.fn.portal.test")
        assert (sent.get(b"authorization") == b"token abc") is is_handed


@pytest.mark.parametrize(
    "changed",
    [{"authorization": "token a\r\nX-Evil: 1"}, {"port": 22}, {"port": 1023}, {"path": "//evil.test/"},
     {"path": "/\\evil.test"}, {"path": "https://evil.test/"}, {"node": "localhost/@evil.test"}, {"path": "/a\r\nX: y"},
     {"node": "a\r\nLocation: x"}],
)  # fmt: skip
def test_what_a_session_file_may_not_say_leads_nowhere(portal: FakePortal, changed: dict[str, Any]) -> None:
    browser = open_job(portal, portal.cookie(), **changed)
    assert browser.status == 503
    assert b"evil" not in browser.received.lower()
    assert len(portal.handed) == 0


@pytest.mark.parametrize(
    "changed", [{"node": "evil.test"}, {"node": "127.0.0.1"}, {"path": "/../x"}, {"path": "/%2e%2E/x"}]
)
def test_what_the_site_does_not_open_leads_nowhere(portal: FakePortal, changed: dict[str, Any]) -> None:
    browser = open_job(portal, portal.cookie(), **changed)
    assert browser.status == 404
    assert browser.field(b"location") is None


def test_a_node_that_is_not_allowed_is_handed_nothing(portal: FakePortal) -> None:
    open_job(portal, portal.cookie(), node="evil.test")
    assert len(portal.handed) == 0


# The rest.


def test_a_job_that_says_nothing_yet_waits(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"GET /open/42 HTTP/1.1\r\nHost: portal.test\r\n" + PAGE + portal.cookie() + b"\r\n")
    tell(portal, None)
    assert browser.status == 503
    assert b'http-equiv="refresh"' in browser.received


@pytest.mark.parametrize(
    "path", [b"/open", b"/open/x", b"/open/42.json", b"/open/../dav/", b"/open/42/x",
             b"/open/localhost:99999/", b"/open/localhost", b"/open/localhost:08080/", b"/open/localhost:8080/../x"],
)  # fmt: skip
def test_nothing_else_is_opened(portal: FakePortal, path: bytes) -> None:
    assert open_job(portal, portal.cookie(), path).status in (400, 404)
    assert portal.monitor.started == []


@pytest.mark.parametrize(
    ("path", "to"),
    [("/", "/"), ("", "/"), ("/lab/tree?a=b", "/lab/tree?a=b"), ("//evil.test/", "/"),
     ("/?next=//evil.test", "/?next=//evil.test")],
)  # fmt: skip
def test_a_listed_socket_is_opened_without_asking_anybody(portal: FakePortal, path: str, to: str) -> None:
    browser = open_job(portal, portal.cookie(), f"/open/localhost:8080{path}".encode())
    assert browser.field(b"location") == f"https://{ORIGIN}{to}".encode()
    assert portal.monitor.started == []


def test_what_listens_on_this_host_is_listed(portal: FakePortal) -> None:
    portal.listed = [Listed("jupyter", "localhost:8080", f"https://{ORIGIN}/", "/fw2/localhost:8080/")]
    assert f'href="https://{ORIGIN}/"'.encode() in open_job(portal, portal.cookie(), b"/open/").received
    assert portal.monitor.started == []


def test_nobody_opens_without_a_session(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"GET /open/42 HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert browser.status == 401
    assert portal.monitor.started == []


def test_opening_is_get(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"POST /open/42 HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie() + b"\r\n")
    assert browser.status == 405


# After a restart of the portal: what was opened before is open still.


@pytest.fixture
def restarted() -> FakePortal:
    """One that people come back to with their sessions and open pages, and that has been told nothing yet."""
    return FakePortal(recalls=True)


def test_a_page_that_was_open_goes_on_after_a_restart(restarted: FakePortal) -> None:
    browsers = [restarted.browser() for _ in range(3)]
    cookie = restarted.cookie(origin=ORIGIN)
    for browser in browsers:
        browser.send(f"GET /api/kernels HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    assert [upstream.received for upstream in restarted.dialer.upstreams] == [b""] * 3
    asked = b"".join(upstream.received for upstream in restarted.worker_dialer.upstreams)
    assert asked == f"SESSION /localhost:{PORT} HTTP/1.1\r\nHost: worker\r\n\r\n".encode()
    tell(restarted)
    for upstream in restarted.dialer.upstreams:
        [(request, _)] = requests_in(upstream.take())
        assert dict(request.headers)[b"authorization"] == b"token abc"


def again(portal: FakePortal, cookie: bytes) -> dict[bytes, bytes]:
    portal.browser().send(f"GET /lab HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    return fields_of(portal)


def test_what_was_told_again_is_shown_on_no_connection_of_whoever_knew_nothing(restarted: FakePortal) -> None:
    cookie = restarted.cookie(origin=ORIGIN)
    restarted.browser().send(f"GET /lab HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    tell(restarted)
    assert fields_of(restarted)[b"authorization"] == b"token abc"
    restarted.dialer[0].send(OK)
    assert again(restarted, cookie)[b"authorization"] == b"token abc"
    restarted.dialer[0].send(OK)
    assert len(restarted.dialer) == 1
    restarted.handed.stop()
    assert b"authorization" not in again(restarted, cookie)
    assert len(restarted.dialer) == 2


@pytest.mark.parametrize(
    "told",
    [None, TOLD | {"authorization": ""}, TOLD | {"node": "node1"}, TOLD | {"port": PORT + 1}, TOLD | {"path": "//x"}],
)
def test_a_worker_that_knows_of_no_such_application_is_asked_once_in_a_session(
    restarted: FakePortal, told: dict[str, Any] | None
) -> None:
    cookie = restarted.cookie(origin=ORIGIN)
    restarted.browser().send(f"GET /lab HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    tell(restarted, told)
    assert b"authorization" not in fields_of(restarted)
    assert b"authorization" not in again(restarted, cookie)
    assert len(restarted.worker_dialer) == 1
    other = restarted.cookie(origin=ORIGIN)
    restarted.browser().send(f"GET /lab HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + other + b"\r\n")
    tell(restarted)
    assert fields_of(restarted)[b"authorization"] == b"token abc"


def test_a_worker_that_does_not_answer_holds_up_one_request_for_its_time(restarted: FakePortal) -> None:
    cookie = restarted.cookie(origin=ORIGIN)
    restarted.browser().send(f"GET /lab HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    restarted.clock.pump([0.5] * 12)
    assert b"authorization" not in fields_of(restarted)
    assert b"authorization" not in again(restarted, cookie)


def test_a_browser_that_leaves_meanwhile_keeps_nobody_else_waiting(restarted: FakePortal) -> None:
    cookie = restarted.cookie(origin=ORIGIN)
    first, second = restarted.browser(), restarted.browser()
    for browser in (first, second):
        browser.send(f"GET /lab HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    first.leave()
    tell(restarted)
    assert fields_of(restarted)[b"authorization"] == b"token abc"


def test_an_application_that_ends_meanwhile_is_a_refusal(restarted: FakePortal) -> None:
    cookie = restarted.cookie(origin=ORIGIN)
    browser = restarted.browser()
    browser.send(f"GET /lab HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    restarted.dialer[-1].die()
    tell(restarted)
    assert browser.status == 502


def test_nobody_is_asked_for_what_is_somebody_elses(restarted: FakePortal) -> None:
    origin = f"localhost-{SHARED_PORT}-u1001.fh.portal.test"
    restarted.owners.listeners[SHARED_PORT] = SocketOwner(BOB.uid, 2000, 13, BOB.gid, True)
    restarted.browser().send(get(restarted, b"/lab", origin=origin))
    assert len(restarted.worker_dialer) == 0


def test_a_websocket_that_was_open_comes_back_after_a_restart(restarted: FakePortal) -> None:
    page, kernel = restarted.browser(), restarted.browser()
    cookie = restarted.cookie(origin=ORIGIN)
    page.send(f"GET /api/kernels HTTP/1.1\r\nHost: {ORIGIN}\r\n".encode() + cookie + b"\r\n")
    request = websocket_request(restarted, b"Origin: https://" + ORIGIN.encode() + b"\r\n")
    start = request.index(b"Cookie: ")
    kernel.send(request[:start] + cookie + b"\r\n")
    tell(restarted)
    assert fields_of_all(restarted.dialer[0].take())[b"authorization"] == b"token abc"
    handshake = restarted.dialer[1].take()
    assert b"Authorization: token abc\r\n" in handshake
    restarted.dialer[1].send(accept(handshake))
    assert kernel.status == 101


def fields_of_all(sent: bytes) -> dict[bytes, bytes]:
    [(request, _)] = requests_in(sent)
    return dict(request.headers)
