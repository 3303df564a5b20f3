"""Each refusal's line says whom somebody claimed to be, and never what they may have typed by mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from supercloud.authn.lock_store import LockRow
from supercloud.authn.notices import Maintenance, Notices
from supercloud.authn.scope import JOBS
from supercloud.authn.standing import POLL
from supercloud.authn.token_store import KEPT
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.awaiting import run
from tests.fakes.portal import Browser, FakePortal, basic, bearer

TYPED = b"Content-Type: application/x-www-form-urlencoded\r\nOrigin: https://portal.test\r\n"


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal(takes_programs=True)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What the service's log is told."""
    told: list[str] = []

    def observe(event: LogEvent) -> None:
        told.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield told
    globalLogPublisher.removeObserver(observe)


def ask(portal: FakePortal, extra: bytes, path: bytes = b"/dav/x") -> dict[str, Any]:
    browser = portal.browser()
    browser.send(b"GET " + path + b" HTTP/1.1\r\nHost: portal.test\r\n" + extra + b"\r\n")
    return last(portal, browser)


def sign_in(portal: FakePortal, login: bytes, password: bytes) -> dict[str, Any]:
    body = b"login=" + login + b"&password=" + password
    browser = portal.browser()
    browser.send(
        b"POST /login HTTP/1.1\r\nHost: portal.test\r\n" + TYPED + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    portal.settle(30.0)
    return last(portal, browser)


def last(portal: FakePortal, browser: Browser) -> dict[str, Any]:
    line = portal.lines()[-1]
    assert browser.status == line["status"] >= 300
    return line


def lock(portal: FakePortal) -> None:
    portal.locks.lock(LockRow(ALICE.uid, ALICE.login, "left", 1000.0))
    portal.settle(POLL)


def test_a_wrong_password_says_whose_it_was_tried_for(portal: FakePortal) -> None:
    for line in (sign_in(portal, b"alice", b"wrong"), ask(portal, basic("alice", "wrong"))):
        assert (line["claimed"], line["principal"], line["outcome"]) == ("alice", "", "refused")
        assert "wrong" not in str(line)
    assert sign_in(portal, b"root", b"wrong")["claimed"] == "root"


@pytest.mark.parametrize("typed", ["hunter2", "Tr0ub4dor%263", "correct-horse-battery-staple", "%22%0a%c3%a4"])
def test_what_may_be_a_password_in_the_wrong_field_is_in_no_line(
    portal: FakePortal, typed: str, logged: list[str]
) -> None:
    line = sign_in(portal, typed.encode(), b"alice")
    assert re.fullmatch(r"\?[0-9a-f]{8}", line["claimed"])
    assert typed not in str(portal.lines()) + str(logged)
    if "%" not in typed:
        assert ask(portal, basic(typed, "alice"))["claimed"] == line["claimed"]
        assert typed not in str(portal.lines()) + str(logged)
        assert typed not in str(ask(portal, basic(typed, portal.token())))


def test_a_token_says_whose_it_is_whatever_is_wrong_with_it(portal: FakePortal) -> None:
    wrong = portal.token(ALICE, JOBS)
    assert ask(portal, bearer(wrong))["claimed"] == "alice"
    expired = portal.token(life=60.0)
    portal.settle(61.0)
    line = ask(portal, bearer(expired))
    assert (line["claimed"], "expired" in line["reason"]) == ("alice", True)
    assert ask(portal, basic("bob", portal.token()))["claimed"] == "alice"


def test_a_revoked_token_says_whose_it_was_also_when_another_took_its_place(portal: FakePortal) -> None:
    token = portal.token(BOB)
    [row] = portal.token_store.rows.values()
    run(portal.tokens.revoke(BOB.uid, row.id))
    portal.token(BOB)
    for extra in (bearer(token), basic("bob", token)):
        line = ask(portal, extra)
        assert (line["claimed"], line["status"]) == ("bob", 401)
        assert line["reason"] == f"token refused: {row.id} is revoked"
    portal.token_store.forget(row.ends + KEPT + 1)
    assert ask(portal, bearer(token))["claimed"] == ""


def test_who_is_gone_from_the_account_database_is_named_too(portal: FakePortal) -> None:
    token, cookie = portal.token(), portal.cookie()
    del portal.accounts.known[ALICE.uid]
    for extra in (bearer(token), cookie):
        line = ask(portal, extra)
        assert (line["claimed"], line["principal"], line["status"]) == ("alice", "", 401)


def test_whom_maintenance_keeps_out_is_named(portal: FakePortal) -> None:
    portal.board._notices = Notices(maintenance=Maintenance(text="Back soon."))
    for extra in (bearer(portal.token()), portal.cookie()):
        line = ask(portal, extra)
        assert (line["claimed"], line["status"]) == ("alice", 503)


def test_a_made_up_token_is_nobodys(portal: FakePortal) -> None:
    assert ask(portal, bearer("scp_" + "0" * 64))["claimed"] == ""


def test_a_locked_account_is_named_by_all_that_it_shows(portal: FakePortal) -> None:
    cookie, token = portal.cookie(), portal.token()
    lock(portal)
    for line in (sign_in(portal, b"alice", b"alice-secret"), ask(portal, bearer(token)), ask(portal, portal.cookie())):
        assert (line["claimed"], line["principal"], line["status"]) == ("alice", "", 403)
    assert ask(portal, cookie)["claimed"] == "uid 1001"  # of a session that the lock ended


def test_a_cookie_that_the_portal_did_not_make_is_nobodys(portal: FakePortal) -> None:
    assert ask(portal, b"Cookie: __Host-Http-supercloud=alice\r\n")["claimed"] == ""


def test_who_is_let_in_is_the_principal_by_what_they_showed(portal: FakePortal) -> None:
    token = portal.token()
    [row] = portal.token_store.rows.values()
    for extra, credential in (
        (portal.cookie(), "session"),
        (bearer(token), f"token {row.id}"),
        (basic("alice", "alice-secret"), "password"),
    ):
        browser = portal.browser()
        browser.send(b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + extra + b"\r\n")
        browser.leave()
        line = portal.lines()[-1]
        assert (line["principal"], line["claimed"], line["credential"]) == ("alice", "", credential)


def test_tokens_made_and_revoked_on_the_page_leave_lines_of_which_and_for_what(portal: FakePortal) -> None:
    def post(form: bytes) -> None:
        browser = portal.browser()
        fields = TYPED + portal.cookie() + b"Content-Length: %d\r\n\r\n" % len(form)
        browser.send(b"POST /tokens HTTP/1.1\r\nHost: portal.test\r\n" + fields + form)
        assert browser.status in (200, 303)

    post(b"do=create&for-jobs=on&for-read=on&expires=30d&name=laptop")
    [row] = portal.token_store.rows.values()
    post(b"do=revoke&id=" + row.id.encode())
    post(b"do=revoke&id=of-nobody")
    made, revoked = (line for line in portal.lines() if "act" in line)
    assert (made["act"], made["by"], made["account"], made["way"]) == ("token-made", "alice", "alice", "page")
    assert made["what"].startswith(f"token {row.id} for read,jobs, called 'laptop', until ")
    assert (revoked["act"], revoked["what"], revoked["by_uid"]) == ("token-revoked", f"token {row.id}", 1001)
    assert made["address"] == portal.lines()[0]["address"]


@pytest.mark.parametrize("path", [b"/healthz", b"/.portal/portal.css", b"/.portal/icon.svg", b"/.portal/workspace.js"])
def test_what_says_nothing_of_anybody_leaves_no_line_but_counts(portal: FakePortal, path: bytes) -> None:
    browser = portal.browser()
    browser.send(b"GET " + path + b" HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert browser.status == 200
    assert portal.lines() == []
    browser = portal.browser()
    browser.send(b"GET " + path + b" HTTP/1.1\r\nHost: portal.test\r\nSec-Fetch-Site: cross-site\r\n\r\n")
    assert [line["status"] for line in portal.lines()] == [403]


def test_an_account_that_is_kept_out_and_let_in_again_is_told_to_the_log(portal: FakePortal, logged: list[str]) -> None:
    lock(portal)
    assert "alice is kept out: locked by an administrator" in logged
    portal.locks.unlock(ALICE.uid)
    portal.settle(POLL)
    assert "alice may be used again" in logged
