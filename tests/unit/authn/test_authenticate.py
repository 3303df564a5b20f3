"""Who a request's cookie says is asking."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supercloud.authn.authenticate import SESSION_COOKIE, Authenticator, Viewer
from supercloud.authn.credential import Credential
from supercloud.authn.scope import DAV, JOBS, Need
from supercloud.authn.session import Session, Visit
from supercloud.errors import AccountClosed, NotAuthenticated
from supercloud.message.head import UNREADABLE, RequestHead
from supercloud.target import Application, Origin
from tests.fakes.accounts import ALICE, BOB, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.sessions import FakeSessions
from tests.fakes.standing import FakeStanding
from tests.unit.authn.conftest import IDLE, Portal

PORTAL = Origin("portal.test")
HERS = Origin("localhost-8080.fh.portal.test", Application("localhost", 8080))

FILES = Need((DAV,))


class Counting(FakeSessions):
    """Counts the seals that are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0

    async def verify(self, cookie: str, *, origin: str) -> Visit | None:
        self.opened += 1
        return await super().verify(cookie, origin=origin)


class Fields:
    """Implements `FieldCheck`: a program shows its login; counts what is verified."""

    def __init__(self, accounts: FakeAccounts) -> None:
        self.accounts = accounts
        self.verified: list[tuple[bytes, Need, str]] = []
        self.credential = Credential()

    def shown(self, head: RequestHead) -> bytes | None:
        return head.get(b"authorization")

    async def verify(self, value: bytes, need: Need, address: str) -> Viewer:
        self.verified.append((value, need, address))
        principal = await self.accounts.find(value.decode())
        return Viewer(principal, self.credential, principal.uid, self)

    def is_live(self, credential: Credential) -> bool:
        return credential.ended is None

    def touch(self, credential: Credential) -> None:
        pass


class Bench:
    """An authenticator, and the memory of one downstream connection."""

    def __init__(self) -> None:
        self.sessions = Counting()
        self.accounts = FakeAccounts()
        sessions: Any = self.sessions
        self.fields = Fields(self.accounts)
        self.standing = FakeStanding()
        self.authenticator = Authenticator(sessions, self.accounts, self.standing, self.fields)
        self.memory: dict[str, object] = {}

    def cookie(self, session: Session, origin: Origin = PORTAL) -> str:
        return self.sessions.cookie(session, origin=origin.host, owner=1001)

    def viewer(self, cookie: str | None, origin: Origin = PORTAL) -> Any:
        return run(self.authenticator.authenticate(head(cookie), origin, self.memory))

    def program(self, login: str, need: Need | None = FILES, *, cookie: str | None = None) -> Viewer:
        made = head(cookie)
        made.fields.append((b"authorization", b"Authorization", login.encode()))
        made = replace(made, first={b"authorization": login.encode()})
        return run(self.authenticator.authenticate(made, PORTAL, self.memory, need=need, address="192.0.2.7"))


def head(cookie: str | None) -> RequestHead:
    if cookie is None:
        return replace(UNREADABLE, fields=[])
    value = b"a=b; " + SESSION_COOKIE + b"=" + cookie.encode("latin-1")
    return replace(UNREADABLE, fields=[(b"cookie", b"Cookie", value)])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_session_of_this_origin_is_its_viewer(bench: Bench) -> None:
    session = bench.sessions.begin(ALICE)
    viewer = bench.viewer(bench.cookie(session))
    assert (viewer.principal, viewer.session, viewer.owner) == (ALICE, session, 1001)


@pytest.mark.parametrize("cookie", [None, "", "nonsense", "\xe9\xff"])
def test_without_a_session_there_is_no_viewer(bench: Bench, cookie: str | None) -> None:
    with pytest.raises(NotAuthenticated):
        bench.viewer(cookie)


def test_equal_bytes_are_not_opened_again(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(ALICE))
    first = bench.viewer(cookie)
    assert bench.viewer(cookie) is first
    assert bench.sessions.opened == 1


def test_other_bytes_on_the_same_connection_are_opened_for_themselves(bench: Bench) -> None:
    bench.viewer(bench.cookie(bench.sessions.begin(ALICE)))
    assert bench.viewer(bench.cookie(bench.sessions.begin(BOB))).principal == BOB
    assert bench.sessions.opened == 2


def test_each_request_touches_its_session(bench: Bench) -> None:
    session = bench.sessions.begin(ALICE)
    cookie = bench.cookie(session)
    for _ in range(2):
        session.last_seen = 0.0
        bench.viewer(cookie)
        assert session.last_seen == 1.0


def test_a_websocket_that_carries_something_touches_its_session(bench: Bench) -> None:
    session = bench.sessions.begin(ALICE)
    viewer = bench.viewer(bench.cookie(session))
    session.last_seen = 0.0
    bench.authenticator.touch(viewer)
    assert session.last_seen == 1.0


def test_cookie_of_another_origin_is_refused_even_on_a_connection_that_knows_it(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(ALICE), HERS)
    bench.viewer(cookie, HERS)
    with pytest.raises(NotAuthenticated, match="session cookie refused"):
        bench.viewer(cookie, PORTAL)
    assert bench.sessions.opened == 2


def test_cookie_of_a_session_that_ended_is_refused_on_a_connection_that_knows_it(bench: Bench) -> None:
    session = bench.sessions.begin(ALICE)
    cookie = bench.cookie(session)
    bench.viewer(cookie)
    session.end("signed out")
    with pytest.raises(NotAuthenticated):
        bench.viewer(cookie)
    assert bench.memory == {}


def test_a_session_that_is_over_is_looked_up_once_more(portal: Portal) -> None:
    here, there = portal.process(), portal.process()
    session = run(here.sessions.open(ALICE, scheme="link", address="192.0.2.1"))
    cookie = here.sessions.cookie(session, origin=PORTAL.host, owner=1001)
    authenticator = Authenticator(here.sessions, FakeAccounts(), FakeStanding())
    memory: dict[str, object] = {}
    run(authenticator.authenticate(head(cookie), PORTAL, memory))
    portal.clock.advance(IDLE - 600)
    elsewhere = run(there.sessions.verify(cookie, origin=PORTAL.host))
    assert elsewhere is not None
    there.sessions.touch(elsewhere.session)
    portal.clock.advance(600.05)
    assert not here.sessions.is_live(session)
    again = run(authenticator.authenticate(head(cookie), PORTAL, memory))
    assert here.sessions.is_live(again.session)


def test_cookie_of_a_uid_that_went_to_another_account_is_refused(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(ALICE))
    bench.accounts.known = {1001: replace(ALICE, login="mallory")}
    with pytest.raises(NotAuthenticated, match="uid 1001 was alice, is mallory"):
        bench.viewer(cookie)


def test_cookie_of_an_account_that_is_gone_is_refused(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(ALICE))
    bench.accounts.known.clear()
    with pytest.raises(NotAuthenticated, match="no account 1001"):
        bench.viewer(cookie)


def test_groups_are_those_of_now_not_of_sign_in(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(ALICE))
    now = replace(ALICE, groups=frozenset({1001, 3000}))
    bench.accounts.known = {1001: now}
    assert bench.viewer(cookie).principal == now


def test_a_program_is_verified_once_a_connection(bench: Bench) -> None:
    first = bench.program("alice")
    assert bench.program("alice") is first
    assert bench.fields.verified == [(b"alice", FILES, "192.0.2.7")]


def test_a_program_whose_credential_ended_is_verified_anew(bench: Bench) -> None:
    bench.program("alice")
    bench.fields.credential.end("revoked")
    bench.fields.credential = Credential()
    bench.program("alice")
    assert len(bench.fields.verified) == 2


def test_what_was_verified_for_one_address_says_nothing_of_another(bench: Bench) -> None:
    """A token for files was verified on this connection; what it may launch is another question."""
    bench.program("alice", FILES)
    bench.program("alice", Need((JOBS,)))
    assert [need for _, need, _ in bench.fields.verified] == [FILES, Need((JOBS,))]


def test_another_program_on_the_same_connection_is_verified_for_itself(bench: Bench) -> None:
    assert bench.program("alice").principal == ALICE
    assert bench.program("bob").principal == BOB


def test_where_only_a_session_counts_no_field_is_looked_at(bench: Bench) -> None:
    bench.program("alice", FILES)
    with pytest.raises(NotAuthenticated, match="no session cookie"):
        bench.program("alice", None)
    assert len(bench.fields.verified) == 1


def test_a_cookie_goes_before_a_field_whatever_it_is_worth(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(BOB))
    assert bench.program("alice", cookie=cookie).principal == BOB
    with pytest.raises(NotAuthenticated, match="session cookie refused"):
        bench.program("alice", cookie="forged")
    assert bench.fields.verified == []


def test_a_site_that_takes_no_programs_lets_none_in(bench: Bench) -> None:
    sessions: Any = bench.sessions
    bench.authenticator = Authenticator(sessions, bench.accounts, bench.standing)
    assert not bench.authenticator.takes_programs
    with pytest.raises(NotAuthenticated):
        bench.program("alice")


def test_a_program_has_no_session(bench: Bench) -> None:
    with pytest.raises(NotAuthenticated, match="alice without a session"):
        bench.program("alice").session


def test_what_a_connection_remembers_opens_nothing_for_an_account_that_was_closed_since(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(ALICE))
    bench.viewer(cookie)
    bench.program("alice")
    bench.standing.refused[ALICE.uid] = AccountClosed("alice is locked")
    for show in (lambda: bench.viewer(cookie), lambda: bench.program("alice")):
        with pytest.raises(AccountClosed):
            show()


def test_an_account_that_may_not_be_used_is_refused_whatever_it_shows(bench: Bench) -> None:
    cookie = bench.cookie(bench.sessions.begin(ALICE))
    refusal = bench.standing.refused[ALICE.uid] = AccountClosed("alice is locked")
    for show in (lambda: bench.viewer(cookie), lambda: bench.program("alice")):
        with pytest.raises(AccountClosed) as caught:
            show()
        assert caught.value is refusal
    assert bench.standing.let_in == []
    bench.standing.refused.clear()
    bench.viewer(cookie)
    bench.program("alice")
    assert bench.standing.let_in == ["alice", "alice"]


@pytest.mark.parametrize("shows", ["session", "program"])
def test_an_account_that_the_database_closes_is_not_let_in_at_all(bench: Bench, shows: str) -> None:
    bench.standing.database[ALICE.uid] = AccountClosed("alice is no-shell")
    with pytest.raises(AccountClosed):
        if shows == "session":
            bench.viewer(bench.cookie(bench.sessions.begin(ALICE)))
        else:
            bench.program("alice")
    assert bench.standing.let_in == []
