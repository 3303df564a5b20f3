"""An account is locked, expires, vanishes or leaves a group while it has something open."""

from __future__ import annotations

from dataclasses import replace

import pytest
from wsproto.events import CloseConnection

from supercloud.authn.lock_store import LockRow
from supercloud.authn.session import Session
from supercloud.errors import Busy
from supercloud.front.exchange import Exchange
from supercloud.identity import Principal
from supercloud.monitor.wire import AccountState
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import HIS_PORT, OK, SHARED_PORT, FakePortal, basic, bearer, get
from tests.scenario.running import CHUNKED, Socket, last, pass_time, stream

LOCK = LockRow(ALICE.uid, "alice", "Call the desk.", 1000.0)


def test_an_administrators_lock_ends_everything_of_the_account_and_nothing_else(portal: FakePortal) -> None:
    portal = FakePortal(takes_programs=True)
    browser, _ = stream(portal, get(portal))
    socket = Socket(portal)
    file = portal.browser()
    file.send(b"GET /dav/big HTTP/1.1\r\nHost: portal.test\r\n" + bearer(portal.token()) + b"\r\n")
    portal.worker_dialer[0].send(CHUNKED)
    his = portal.browser()
    his.send(b"GET /dav/big HTTP/1.1\r\nHost: portal.test\r\n" + bearer(portal.token(BOB)) + b"\r\n")
    portal.worker_dialer[1].send(CHUNKED)
    portal.locks.lock(LOCK)
    pass_time(portal)
    assert browser.transport.aborted
    assert socket.down() == CloseConnection(1008, "locked by an administrator")
    assert file.transport.aborted
    assert portal.monitor.stopped == [1]
    assert not his.is_closing
    assert {line["outcome"] for line in portal.lines()} == {"refused"}


def test_a_locked_accounts_token_is_not_taken_and_whoever_shows_it_is_told_why(portal: FakePortal) -> None:
    portal = FakePortal(takes_programs=True)
    request = b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + bearer(portal.token()) + b"\r\n"
    browser = portal.browser()
    browser.send(request)
    portal.worker_dialer[0].send(OK)
    assert browser.status == 200
    browser.take()
    portal.locks.lock(LOCK)
    pass_time(portal)
    browser.send(request)
    assert browser.status == 403
    assert b"locked this account for the portal. Call the desk." in browser.take()
    portal.locks.unlock(ALICE.uid)
    pass_time(portal)
    browser.send(request)
    assert len(portal.worker_dialer) == 2, "another worker"


def test_a_locked_account_is_refused_at_the_form_in_words_for_who_knows_the_password(portal: FakePortal) -> None:
    portal = FakePortal(takes_programs=True)
    portal.locks.lock(LOCK)
    pass_time(portal)
    for password, status in (("alice-secret", 403), ("guessed", 401)):
        body = f"login=alice&password={password}".encode()
        browser = portal.browser()
        browser.send(
            b"POST /login HTTP/1.1\r\nHost: portal.test\r\nSec-Fetch-Site: same-origin\r\nOrigin: https://portal.test\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        pass_time(portal, 5)
        assert browser.status == status
        assert (b"locked this account" in browser.received) == (status == 403)
        assert browser.field(b"set-cookie") is None


@pytest.mark.parametrize("state", ["locked", "expired", "no-shell", "unknown", "renamed"])
def test_an_account_that_may_not_be_used_any_more_ends_what_it_has(portal: FakePortal, state: AccountState) -> None:
    browser, upstream = stream(portal, get(portal))
    his, _ = stream(
        portal,
        f"GET /x HTTP/1.1\r\nHost: localhost-{HIS_PORT}-u1002.fh.portal.test\r\n".encode()
        + portal.cookie(BOB, origin=f"localhost-{HIS_PORT}-u1002.fh.portal.test") + b"\r\n",
    )  # fmt: skip
    portal.monitor.states[ALICE.uid] = state
    pass_time(portal, 15)
    assert browser.transport.aborted
    assert upstream.is_closing
    assert last(portal) == ("refused", f"alice is {state}")
    assert not his.is_closing


@pytest.mark.parametrize("shows", ["session", "session of an origin", "token", "password"])
def test_an_account_without_a_shell_is_refused_whatever_it_shows_and_told_why(shows: str) -> None:
    """At the first request: nobody has asked about it before, and nothing of it is reached."""
    portal = FakePortal(takes_programs=True)
    portal.monitor.states[ALICE.uid] = "no-shell"
    fields = {
        "session": lambda: portal.cookie(),
        "token": lambda: bearer(portal.token()),
        "password": lambda: basic("alice", "alice-secret"),
    }
    request = b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n"
    request = get(portal) if shows not in fields else request + fields[shows]() + b"\r\n"
    browser = portal.browser()
    browser.send(request)
    pass_time(portal, 5)
    assert browser.status == 403
    assert b"no login shell" in browser.received
    assert portal.monitor.started == []
    assert portal.dialer.dialled == []


def test_an_account_without_a_shell_gets_no_session_by_a_certificate() -> None:
    portal = FakePortal(ways=(CertifiedAlice(),))
    portal.monitor.states[ALICE.uid] = "no-shell"
    browser = portal.browser()
    browser.send(b"GET /login HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    pass_time(portal)
    assert browser.status == 403
    assert b"no login shell" in browser.received
    assert browser.field(b"set-cookie") is None


class CertifiedAlice:
    """Implements `front.signin.SignIn`: whoever comes has alice's certificate."""

    name = "certificate"
    is_guessed = False

    def is_tried(self, exchange: Exchange, query: dict[str, str]) -> bool:
        return True

    def certificate(self, exchange: Exchange) -> bytes:
        return b""

    def doubt(self, session: Session) -> str | None:
        return None

    async def sign_in(self, exchange: Exchange, query: dict[str, str]) -> Principal:
        return ALICE


def test_a_connection_that_was_kept_for_a_closed_account_carries_nothing_afterwards(portal: FakePortal) -> None:
    browser = portal.browser()
    request = get(portal)
    browser.send(request)
    portal.dialer[0].send(OK)
    portal.dialer[0].take()
    portal.monitor.states[ALICE.uid] = "expired"
    pass_time(portal, 15)
    assert portal.dialer[0].is_closing
    browser.take()
    browser.send(get(portal))
    assert browser.status == 403
    assert b"has expired" in browser.received
    assert portal.dialer.received == b""


def shared(portal: FakePortal) -> bytes:
    """A request of bob's for alice's application that runs under a group that he is in."""
    origin = f"localhost-{SHARED_PORT}-u{ALICE.uid}.fh.portal.test"
    return f"GET /stream HTTP/1.1\r\nHost: {origin}\r\n".encode() + portal.cookie(
        BOB, origin=origin, owner=ALICE.uid
    ) + b"\r\n"  # fmt: skip


def test_whoever_leaves_the_group_sees_the_groups_applications_no_more(portal: FakePortal) -> None:
    browser, upstream = stream(portal, shared(portal))
    hers, _ = stream(portal, get(portal))
    pass_time(portal, 30)
    assert not browser.is_closing
    portal.accounts.known[BOB.uid] = replace(BOB, groups=frozenset({BOB.gid}))
    pass_time(portal, 15)
    assert browser.transport.aborted
    assert upstream.is_closing
    assert last(portal) == ("refused", f"bob -> localhost:{SHARED_PORT}: somebody else's, gid 2000")
    assert not hers.is_closing


def test_a_connection_kept_by_a_group_is_closed_though_it_is_used_again_and_again(portal: FakePortal) -> None:
    """Told by the bytes that reach the application."""
    browser = portal.browser()
    request = shared(portal)
    browser.send(request)
    kept = portal.dialer[-1]
    kept.send(OK)
    for _ in range(10):
        pass_time(portal, 1)
        browser.send(request)
        kept.send(OK)
    assert len(portal.dialer) == 1
    portal.accounts.known[BOB.uid] = replace(BOB, groups=frozenset({BOB.gid}))
    for _ in range(15):
        pass_time(portal, 1)
        kept.take()
        browser.send(request)
        kept.send(OK)
    kept.take()
    browser.send(request)
    assert kept.is_closing
    assert kept.received == b""
    assert len(portal.dialer) == 1, "nobody connects anew"


def test_an_account_database_that_does_not_answer_ends_nothing_for_a_minute(
    portal: FakePortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, _ = stream(portal, shared(portal))

    async def busy(key: str | int) -> Principal:
        raise Busy("no thread is free")

    monkeypatch.setattr(portal.accounts, "find", busy)
    pass_time(portal, 50)
    assert not browser.is_closing
    pass_time(portal, 30)
    assert browser.transport.aborted
    assert "nobody could say" in last(portal)[1]
