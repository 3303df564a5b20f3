"""A person types login and password into the form of /login, or somebody tries to do it for them."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from supercloud.authn.known import KNOWN_COOKIE
from supercloud.authn.password import WRONG
from supercloud.authn.throttle import ADDRESS_CAP
from supercloud.front.form import MAX_FIELDS, MAX_FORM, WITHIN
from supercloud.monitor.wire import PasswordOutcome
from tests.fakes.portal import Browser, FakePortal

NAVIGATES = b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
SAME = b"Origin: https://portal.test\r\nSec-Fetch-Site: same-origin\r\n" + NAVIGATES
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal(takes_programs=True)


def post(
    portal: FakePortal, body: bytes | dict[str, str], extra: bytes = SAME + FORM, *, framing: bytes | None = None
) -> Browser:
    browser = portal.browser()
    data = body if isinstance(body, bytes) else urlencode(body).encode()
    framing = b"Content-Length: %d\r\n" % len(data) if framing is None else framing
    browser.send(b"POST /login HTTP/1.1\r\nHost: portal.test\r\n" + extra + framing + b"\r\n" + data)
    return browser


def alice(password: str = "alice-secret", **more: str) -> dict[str, str]:
    return {"login": "alice", "password": password, **more}


def page(portal: FakePortal, query: str = "") -> bytes:
    browser = portal.browser()
    browser.send(f"GET /login{query} HTTP/1.1\r\nHost: portal.test\r\nSec-Fetch-Site: none\r\n\r\n".encode())
    assert browser.status == 401
    return browser.received


def test_the_form_is_for_people_phones_and_password_managers(portal: FakePortal) -> None:
    shown = page(portal).decode()
    for name, hint in (("login", "username"), ("password", "current-password")):
        assert f'<label for="{name}">' in shown
        assert re.search(rf'<input id="{name}" name="{name}"[^>]* autocomplete="{hint}"', shown)
    assert 'method="post" action="/login"' in shown
    assert 'name="viewport"' in shown
    assert "<script" not in shown


def test_the_right_password_signs_in_and_leads_where_the_person_wanted_to_go(portal: FakePortal) -> None:
    browser = post(portal, alice(next="/fw2/localhost:8080/?a=b"))
    assert browser.status == 303
    assert browser.field(b"location") == b"https://portal.test/fw2/localhost:8080/?a=b"
    cookie = browser.field(b"set-cookie") or b""
    assert cookie.startswith(b"__Host-Http-supercloud=")
    assert cookie.endswith(b"; Path=/; Secure; HttpOnly; SameSite=Lax")
    [session] = portal.sessions._sessions.values()
    assert (session.uid, session.scheme, session.address) == (1001, "password", "192.0.2.7")
    home = portal.browser()
    home.send(b"GET /tokens HTTP/1.1\r\nHost: portal.test\r\nCookie: " + cookie.partition(b";")[0] + b"\r\n\r\n")
    assert home.status == 200


def test_a_login_that_a_phone_put_a_space_behind_is_the_login(portal: FakePortal) -> None:
    assert post(portal, {"login": " alice ", "password": "alice-secret"}).status == 303


def test_a_password_keeps_its_spaces_and_its_letters_of_any_language(portal: FakePortal) -> None:
    portal.password_check.passwords["alice"] = " pass wörd+% €".encode()
    assert post(portal, alice(" pass wörd+% €")).status == 303


@pytest.mark.parametrize("onward", ["//evil.test", "https://evil.test/", "/\\evil.test", "javascript:alert(1)", ""])
def test_nobody_is_led_elsewhere(portal: FakePortal, onward: str) -> None:
    assert post(portal, alice(next=onward)).field(b"location") == b"https://portal.test/"
    assert b'name="next" value="/"' in page(portal, "?" + urlencode({"next": onward}))


def test_a_wrong_one_shows_the_form_again_and_signs_nobody_in(portal: FakePortal) -> None:
    browser = post(portal, alice("hunter2", next="/dav/"))
    assert browser.status == 401
    assert browser.field(b"set-cookie") is None
    assert WRONG.encode() in browser.received
    assert b'name="next" value="/dav/"' in browser.received
    assert b"hunter2" not in browser.received
    assert portal.sessions._sessions == {}
    [line] = portal.lines()
    assert line["outcome"] == "refused"
    assert "hunter2" not in repr(line)


def test_what_was_typed_is_text_and_never_a_page(portal: FakePortal) -> None:
    typed = '"><script>alert(1)</script>{0}{login}'
    browser = post(portal, {"login": typed, "password": "x", "next": '/"><script>'})
    assert b"<script" not in browser.received
    assert b"&lt;script&gt;" in browser.received


@pytest.mark.parametrize(
    "extra",
    [
        b"Origin: https://evil.test\r\nSec-Fetch-Site: cross-site\r\n" + NAVIGATES,
        b"Origin: https://x-1-u1001.fh.portal.test\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\n",
        b"Origin: https://evil.test\r\n",
        b"Origin: null\r\n",
        b"Origin: https://portal.test\r\nOrigin: https://evil.test\r\n",
        b"Sec-Fetch-Site: cross-site\r\n",
    ],
)
def test_another_sites_page_signs_nobody_in(portal: FakePortal, extra: bytes) -> None:
    """Otherwise it could sign its visitor in as somebody else, and see what they then save."""
    browser = post(portal, alice(), extra + FORM)
    assert browser.status == 403
    assert browser.field(b"set-cookie") is None
    assert portal.password_check.asked == []


def test_a_password_in_an_address_is_not_looked_at(portal: FakePortal) -> None:
    shown = page(portal, "?" + urlencode(alice()))
    assert b"set-cookie" not in shown.lower()
    assert portal.password_check.asked == []


def test_a_token_is_no_password_of_a_person(portal: FakePortal) -> None:
    assert post(portal, alice(portal.token())).status == 401


@pytest.mark.parametrize(
    "kind", [b"", b"Content-Type: application/json\r\n", b"Content-Type: multipart/form-data; boundary=x\r\n",
             b"Content-Type: text/plain\r\n", b"Content-Type: application/x-www-form-urlencodedx\r\n"],
)  # fmt: skip
def test_what_is_no_form_is_refused(portal: FakePortal, kind: bytes) -> None:
    assert post(portal, alice(), SAME + kind).status == 415
    assert portal.password_check.asked == []


def test_a_content_type_may_have_parameters_and_capitals(portal: FakePortal) -> None:
    kind = b"Content-Type: Application/X-WWW-Form-Urlencoded; charset=UTF-8\r\n"
    assert post(portal, alice(), SAME + kind).status == 303


@pytest.mark.parametrize(
    "body",
    [b"login=alice&password=%ff", b"login=alice&password=\xff", b"login=alice&login=bob&password=x",
     b"&".join(b"a%d=b" % n for n in range(MAX_FIELDS + 1))],
)  # fmt: skip
def test_a_form_that_can_be_read_in_two_ways_is_refused(portal: FakePortal, body: bytes) -> None:
    assert post(portal, body).status == 400
    assert portal.password_check.asked == []


@pytest.mark.parametrize("body", [b"", b"login=alice", b"password=x", b"login=&password=", b"login", b"&&&"])
def test_a_form_without_login_or_password_signs_nobody_in(portal: FakePortal, body: bytes) -> None:
    assert post(portal, body).status == 401
    assert portal.sessions._sessions == {}


def test_a_form_may_be_as_long_as_the_limit_and_no_longer(portal: FakePortal) -> None:
    body = urlencode(alice()).encode() + b"&x="
    assert post(portal, body.ljust(MAX_FORM, b"y")).status == 303
    assert post(portal, body.ljust(MAX_FORM + 1, b"y")).status == 413
    assert post(portal, b"", framing=b"Content-Length: 99999999999\r\n").status == 413


def test_a_form_in_chunks_is_held_to_the_same_limit(portal: FakePortal) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n"
    data = urlencode(alice()).encode()
    assert post(portal, b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data), framing=chunked).status == 303
    endless = post(portal, b"", framing=chunked)
    for _ in range(MAX_FORM // 4096 + 2):
        endless.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert endless.status == 413
    assert endless.is_closing


def test_a_form_that_does_not_come_is_not_waited_for(portal: FakePortal) -> None:
    browser = post(portal, b"login=al", framing=b"Content-Length: 100\r\n")
    portal.settle(WITHIN - 1)
    browser.send(b"i")
    assert browser.status == 0
    portal.settle(1)
    assert browser.status == 408
    assert browser.is_closing
    portal.lines()


def test_who_leaves_before_the_form_is_whole_leaves_no_timer_behind(portal: FakePortal) -> None:
    before = len(portal.clock.getDelayedCalls())
    browser = post(portal, b"login=al", framing=b"Content-Length: 100\r\n")
    browser.leave()
    portal.lines()
    assert len(portal.clock.getDelayedCalls()) == before
    assert portal.password_check.asked == []


def test_guesses_wait(portal: FakePortal) -> None:
    for n in range(6):
        portal.settle(ADDRESS_CAP)
        post(portal, alice(f"guess {n}"))
    asked = len(portal.password_check.asked)
    late = post(portal, alice())
    assert (late.status, len(portal.password_check.asked)) == (0, asked)
    portal.settle(ADDRESS_CAP)
    assert late.status == 303


@pytest.mark.parametrize("outcome", ["locked", "expired"])
def test_who_has_the_password_is_told_why_it_does_not_help_and_nobody_else_is(
    portal: FakePortal, outcome: PasswordOutcome
) -> None:
    portal.password_check.outcomes["alice"] = outcome
    told, guessed = post(portal, alice()), post(portal, alice("wrong"))
    assert told.status == 403
    assert outcome.encode() in told.received
    assert guessed.status == 401
    assert outcome.encode() not in guessed.received
    assert portal.sessions._sessions == {}


def test_when_nobody_can_say_nobody_is_signed_in(portal: FakePortal) -> None:
    portal.password_check.outcomes["alice"] = "broken"
    assert post(portal, alice()).status == 503
    assert portal.sessions._sessions == {}


def test_each_sign_in_is_a_session_of_its_own(portal: FakePortal) -> None:
    """A cookie that somebody planted before is worth nothing after."""
    planted = portal.cookie()
    first = post(portal, alice(), SAME + FORM + planted).field(b"set-cookie") or b""
    second = post(portal, alice()).field(b"set-cookie") or b""
    assert len({first, second, planted}) == 3
    assert planted.partition(b"=")[2].strip() not in first


def test_a_site_without_passwords_has_no_form_and_takes_none() -> None:
    portal = FakePortal()
    assert b"<form" not in page(portal)
    assert post(portal, alice()).status == 405
    assert portal.password_check.asked == []


def test_the_redirects_behind_the_form_may_end_at_an_application(portal: FakePortal) -> None:
    """Chromium holds them against form-action."""
    browser = post(portal, alice("wrong"))
    policy = (browser.field(b"content-security-policy") or b"").decode()
    assert "form-action 'self' https://*.fh.portal.test" in policy
    assert "frame-ancestors 'none'" in policy


def known_of(browser: Browser) -> bytes:
    """What the browser was given to be known by."""
    [given] = [value for value in browser.fields(b"set-cookie") if value.startswith(KNOWN_COOKIE + b"=")]
    assert given.endswith(b"; Max-Age=7776000; Path=/; Secure; HttpOnly; SameSite=Lax")
    return given.partition(b";")[0]


def crowd(portal: FakePortal, login: str) -> list[Browser]:
    """Wrong passwords for an account, more than may wait at its address."""
    for n in range(4):
        post(portal, {"login": login, "password": f"guess {n}"})
        portal.clock.advance(ADDRESS_CAP)
    return [post(portal, {"login": login, "password": f"more {n}"}) for n in range(20)]


def test_a_neighbour_without_failures_signs_in_while_others_guess_at_their_address(portal: FakePortal) -> None:
    crowd(portal, "bob")
    assert post(portal, alice()).status == 303


def test_who_is_guessed_at_signs_in_where_they_have_before(portal: FakePortal) -> None:
    known = known_of(post(portal, alice()))
    crowd(portal, "alice")
    stranger = post(portal, alice())
    assert stranger.status == 503
    assert b"your network address" in stranger.received
    assert post(portal, alice(), SAME + FORM + b"Cookie: " + known + b"\r\n").status == 303


def test_being_known_to_one_account_is_no_better_place_for_anothers(portal: FakePortal) -> None:
    known = known_of(post(portal, {"login": "bob", "password": "bob-secret"}))
    crowd(portal, "alice")
    assert post(portal, alice(), SAME + FORM + b"Cookie: " + known + b"\r\n").status == 503
