"""Programs say who they are in each request, on the portal's own origin and only where programs belong."""

from __future__ import annotations

import pytest

from supercloud.authn.password import REMEMBERED
from supercloud.authn.scope import DAV, FORWARDS, JOBS, KEYS, READ, Scope
from supercloud.authn.token import POLL
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.awaiting import run
from tests.fakes.portal import OK, ORIGIN, Browser, FakePortal, basic, bearer, requests_in

OURS = b"X-Supercloud-Authorization"
RIGHT = basic("alice", "alice-secret")
BASIC = b'Basic realm="SuperCloud portal", charset="UTF-8"'
CROSS_SITE = [
    b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
    b"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n",
    b"Origin: https://localhost-8080-u1001.fh.portal.test\r\n",
    b"Origin: null\r\n",
]
PAGE = b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
EVILS_LINK = b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal(takes_programs=True)


def ask(
    portal: FakePortal, extra: bytes, path: bytes = b"/dav/x", method: bytes = b"GET", host: bytes = b"portal.test"
) -> Browser:
    browser = portal.browser()
    browser.send(method + b" " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + extra + b"\r\n")
    return browser


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"PROPFIND", b"LOCK"])
@pytest.mark.parametrize("path", [b"/dav", b"/dav/", b"/dav/home/x"])
def test_a_program_is_asked_for_a_password(portal: FakePortal, method: bytes, path: bytes) -> None:
    browser = ask(portal, b"", path, method)
    assert browser.status == 401
    assert browser.field(b"WWW-Authenticate") == BASIC
    assert portal.monitor.started == []


@pytest.mark.parametrize("extra", [b"", b"translate: f\r\n" + RIGHT])
def test_windows_learns_at_the_root_that_there_are_files(portal: FakePortal, extra: bytes) -> None:
    """It asks there first, whatever folder it was given; an answer that it cannot sign in for ends its try."""
    browser = ask(portal, extra, b"/", b"OPTIONS")
    assert browser.status == 200
    assert (browser.field(b"DAV"), browser.field(b"MS-Author-Via")) == (b"1, 2, 3", b"DAV")
    assert browser.field(b"Content-Length") == b"0"
    assert portal.monitor.started == []


@pytest.mark.parametrize("extra", [PAGE, b"Origin: https://portal.test\r\n", *CROSS_SITE])
def test_no_browsers_page_is_told_so(portal: FakePortal, extra: bytes) -> None:
    assert ask(portal, extra, b"/", b"OPTIONS").status in (401, 403)


def test_a_site_that_takes_neither_passwords_nor_tokens_asks_for_none() -> None:
    browser = ask(FakePortal(), RIGHT)
    assert browser.status == 401
    assert not (browser.field(b"WWW-Authenticate") or b"").startswith(b"Basic")


@pytest.mark.parametrize("path", [b"/", b"/tokens", b"/fw2/localhost:8080/", b"/.portal/ticket?to=x&nonce=y"])
def test_elsewhere_nobody_is_asked_for_one(portal: FakePortal, path: bytes) -> None:
    assert not (ask(portal, b"", path).field(b"WWW-Authenticate") or b"").startswith(b"Basic")


def test_a_browser_is_never_asked_for_one_which_it_would_remember(portal: FakePortal) -> None:
    fetch = ask(portal, b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n")
    assert fetch.status == 401
    assert not (fetch.field(b"WWW-Authenticate") or b"").startswith(b"Basic")
    page = ask(portal, PAGE)
    assert (page.status, page.field(b"location")) == (303, b"/login?next=%2Fdav%2Fx")


@pytest.mark.parametrize("extra", [RIGHT, basic("alice", "alice-secret", OURS)])
def test_a_password_leads_to_the_accounts_own_worker_which_does_not_see_it(portal: FakePortal, extra: bytes) -> None:
    browser = ask(portal, extra)
    assert portal.worker_dialer.dialled == [("/run/1001-1.sock", 1001)]
    sent = portal.worker_dialer[0].take()
    assert b"authorization" not in sent.lower()
    portal.worker_dialer[0].send(OK)
    assert browser.status == 200
    assert browser.field(b"Set-Cookie") is None
    assert portal.lines()[-1]["principal"] == "alice"


def test_a_token_leads_there_as_bearer_as_password_and_beside_another_field(portal: FakePortal) -> None:
    token = portal.token()
    for extra in (
        bearer(token), bearer(token, OURS), basic("alice", token), basic("alice", token, OURS),
        b"Authorization: token of-something-else\r\n" + bearer(token, OURS),
    ):  # fmt: skip
        ask(portal, extra)
        assert portal.worker_dialer.dialled[-1] == ("/run/1001-1.sock", 1001)
        assert token.encode() not in portal.worker_dialer[-1].take()
    assert portal.password_check.asked == []


@pytest.mark.parametrize(
    "extra",
    [basic("alice", "wrong"), basic("alice", ""), basic("", ""), basic("root", "root-secret"), b"Authorization: x\r\n",
     basic("alice", "bob-secret"), bearer("alice-secret"), bearer("scp_" + "0" * 64), b"Authorization: Basic !!\r\n",
     b"X-Supercloud-Authorization: Bearer x\r\n" + RIGHT],
)  # fmt: skip
def test_what_is_wrong_leads_nowhere_and_is_asked_for_again(portal: FakePortal, extra: bytes) -> None:
    browser = ask(portal, extra)
    assert browser.status == 401
    assert browser.field(b"WWW-Authenticate") == BASIC
    assert portal.monitor.started == []


def test_a_program_that_also_takes_html_is_told_401_and_not_led_to_a_form(portal: FakePortal) -> None:
    for name in (b"Authorization", OURS):
        assert ask(portal, b"Accept: text/html\r\n" + basic("alice", "wrong", name)).status == 401


@pytest.mark.parametrize("scope", [JOBS, READ, KEYS, FORWARDS, Scope("forward:alice-tb")])
def test_a_token_for_something_else_is_refused(portal: FakePortal, scope: Scope) -> None:
    browser = ask(portal, bearer(portal.token(ALICE, scope)))
    assert browser.status == 403
    assert portal.monitor.started == []
    assert scope in portal.lines()[-1]["reason"]
    assert scope.encode() not in browser.received


@pytest.mark.parametrize("scope", [JOBS, READ, DAV, Scope("launch")])
@pytest.mark.parametrize(
    ("method", "path"),
    [(b"POST", b"/api/keys"), (b"DELETE", b"/api/keys"), (b"PUT", b"/api/forwards/a"), (b"DELETE", b"/api/forwards/a"),
     (b"POST", b"/api/forwards/a/share"), (b"POST", b"/api/forwards/a/unshare"), (b"POST", b"/api/forwards/a/disable")],
)  # fmt: skip
def test_a_token_for_something_else_adds_no_key_and_shares_nothing(
    portal: FakePortal, scope: Scope, method: bytes, path: bytes
) -> None:
    for extra in (bearer(portal.token(ALICE, scope)), bearer(portal.token(ALICE, scope), OURS)):
        browser = ask(portal, extra + b"Content-Length: 0\r\n", path, method)
        assert browser.status == 403
        need = KEYS if b"keys" in path else FORWARDS
        assert f"takes one for {need}. Make it on the portal's page /tokens".encode() in browser.received
    assert portal.monitor.started == []


@pytest.mark.parametrize("scopes", [(JOBS,), (Scope("launch"),), (READ, JOBS)])
@pytest.mark.parametrize(
    ("method", "path"),
    [(b"GET", b"/api/apps"), (b"GET", b"/api/apps/web"), (b"POST", b"/api/jobs"), (b"GET", b"/api/jobs"),
     (b"GET", b"/api/jobs/7"), (b"GET", b"/api/jobs/7/log?offset=-1"), (b"DELETE", b"/api/jobs/7"),
     (b"POST", b"/api/jobs/7/renew")],
)  # fmt: skip
def test_a_token_for_jobs_has_what_a_workstation_needs(
    portal: FakePortal, scopes: tuple[Scope, ...], method: bytes, path: bytes
) -> None:
    ask(portal, bearer(portal.token(ALICE, *scopes)) + b"Content-Length: 0\r\n", path, method)
    assert portal.worker_dialer[0].received.startswith(method + b" " + path)


def test_a_token_to_read_changes_nothing(portal: FakePortal) -> None:
    token = bearer(portal.token(ALICE, READ))
    for method, path in [(b"POST", b"/api/jobs"), (b"DELETE", b"/api/jobs/7"), (b"POST", b"/api/jobs/7/renew")]:
        assert ask(portal, token + b"Content-Length: 0\r\n", path, method).status == 403
    assert portal.monitor.started == []
    ask(portal, token, b"/api/keys")
    assert portal.worker_dialer[0].received.startswith(b"GET /api/keys ")


def test_an_address_that_is_in_no_table_is_closed_to_tokens_whatever_they_are_for(portal: FakePortal) -> None:
    token = bearer(portal.token(ALICE, READ, JOBS, KEYS, FORWARDS, DAV))
    assert ask(portal, token, b"/api/new").status == 404
    other = ask(portal, token, b"/api/jobs", b"PATCH")
    assert (other.status, other.field(b"Allow")) == (405, b"GET, POST")
    assert portal.monitor.started == []


def test_a_program_is_told_what_its_token_is_for_and_a_person_of_none(portal: FakePortal) -> None:
    told = ask(portal, bearer(portal.token(ALICE, JOBS, READ)), b"/api/token")
    assert told.status == 200
    assert b'"for":["read","jobs"]' in told.received
    assert b"scp_" not in told.received
    assert ask(portal, RIGHT, b"/api/token").status == 404
    assert ask(portal, portal.cookie(), b"/api/token").status == 404
    assert ask(portal, bearer(portal.token(ALICE, Scope("forward:a"))), b"/api/token").status == 403
    assert portal.monitor.started == []


@pytest.mark.parametrize(
    "path", [b"/dav/../api/jobs", b"/dav/%2e%2e/api/jobs", b"/dav/a/..%2f..%2fapi", b"/dav\\..\\api", b"/dav/.%2E\\api"]
)
def test_a_token_for_files_does_not_climb_to_other_addresses(portal: FakePortal, path: bytes) -> None:
    for extra in (bearer(portal.token()), RIGHT):
        assert ask(portal, extra, path).status in (401, 404)
    assert portal.monitor.started == []


@pytest.mark.parametrize(
    "path", [b"/", b"/tokens", b"/logout", b"/.portal/ticket?to=" + ORIGIN.encode() + b"&nonce=" + b"n" * 43]
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_no_program_gets_at_what_belongs_to_who_signed_in(portal: FakePortal, path: bytes, method: bytes) -> None:
    for extra in (RIGHT, bearer(portal.token()), basic("alice", "alice-secret", OURS), bearer(portal.token(), OURS)):
        assert ask(portal, extra, path, method).status in (401, 405)
    assert portal.password_check.asked == []


@pytest.mark.parametrize(
    ("host", "path"), [(ORIGIN.encode(), b"/dav/x"), (ORIGIN.encode(), b"/"), (b"portal.test", b"/fw2/localhost:8080/")]
)
def test_no_password_and_no_token_for_files_opens_an_application(portal: FakePortal, host: bytes, path: bytes) -> None:
    for extra in (RIGHT, bearer(portal.token()), basic("alice", "alice-secret", OURS)):
        assert ask(portal, extra, path, b"PUT", host).status == 401
    assert portal.dialer.dialled == []
    assert portal.password_check.asked == []


def test_an_application_gets_its_own_authorization_and_never_a_token_of_the_portals(portal: FakePortal) -> None:
    token = portal.token()
    for number, (extra, passes) in enumerate(
        [(b"Authorization: token of-jupyter\r\n", True), (bearer(token), False), (basic("alice", token), False)]
    ):
        ask(portal, extra + bearer(token, OURS) + portal.cookie(origin=ORIGIN), b"/", host=ORIGIN.encode())
        [(request, _)] = requests_in(portal.dialer[number].take())
        fields = dict(request.headers)
        assert (b"authorization" in fields) is passes
        assert OURS.lower() not in fields


@pytest.mark.parametrize("extra", CROSS_SITE)
@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"POST"])
def test_another_sites_page_cannot_use_what_a_browser_remembers(
    portal: FakePortal, extra: bytes, method: bytes
) -> None:
    for shown in (RIGHT, bearer(portal.token())):
        assert ask(portal, shown + extra, method=method).status == 403
    assert portal.monitor.started == []
    assert portal.password_check.asked == []


def test_a_link_from_elsewhere_does_not_either(portal: FakePortal) -> None:
    assert ask(portal, RIGHT + EVILS_LINK).status == 403  # whether to go on
    assert portal.monitor.started == []
    assert portal.password_check.asked == []


def test_a_cookie_goes_before_a_field(portal: FakePortal) -> None:
    ask(portal, RIGHT + portal.cookie(BOB))
    assert portal.worker_dialer.dialled == [("/run/1002-1.sock", 1002)]
    forged = b"Cookie: __Host-Http-supercloud=forged\r\n"
    assert ask(portal, RIGHT + forged).status == 401
    assert portal.password_check.asked == []


def test_a_mounted_drive_is_asked_about_once_for_all_its_connections(portal: FakePortal) -> None:
    browsers = [ask(portal, RIGHT) for _ in range(4)]
    for browser in browsers:
        portal.worker_dialer[0].send(OK)
        browser.send(b"PROPFIND /dav/ HTTP/1.1\r\nHost: portal.test\r\n" + RIGHT + b"\r\n")
    assert len(portal.password_check.asked) == 1


def test_what_was_right_is_asked_about_again_on_the_same_connection_after_a_while(portal: FakePortal) -> None:
    browser = ask(portal, RIGHT)
    portal.worker_dialer[0].send(OK)
    browser.take()
    portal.password_check.passwords["alice"] = b"new"
    portal.clock.rightNow += REMEMBERED  # the connection was busy: no timer of an idle one is let run
    browser.send(b"GET /dav/y HTTP/1.1\r\nHost: portal.test\r\n" + RIGHT + b"\r\n")
    assert browser.status == 401


def test_a_revoked_token_opens_nothing_more_on_a_connection_that_it_opened(portal: FakePortal) -> None:
    portal.tokens.start()
    extra = bearer(portal.token())
    browser = ask(portal, extra)
    portal.worker_dialer[0].send(OK)
    browser.take()
    [row] = portal.token_store.rows.values()
    portal.token_store.revoke(1001, row.id)  # by another process
    portal.settle(2 * POLL)
    browser.send(b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + extra + b"\r\n")
    assert browser.status == 401
    assert portal.worker_dialer[0].received.count(b"GET ") == 1


def test_a_token_verified_on_a_connection_is_no_other_token(portal: FakePortal) -> None:
    hers, his = portal.token(ALICE), portal.token(BOB)
    browser = ask(portal, bearer(hers))
    portal.worker_dialer[0].send(OK)
    browser.send(b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + bearer(his) + b"\r\n")
    assert [uid for _, uid in portal.worker_dialer.dialled] == [1001, 1002]


def test_guesses_wait_longer_and_longer(portal: FakePortal) -> None:
    browsers = [ask(portal, basic("alice", f"guess {n}")) for n in range(40)]
    assert len(portal.password_check.asked) < 12
    assert {browser.status for browser in browsers} == {0, 401, 503}
    for browser in browsers:
        browser.leave()
    portal.settle(200)


def test_an_upload_waits_for_the_answer_about_its_password(portal: FakePortal) -> None:
    portal.password_check.hold()
    browser = ask(portal, RIGHT + b"Content-Length: 3\r\n", method=b"PUT")
    browser.send(b"abc")
    assert portal.monitor.started == []
    portal.password_check.release()
    [(request, body)] = requests_in(portal.worker_dialer[0].take())
    assert (request.method, body) == (b"PUT", b"abc")


def test_an_upload_under_a_wrong_password_goes_nowhere(portal: FakePortal) -> None:
    browser = ask(portal, basic("alice", "wrong") + b"Content-Length: 3\r\n", method=b"PUT")
    browser.send(b"abc")
    assert browser.status == 401
    assert browser.is_closing
    assert portal.monitor.started == []


def test_who_leaves_while_a_password_is_asked_about_leaves_nothing_behind(portal: FakePortal) -> None:
    portal.password_check.hold()
    browser = ask(portal, RIGHT)
    browser.leave()
    portal.password_check.release()
    assert portal.monitor.started == []
    assert portal.pipeline._streams == {}


@pytest.mark.parametrize(("outcome", "status"), [("locked", 403), ("expired", 403), ("busy", 503), ("broken", 503)])
def test_an_account_that_may_not_be_used_is_told_so_and_not_asked_again(
    portal: FakePortal, outcome: str, status: int
) -> None:
    portal.password_check.outcomes["alice"] = outcome  # type: ignore[assignment]
    browser = ask(portal, RIGHT)
    assert browser.status == status
    assert browser.field(b"WWW-Authenticate") is None
    assert portal.monitor.started == []


def test_no_secret_is_in_the_audit(portal: FakePortal) -> None:
    token = portal.token()
    for extra in (RIGHT, basic("alice", "hunter2"), bearer(token), basic("bob", token)):
        ask(portal, extra)
    run(portal.tokens.stop())
    told = repr(portal.lines())
    for secret in ("alice-secret", "hunter2", token, "YWxpY2U6"):
        assert secret not in told
