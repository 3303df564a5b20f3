"""The portal's own addresses; tickets and redirects between origins are in tests/scenario."""

from __future__ import annotations

import pytest

from supercloud.authn.link import Links
from supercloud.front.pages import Listed
from supercloud.front.signin import LinkSignIn
from supercloud.origin_check import Name
from tests.fakes.accounts import ALICE, FakeAccounts
from tests.fakes.portal import Browser, FakePortal, get

_PAGE = b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal()


def _ask(portal: FakePortal, path: str, extra: bytes = b"", method: str = "GET") -> Browser:
    browser = portal.browser()
    browser.send(f"{method} {path} HTTP/1.1\r\nHost: portal.test\r\n".encode() + extra + b"\r\n")
    return browser


def test_without_workers_the_first_page_lists_the_viewers_own() -> None:
    portal = FakePortal(has_workers=False)
    portal.listed = [Listed("jupyter <lab>", "localhost:8080", "https://x/", "a note")]
    browser = _ask(portal, "/", portal.cookie())
    assert browser.status == 200
    assert b"jupyter &lt;lab&gt;" in browser.received
    assert browser.field(b"cache-control") == b"no-store"


def test_health_and_style_need_no_session(portal: FakePortal) -> None:
    assert _ask(portal, "/healthz").received.endswith(b"ok\n")
    assert _ask(portal, "/.portal/portal.css").field(b"content-type") == b"text/css; charset=utf-8"


def test_scripts_and_styles_are_a_fixed_table_of_files(portal: FakePortal) -> None:
    script = _ask(portal, "/.portal/files.js")
    assert script.field(b"content-type") == b"text/javascript; charset=utf-8"
    assert script.field(b"x-content-type-options") == b"nosniff"
    assert _ask(portal, "/.portal/files.css").status == 200
    for path in ("/.portal/site.py", "/.portal/../site.py", "/.portal/static/files.js", "/.portal/files.js/"):
        assert _ask(portal, path).status in (400, 404)


def test_whoever_sends_a_form_after_signing_out_finds_a_way_on(portal: FakePortal) -> None:
    browser = _ask(portal, "/launch/web", _PAGE + b"Content-Length: 0\r\n", method="POST")
    assert (browser.status, browser.field(b"content-type")) == (401, b"text/html; charset=utf-8")
    assert b"Sign in first." in browser.received
    assert b'<a href="https://portal.test/">To your workspace</a>' in browser.received
    program = _ask(portal, "/launch/web", b"Content-Length: 0\r\n", method="POST")
    assert (program.status, program.field(b"content-type")) == (401, b"text/plain; charset=utf-8")


def test_a_newer_portals_scripts_and_styles_are_taken_at_once(portal: FakePortal) -> None:
    script = _ask(portal, "/.portal/files.js")
    assert script.field(b"cache-control") == b"no-cache"
    tag = script.field(b"etag") or b""
    same = _ask(portal, "/.portal/files.js", b"If-None-Match: " + tag + b"\r\n")
    assert (same.status, same.field(b"etag"), same.field(b"content-length")) == (304, tag, None)
    assert _ask(portal, "/.portal/files.css", b"If-None-Match: " + tag + b"\r\n").status == 200


def test_the_sign_in_page_is_401(portal: FakePortal) -> None:
    browser = _ask(portal, "/login", _PAGE)
    assert browser.status == 401
    assert browser.field(b"www-authenticate") is not None
    assert _ask(portal, "/login", method="POST").status == 405


def test_a_link_signs_in_once_and_leads_where_the_person_wanted_to_go() -> None:
    links = Links(ALICE.uid, now=lambda: 0.0)
    printed: list[str] = []
    portal = FakePortal(ways=(LinkSignIn(links, FakeAccounts(), lambda: printed.append("another")),))
    secret = links.make()
    browser = _ask(portal, f"/login?link={secret}&next=/fw2/localhost:8080/%3Fa")
    assert browser.status == 303
    assert browser.field(b"location") == b"https://portal.test/fw2/localhost:8080/?a"
    cookie = browser.field(b"set-cookie") or b""
    assert cookie.startswith(b"__Host-Http-supercloud=")
    assert cookie.endswith(b"; Path=/; Secure; HttpOnly; SameSite=Lax")
    again = _ask(portal, f"/login?link={secret}", _PAGE)
    assert again.status == 401
    assert b"used already" in again.received
    assert portal.lines()[-1]["outcome"] == "refused"


def test_signing_out_is_post_and_ends_every_session(portal: FakePortal) -> None:
    cookie, other = portal.cookie(), portal.cookie()
    assert _ask(portal, "/logout", cookie).status == 405
    browser = _ask(portal, "/logout", cookie, "POST")
    assert browser.status == 200
    assert b"Max-Age=0" in (browser.field(b"set-cookie") or b"")
    assert _ask(portal, "/", other).status == 401


def test_a_query_with_too_many_parameters_is_refused(portal: FakePortal) -> None:
    assert _ask(portal, "/login?" + "&".join(f"a{n}=b" for n in range(30))).status == 404


def test_a_person_gets_a_page_and_a_program_text(portal: FakePortal) -> None:
    assert _ask(portal, "/nothing", _PAGE).field(b"content-type") == b"text/html; charset=utf-8"
    assert _ask(portal, "/nothing").field(b"content-type") == b"text/plain; charset=utf-8"


def test_a_method_that_is_not_carried_says_which_are(portal: FakePortal) -> None:
    browser = _ask(portal, "/", method="TRACE")
    assert browser.status == 405
    assert b"GET" in (browser.field(b"allow") or b"")


def test_an_application_never_sees_the_portals_own_addresses(portal: FakePortal) -> None:
    for path in (b"/.portal/x", b"/.portal", b"/.portal/ticket", b"/.portal/enter/x"):
        browser = portal.browser()
        browser.send(get(portal, path))
        assert browser.status == 404
    assert portal.dialer.dialled == []


def test_what_dns_and_the_certificate_lack_is_told_to_whoever_is_signed_in(portal: FakePortal) -> None:
    portal.lacking = [Name("*.fn.portal.test", ("DNS has no <b>.",)), Name("portal.test", ())]
    browser = portal.browser()
    browser.send(get(portal, b"/.portal/origins", origin="portal.test"))
    assert browser.status == 200
    assert b"DNS has no &lt;b&gt;." in browser.received
    assert b"is all right" in browser.received
    stranger = portal.browser()
    stranger.send(b"GET /.portal/origins HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert stranger.status == 401


@pytest.mark.parametrize("path", ["/", "/open/", "/tokens", "/.portal/origins", "/none", "/open/7:x"])
def test_each_page_of_somebodys_says_as_whom_one_is_signed_in(path: str) -> None:
    """A browser that lets pages plant cookies may have somebody signed in as another."""
    portal = FakePortal(takes_programs=True, has_workers=False)
    page = _ask(portal, path, portal.cookie() + _PAGE)
    assert page.status in (200, 404)
    assert (b"alice" in page.received) is (path != "/none"), "there nobody was asked who it is"


def test_so_does_a_page_that_waits() -> None:
    portal = FakePortal()
    portal.owners.listeners.clear()
    browser = portal.browser()
    browser.send(get(portal, extra=_PAGE))
    assert browser.status == 503
    assert b"signed in as alice" in browser.received
