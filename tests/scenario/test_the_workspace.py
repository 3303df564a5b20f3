"""Pages and API of the viewer's own worker: who reaches them, and what their answers may do."""

from __future__ import annotations

import json

import pytest

from supercloud.authn.scope import DAV, JOBS
from supercloud.errors import NotAuthenticated
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import Browser, FakePortal, bearer, requests_in
from tests.scenario.person import PAGE

ADDRESSES = [b"/", b"/launch", b"/jobs/42", b"/forwards", b"/keys", b"/api/jobs", b"/api", b"/?a=b"]
APPLICATION = b"https://localhost-9191-u1001.fh.portal.test"
FORM = b"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"


def ask(portal: FakePortal, path: bytes, extra: bytes = b"", method: bytes = b"GET") -> Browser:
    browser = portal.browser()
    browser.send(method + b" " + path + b" HTTP/1.1\r\nHost: portal.test\r\n" + extra + b"\r\n")
    return browser


def answer(portal: FakePortal, fields: bytes = b"Content-Type: text/html\r\n") -> None:
    portal.worker_dialer[-1].send(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\nhi")


@pytest.mark.parametrize("path", ADDRESSES)
def test_the_viewers_own_worker_answers(portal: FakePortal, path: bytes) -> None:
    browser = ask(portal, path, PAGE + portal.cookie(BOB))
    [(request, _)] = requests_in(portal.worker_dialer[0].take())
    assert request.target == path
    assert portal.worker_dialer.dialled == [("/run/1002-1.sock", BOB.uid)]
    answer(portal)
    assert browser.status == 200


@pytest.mark.parametrize("path", ADDRESSES)
def test_nobody_reaches_them_without_a_session(portal: FakePortal, path: bytes) -> None:
    assert ask(portal, path).status == 401
    assert portal.monitor.started == []


def test_programs_are_refused_in_the_apis_own_form_whoever_refuses(portal: FakePortal) -> None:
    browser = ask(portal, b"/api/jobs")
    assert browser.field(b"Content-Type") == b"application/problem+json"
    told = json.loads(browser.received.partition(b"\r\n\r\n")[2])
    assert (told["status"], told["title"]) == (401, "Unauthorized")
    assert told["detail"] == NotAuthenticated.public and told["request"]


def test_an_applications_api_is_not_the_portals(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"POST /api/jobs HTTP/1.1\r\nHost: localhost-8080-u1001.fh.portal.test\r\nContent-Length: 0\r\n\r\n")
    assert (browser.status, browser.field(b"Content-Type")) == (401, b"text/plain; charset=utf-8")


def test_applications_origins_have_none_of_them(portal: FakePortal) -> None:
    origin = "localhost-8080-u1001.fh.portal.test"
    browser = portal.browser()
    head = b"GET /api/jobs HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n"
    browser.send(head + portal.cookie(origin=origin) + b"\r\n")
    assert portal.monitor.started == []
    assert portal.dialer[0].received.startswith(b"GET /api/jobs ")


@pytest.mark.parametrize(
    ("path", "scope", "status"),
    [(b"/api/jobs", JOBS, 0), (b"/api/jobs", DAV, 403), (b"/jobs", JOBS, 401), (b"/", JOBS, 401),
     (b"/api/events", JOBS, 401), (b"/open/42", JOBS, 401), (b"/api/../dav/x", JOBS, 401),
     (b"/api/%2e%2e/dav/x", JOBS, 401), (b"/api/..%2fdav/x", JOBS, 401)],
)  # fmt: skip
def test_a_token_opens_the_api_and_nothing_beside_it(path: bytes, scope: str, status: int) -> None:
    portal = FakePortal(takes_programs=True)
    token = portal.token(ALICE, scope)  # type: ignore[arg-type]
    assert ask(portal, path, bearer(token)).status == status
    assert len(portal.worker_dialer) == (1 if status == 0 else 0)


@pytest.mark.parametrize(
    "path",
    [b"/api/../dav/x", b"/api/%2e%2e/dav/x", b"/api/.%2E/dav/x", b"/api/..%2fdav/x", b"/api/x/..", b"/jobs/./x",
     b"/keys/%5c..%5cx", b"/launch/..\\x"],
)  # fmt: skip
def test_a_path_that_climbs_out_reaches_no_worker(portal: FakePortal, path: bytes) -> None:
    assert ask(portal, path, portal.cookie()).status in (400, 404)
    assert portal.monitor.started == []


@pytest.mark.parametrize(
    "extra",
    [
        b"Origin: " + APPLICATION + b"\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n",
        b"Origin: " + APPLICATION + b"\r\n",
        b"Origin: " + APPLICATION + b"\r\n" + FORM,
        b"Origin: null\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n",
        b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [b"/api/jobs", b"/launch/jupyter", b"/keys"])
def test_a_form_or_script_of_another_origin_starts_nothing(portal: FakePortal, path: bytes, extra: bytes) -> None:
    body = b"Content-Type: text/plain\r\nContent-Length: 0\r\n"
    assert ask(portal, path, extra + body + portal.cookie(), b"POST").status == 403
    assert portal.monitor.started == []


def upgrade(extra: bytes) -> bytes:
    return (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + extra
    )


def test_another_origins_websocket_to_the_api_is_refused(portal: FakePortal) -> None:
    assert ask(portal, b"/api/jobs", upgrade(b"Origin: " + APPLICATION + b"\r\n") + portal.cookie()).status == 403
    assert portal.monitor.started == []


def test_a_worker_makes_no_websocket_of_a_request(portal: FakePortal) -> None:
    browser = ask(portal, b"/api/jobs", upgrade(b"Origin: https://portal.test\r\n") + portal.cookie())
    assert b"upgrade" not in portal.worker_dialer[0].received.lower()
    portal.worker_dialer[0].send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert browser.status == 502


@pytest.mark.parametrize("use", [b"script", b"style", b"iframe", b"object", b"serviceworker", b"manifest"])
def test_no_page_has_one_as_a_part(portal: FakePortal, use: bytes) -> None:
    extra = b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: " + use + b"\r\n"
    assert ask(portal, b"/", extra + portal.cookie()).status == 403
    assert portal.monitor.started == []


def test_a_page_has_the_portals_script_and_leads_on_to_applications(portal: FakePortal) -> None:
    browser = ask(portal, b"/jobs", portal.cookie())
    answer(portal)
    [policy] = browser.fields(b"Content-Security-Policy")
    assert b"script-src https://portal.test/.portal/workspace.js;" in policy
    assert b"form-action 'self' https://*.fh.portal.test https://*.fn.portal.test" in policy
    assert {b"default-src 'none'", b"frame-ancestors 'none'", b"base-uri 'none'", b"connect-src 'self'"} <= set(
        policy.split(b"; ")
    )
    assert browser.fields(b"Cache-Control") == [b"no-store"]
    assert browser.fields(b"Cross-Origin-Opener-Policy") == [b"same-origin"]
    assert browser.fields(b"Cross-Origin-Resource-Policy") == [b"same-origin"]
    assert browser.fields(b"Referrer-Policy") == [b"strict-origin-when-cross-origin"]
    assert browser.fields(b"X-Content-Type-Options") == [b"nosniff"]


def test_a_worker_cannot_say_otherwise(portal: FakePortal) -> None:
    browser = ask(portal, b"/", portal.cookie())
    answer(
        portal,
        b"Content-Type: text/html\r\nSet-Cookie: __Host-Http-supercloud=x\r\nContent-Security-Policy: script-src *\r\n"
        b"Cache-Control: public\r\nAccess-Control-Allow-Origin: *\r\nCross-Origin-Opener-Policy: unsafe-none\r\n"
        b"Service-Worker-Allowed: /\r\nRefresh: 0; url=https://evil.test/\r\nLink: </dav/x.js>; rel=preload\r\n"
        b'Clear-Site-Data: "*"\r\nLocation: /jobs\r\n',
    )
    head = browser.received.partition(b"\r\n\r\n")[0].lower()
    for word in (
        b"set-cookie",
        b"script-src *",
        b"public",
        b"allow",
        b"unsafe-none",
        b"evil",
        b"preload",
        b"clear-site",
    ):
        assert word not in head
    assert browser.field(b"Location") == b"/jobs"


def test_signing_out_stays_with_the_front(portal: FakePortal) -> None:
    cookie = portal.cookie()
    assert ask(portal, b"/logout", cookie, b"POST").status == 200
    assert ask(portal, b"/", cookie).status == 401
    assert portal.monitor.started == []
