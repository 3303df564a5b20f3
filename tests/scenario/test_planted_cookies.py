"""Cookies that somebody else's page planted for the portal's host: nobody is locked out by them, nor somebody else."""

from __future__ import annotations

import pytest

from supercloud.authn.authenticate import SESSION_COOKIE
from supercloud.authn.scope import forward_scope
from supercloud.config import Limits
from supercloud.front.entrance import NONCE_COOKIE, VIEWER_COOKIE
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import OK, ORIGIN, TOGETHER, Browser, FakePortal, bearer, get, websocket_request
from tests.scenario.person import PAGE

MOST = Limits().head
CLEARED = b'"cookies"'
LINK = b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
IMAGE = b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n"
HTML = b"Accept: text/html,application/xhtml+xml\r\n"
BOMB = b"; ".join(b"b%d=%b" % (number, b"x" * 4000) for number in range(60))


def ask(
    portal: FakePortal, *fields: bytes, target: bytes = b"/", method: bytes = b"GET", host: str = "portal.test"
) -> Browser:
    browser = portal.browser()
    data = method + b" " + target + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + b"".join(fields) + b"\r\n"
    for start in range(0, len(data), 16 * 1024):  # as records of TLS come
        browser.send(data[start : start + 16 * 1024])
    return browser


def content(browser: Browser) -> bytes:
    return browser.received.partition(b"\r\n\r\n")[2]


# So many cookies, or such ones, that no request can be read.


@pytest.mark.parametrize("host", ["portal.test", ORIGIN, TOGETHER])
@pytest.mark.parametrize(
    "fields",
    [
        (PAGE, HTML, b"Cookie: " + BOMB + b"\r\n"),
        (HTML, b"Cookie: " + BOMB + b"\r\n", PAGE),  # Firefox: what comes behind has not been seen
        (b"Cookie: a=b\r\n", HTML, b"Cookie: " + BOMB + b"\r\n"),
    ],
)
def test_who_was_given_too_many_cookies_is_told_so_and_rid_of_them(
    portal: FakePortal, fields: tuple[bytes, ...], host: str
) -> None:
    browser = ask(portal, *fields, target=b"/dav/~/", host=host)
    assert browser.status == 431
    assert browser.field(b"clear-site-data") == CLEARED
    assert browser.field(b"content-type") == b"text/html; charset=utf-8"
    assert b"cookies" in content(browser)
    assert b"Sign in again" in content(browser)
    assert browser.is_closing
    assert portal.dialer.received == b""


def test_a_browser_that_does_not_heed_that_field_is_told_by_others(portal: FakePortal) -> None:
    ended = ask(portal, b"Cookie: " + BOMB + b"\r\n", target=b"/a/b").fields(b"set-cookie")
    for number in range(15):  # as many as were seen
        assert b"b%d=; Max-Age=0; Path=/; Secure; HttpOnly" % number in ended
        assert b"b%d=; Max-Age=0; Path=/; Domain=portal.test; Secure; HttpOnly" % number in ended


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"PROPFIND", b"OPTIONS"])
def test_a_program_is_told_in_plain_text(portal: FakePortal, method: bytes) -> None:
    browser = ask(portal, b"Cookie: " + BOMB + b"\r\n", method=method, target=b"/dav/x")
    assert browser.status == 431
    assert browser.field(b"clear-site-data") == CLEARED
    assert browser.field(b"content-type") == b"text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ((IMAGE,), b"/?" + b"x" * MOST),
        ((LINK, HTML), b"/?" + b"x" * MOST),
        ((LINK, HTML, b"Referer: https://evil.test/" + b"x" * MOST + b"\r\n"), b"/"),
        ((b"X-Long: " + b"x" * MOST + b"\r\n",), b"/"),
        ((b"X-Y: z\r\n" * 150,), b"/"),
        ((LINK, HTML), b"/?Cookie:" + b"x" * MOST),
        ((LINK, HTML), b"/?\r\nCookie" + b"x" * MOST),
    ],
)
def test_nobody_is_signed_out_by_somebody_elses_link(
    portal: FakePortal, fields: tuple[bytes, ...], target: bytes
) -> None:
    """The viewer's own cookies come along, and are small."""
    browser = ask(portal, portal.cookie(), *fields, target=target)
    assert browser.status in (400, 431)
    assert browser.field(b"clear-site-data") is None
    assert browser.fields(b"set-cookie") == []


def test_a_link_that_is_long_beside_cookies_that_are_many_signs_nobody_out(portal: FakePortal) -> None:
    """Without the link these cookies are no trouble."""
    cookie = b"Cookie: a=" + b"x" * (MOST // 3) + b"\r\n"
    browser = ask(portal, LINK, HTML, cookie, target=b"/?" + b"x" * MOST)
    assert browser.status == 431
    assert browser.field(b"clear-site-data") is None


def test_a_person_gets_a_page_whatever_cannot_be_read(portal: FakePortal) -> None:
    for fields in ((b"X_Y: z\r\n",), (b"X-Y: z\r\n" * 150,)):
        browser = ask(portal, LINK, HTML, *fields)
        assert browser.status in (400, 431)
        assert browser.field(b"content-type") == b"text/html; charset=utf-8"
        assert b"<!doctype html>" in content(browser)
    assert ask(portal, HTML, b"X_Y: z\r\n", method=b"PUT").field(b"content-type") == b"text/plain; charset=utf-8"


@pytest.mark.parametrize("letter", [b"\x01", b"\x08", b"\x0b", b"\x1b", b"\x7f"])
def test_a_cookie_with_a_letter_that_no_head_may_have_is_cleared_too(portal: FakePortal, letter: bytes) -> None:
    """Some browsers let scripts put it there, and then each request of theirs is refused."""
    browser = ask(portal, LINK, HTML, b"Cookie: a=b; planted=x" + letter + b"\r\n")
    assert browser.status == 400
    assert browser.field(b"clear-site-data") == CLEARED
    assert b"planted=; Max-Age=0; Path=/; Domain=portal.test; Secure; HttpOnly" in browser.fields(b"set-cookie")
    assert b"Sign in again" in content(browser)


@pytest.mark.parametrize("host", [b"evil.test\r\nX: y", b"p\x00", b"p;q", b"", b"x" * 300])
def test_what_was_not_read_writes_no_field_of_the_answer(portal: FakePortal, host: bytes) -> None:
    data = (
        b"GET /a;b HTTP/1.1\r\nHost: "
        + host
        + b"\r\nCookie: n\x01=1; m;x=2; e\xff=3; \x0bq=4; =5; good=6"
        + b"\r\n\r\n"
    )
    browser = portal.browser()
    browser.send(data)
    assert browser.status == 400
    values = browser.fields(b"set-cookie")
    assert values
    assert all(value.startswith((b"x=;", b"good=;")) for value in values)
    assert all(value.count(b";") <= 5 for value in values)


# Two cookies of one name: WebKit keeps no script from making one that sorts before the portal's own.


def two(portal: FakePortal, name: bytes = SESSION_COOKIE, *, apart: bool = False) -> bytes:
    """Bob planted his session for a part of the portal; it comes before alice's own."""
    hers = portal.cookie(ALICE).removeprefix(b"Cookie: ").rstrip(b"\r\n").partition(b"=")[2]
    his = portal.cookie(BOB).removeprefix(b"Cookie: ").rstrip(b"\r\n").partition(b"=")[2]
    between = b"\r\nCookie: " if apart else b"; a=b; "
    return b"Cookie: " + name + b"=" + his + between + name + b"=" + hers + b"\r\n"


@pytest.mark.parametrize("name", [SESSION_COOKIE, SESSION_COOKIE + b"-8444", NONCE_COOKIE, VIEWER_COOKIE])
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"PUT", b"/dav/~/x"), (b"OPTIONS", b"/dav/~/x"), (b"PROPFIND", b"/dav/"), (b"GET", b"/dav/~/"),
        (b"GET", b"/"), (b"OPTIONS", b"/"), (b"POST", b"/api/jobs"), (b"GET", b"/tokens"), (b"POST", b"/logout"),
        (b"GET", b"/login"), (b"GET", b"/.portal/portal.css"), (b"GET", b"/fw2/localhost:8080/"),
        (b"GET", b"/.portal/ticket?to=x&nonce=y"), (b"GET", b"/healthz"),
    ],
)  # fmt: skip
def test_a_request_with_two_of_the_portals_cookies_by_one_name_is_refused(
    portal: FakePortal, name: bytes, apart: bool, method: bytes, target: bytes
) -> None:
    browser = ask(portal, two(portal, name, apart=apart), method=method, target=target)
    assert browser.status == 400
    assert browser.field(b"clear-site-data") == CLEARED
    ended = browser.fields(b"set-cookie")
    assert name + b"=; Max-Age=0; Path=/; Secure; HttpOnly" in ended
    assert name + b"=; Max-Age=0; Path=/; Domain=portal.test; Secure; HttpOnly" in ended
    assert all(value.startswith(name + b"=;") for value in ended)
    assert portal.worker_dialer.dialled == []
    assert portal.dialer.dialled == []
    assert portal.monitor.started == []


def test_it_is_ended_wherever_it_may_have_been_planted(portal: FakePortal) -> None:
    browser = ask(portal, two(portal), target=b"/dav/~/a/b.txt?x=/y", method=b"PUT")
    ended = browser.fields(b"set-cookie")
    for path in (b"/", b"/dav", b"/dav/", b"/dav/~", b"/dav/~/", b"/dav/~/a", b"/dav/~/a/", b"/dav/~/a/b.txt"):
        for domain in (b"", b"; Domain=portal.test"):
            assert SESSION_COOKIE + b"=; Max-Age=0; Path=" + path + domain + b"; Secure; HttpOnly" in ended
    assert len(ended) == 16


def test_on_an_applications_origin_up_to_what_it_has_in_common_with_others(portal: FakePortal) -> None:
    ended = ask(portal, two(portal), host=ORIGIN).fields(b"set-cookie")
    for domain in (ORIGIN, "fh.portal.test", "portal.test"):
        assert SESSION_COOKIE + b"=; Max-Age=0; Path=/; Domain=" + domain.encode() + b"; Secure; HttpOnly" in ended
    assert not any(b"Domain=test;" in value for value in ended)


@pytest.mark.parametrize("target", [b"/dav" + b"/a" * 20_000, b"/" + b"a" * 50_000, b"/dav" + b"/%41%3b;=" * 6000])
def test_a_deep_address_does_not_make_an_answer_that_no_browser_takes(portal: FakePortal, target: bytes) -> None:
    browser = ask(portal, two(portal), target=target)
    assert browser.status == 400
    assert browser.fields(b"set-cookie")
    assert len(browser.received) < 64 * 1024
    assert all(value.count(b";") <= 5 for value in browser.fields(b"set-cookie"))


def test_a_person_is_told_what_happened_and_what_to_do(portal: FakePortal) -> None:
    browser = ask(portal, two(portal), PAGE, HTML, target=b"/dav/~/")
    assert browser.field(b"content-type") == b"text/html; charset=utf-8"
    text = content(browser)
    assert b"two" in text
    assert b"Sign in again" in text
    assert b"alice" not in text
    assert b"bob" not in text
    line = portal.lines()[-1]
    assert (line["outcome"], line["status"]) == ("refused", 400)
    assert SESSION_COOKIE.decode() in line["reason"]


def test_a_program_with_a_token_is_refused_as_well() -> None:
    portal = FakePortal(takes_programs=True)
    portal.forwards.write("alice-tb", "http://localhost:8080/")
    dav, forward = bearer(portal.token()), bearer(portal.token(ALICE, forward_scope("alice-tb")))
    for field, target in ((dav, b"/dav/x"), (forward, b"/fw/alice-tb/")):
        assert ask(portal, field, two(portal), target=target).status == 400
    assert portal.monitor.started == []
    assert portal.dialer.dialled == []


def test_a_websocket_is_refused(portal: FakePortal) -> None:
    request = websocket_request(portal)
    browser = portal.browser()
    browser.send(request[:-2] + two(portal) + b"\r\n")
    assert browser.status == 400
    assert portal.dialer.dialled == []


def test_on_a_trodden_connection_as_well(portal: FakePortal) -> None:
    browser, request = portal.browser(), get(portal, b"/x")
    for _ in range(2):
        browser.send(request)
        portal.dialer[0].send(OK)
        assert browser.status == 200
        browser.take()
    portal.dialer[0].take()
    planted = request[:-4] + b"; " + SESSION_COOKIE + b"=planted\r\n\r\n"
    for _ in range(2):
        browser.send(planted)
        assert browser.status == 400
        browser.take()
    assert portal.dialer[0].received == b""
    browser.send(request)
    portal.dialer[0].send(OK)
    assert browser.status == 200


def test_one_of_each_name_is_as_it_should_be(portal: FakePortal) -> None:
    line = portal.cookie(origin=ORIGIN)[:-2] + b"; " + NONCE_COOKIE + b"=n; " + VIEWER_COOKIE + b"=v; a=1; a=2\r\n"
    ask(portal, line, host=ORIGIN)
    assert portal.dialer[0].received.startswith(b"GET / ")
    assert b"Cookie: a=1; a=2\r\n" in portal.dialer[0].received


def test_thousands_of_them_take_no_time(portal: FakePortal) -> None:
    """Compared each with each they would take half a second."""
    many = b"; ".join(b"__Host-Http-%d=" % number for number in range(3000))
    assert ask(portal, b"Cookie: " + many + b"\r\n").status == 401
    assert ask(portal, b"Cookie: " + many + b"; " + many[:100] + b"\r\n").status in (400, 431)
