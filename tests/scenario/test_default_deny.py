"""Without a session nothing is served but the way to one, and nothing reaches an application."""

from __future__ import annotations

import pytest

from tests.fakes.accounts import BOB
from tests.fakes.portal import ORIGIN, TOGETHER, FakePortal, get, websocket_request

_PAGE = b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
PREFIXES = [b"/fw2/localhost:8080/", b"/node/localhost/8080/", b"/rnode/localhost/8080/", b"/fw/alice-tb/"]
OWN = [b"/", b"/login", b"/logout", b"/.portal/ticket?to=" + ORIGIN.encode() + b"&nonce=" + b"n" * 43]
UNKNOWN = [
    b"/apix/",
    b"/%61pi/",
    b"/API/",
    b"/launchx",
    b"//",
    b"/dbfw/x/",
    b"/metrics",
    b"/.portal/enter",
    b"/.portal/x",
    b"/index",
]


def _ask(portal: FakePortal, path: bytes, extra: bytes = b"", *, host: str = "portal.test", method: str = "GET") -> int:
    browser = portal.browser()
    browser.send(f"{method} ".encode() + path + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + extra + b"\r\n")
    assert portal.dialer.dialled == []
    assert portal.owners.asked == []
    return browser.status


@pytest.mark.parametrize("path", PREFIXES + OWN)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PROPFIND", "OPTIONS"])
def test_a_program_without_a_session_gets_401(portal: FakePortal, path: bytes, method: str) -> None:
    if (method, path) == ("OPTIONS", b"/"):
        return  # says that there are files: test_programs_sign_in
    assert _ask(portal, path, method=method) in ((401, 405) if path in (b"/login", b"/logout") else (401,))


@pytest.mark.parametrize("path", [*PREFIXES, b"/"])
def test_a_person_without_a_session_is_sent_to_sign_in(portal: FakePortal, path: bytes) -> None:
    assert _ask(portal, path, _PAGE) == 303


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_is_not_there_is_not_there_for_anybody(portal: FakePortal, path: bytes) -> None:
    assert _ask(portal, path) == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_program_without_a_session_gets_401_on_an_applications_origin(portal: FakePortal, method: str) -> None:
    assert _ask(portal, b"/", host=ORIGIN, method=method) == 401


def test_whoever_reads_on_an_applications_origin_is_sent_for_a_ticket(portal: FakePortal) -> None:
    assert _ask(portal, b"/", host=ORIGIN) == 303


@pytest.mark.parametrize("cookie", [b"", b"sealed-99", b"sealed-0;", b'"sealed-0"', b"%73ealed-0", b"sealed-0 x"])
def test_a_forged_cookie_is_no_session(portal: FakePortal, cookie: bytes) -> None:
    line = b"Cookie: __Host-Http-supercloud=" + cookie + b"\r\n"
    assert _ask(portal, PREFIXES[0], line) == 401


def test_the_session_of_one_origin_is_none_on_another(portal: FakePortal) -> None:
    assert _ask(portal, PREFIXES[0], portal.cookie(origin=ORIGIN)) == 401


def test_a_session_that_ended_is_none() -> None:
    portal = FakePortal(has_workers=False)
    browser = portal.browser()
    request = get(portal, b"/", origin="portal.test")
    browser.send(request)
    assert browser.status == 200
    browser.take()
    browser.send(get(portal, b"/logout", origin="portal.test").replace(b"GET", b"POST", 1))
    assert browser.status == 200
    browser.take()
    browser.send(request)
    assert browser.status == 401


def test_an_account_that_is_gone_has_no_session(portal: FakePortal) -> None:
    cookie = portal.cookie(BOB)
    del portal.accounts.known[BOB.uid]
    assert _ask(portal, b"/", cookie) == 401


@pytest.mark.parametrize("path", PREFIXES)
def test_a_websocket_without_a_session_gets_401(portal: FakePortal, path: bytes) -> None:
    browser = portal.browser()
    request = websocket_request(portal).replace(b"sealed", b"forged").replace(b"/socket", path)
    browser.send(request.replace(ORIGIN.encode(), b"portal.test"))
    assert browser.status == 401
    browser = portal.browser()
    browser.send(request)
    assert browser.status == 401
    assert portal.dialer.dialled == []


def test_nothing_of_the_page_s_reason_is_told_to_who_may_not_know(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/fw2/localhost:9090/", origin=TOGETHER))
    assert browser.status == 404
    assert b"1002" not in browser.received
    assert b"bob" not in browser.received
    assert "uid 1002" in portal.lines()[-1]["reason"]
