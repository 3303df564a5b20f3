"""What let an exchange in ends while it runs: streams, WebSockets, files; by credential, by forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection

from supercloud.authn.authenticate import SESSION_COOKIE
from supercloud.authn.lock_store import LockRow
from supercloud.authn.session import Session
from supercloud.errors import Busy
from supercloud.identity import Principal
from supercloud.monitor.wire import AccountState, ForwardOutcome
from supercloud.watch import PATIENCE
from tests.fakes.accounts import ALICE, BOB, CAROL
from tests.fakes.awaiting import run
from tests.fakes.dialer import FakeUpstream
from tests.fakes.portal import HIS_PORT, OK, ORIGIN, PORT, SHARED_PORT, Browser, FakePortal, accept, basic, bearer, get
from tests.fakes.portal import websocket_request as handshake
from tests.scenario.person import PAGE, Person

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
OWN = "alice-tb.fn.portal.test"


def pass_time(portal: FakePortal, seconds: float = 2.0) -> None:
    """As a reactor does: in small steps."""
    portal.clock.pump([0.125] * int(seconds * 8))


def session_of(portal: FakePortal, origin: str = ORIGIN) -> tuple[Session, bytes]:
    """One more session of alice's, and the field line that shows it."""
    session = portal.sessions.begin(ALICE)
    sealed = portal.sessions.cookie(session, origin=origin, owner=ALICE.uid)
    return session, b"Cookie: " + SESSION_COOKIE + b"=" + sealed.encode() + b"\r\n"


def stream(portal: FakePortal, request: bytes) -> tuple[Browser, FakeUpstream]:
    """A response under way."""
    browser = portal.browser()
    browser.send(request)
    upstream = portal.dialer[-1]
    upstream.send(CHUNKED)
    assert browser.status == 200
    return browser, upstream


def ask(field: bytes, origin: str = ORIGIN) -> bytes:
    return b"GET /stream HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n" + field + b"\r\n"


def last(portal: FakePortal) -> tuple[str, str]:
    line = portal.lines()[-1]
    return line["outcome"], line["reason"]


def test_a_stream_of_a_session_that_ended_is_broken_off_and_not_finished(portal: FakePortal) -> None:
    session, field = session_of(portal)
    browser, upstream = stream(portal, ask(field))
    session.end("signed out")
    pass_time(portal)
    assert browser.transport.aborted, "the browser must not take what it has for the whole"
    assert b"0\r\n\r\n" not in browser.received
    assert upstream.is_closing
    assert last(portal) == ("refused", "alice: signed out")


def test_streams_of_other_sessions_and_of_other_people_go_on(portal: FakePortal) -> None:
    session, field = session_of(portal)
    stream(portal, ask(field))
    _, other = session_of(portal)
    hers, application = stream(portal, ask(other))
    his, _ = stream(
        portal,
        f"GET /x HTTP/1.1\r\nHost: localhost-{HIS_PORT}.fh.portal.test\r\n".encode()
        + portal.cookie(BOB, origin=f"localhost-{HIS_PORT}.fh.portal.test") + b"\r\n",
    )  # fmt: skip
    session.end("signed out")
    pass_time(portal, 20)
    application.send(b"4\r\nmore\r\n0\r\n\r\n")
    assert hers.received.endswith(b"0\r\n\r\n")
    assert not his.is_closing


def test_a_request_that_waits_for_its_head_is_answered_as_a_fresh_one(portal: FakePortal) -> None:
    session, field = session_of(portal, "portal.test")
    browser = portal.browser()
    target = f"/fw2/localhost:{PORT}/"
    browser.send(f"GET {target} HTTP/1.1\r\nHost: portal.test\r\n".encode() + PAGE + field + b"\r\n")
    session.end("ended by an administrator")
    pass_time(portal)
    assert browser.status == 303
    assert browser.field(b"location") == f"/login?next=%2Ffw2%2Flocalhost%3A{PORT}%2F".encode()
    assert portal.dialer[0].is_closing
    assert last(portal) == ("refused", "alice: ended by an administrator")


def test_a_request_whose_connection_is_still_being_made_never_reaches_the_application(portal: FakePortal) -> None:
    session, field = session_of(portal)
    portal.owners.waiting = []
    browser = portal.browser()
    browser.send(ask(field))
    session.end("signed out")
    pass_time(portal)
    assert browser.status == 303
    assert portal.owners.waiting[0].called, "nobody waits for the answer any more"
    assert portal.dialer.received == b""


class Socket:
    """An open WebSocket of a session's."""

    def __init__(self, portal: FakePortal, room: int | None = None) -> None:
        self.session, field = session_of(portal)
        self.browser = portal.browser(room=room)
        request = handshake(portal)
        start = request.index(b"Cookie: ")
        self.browser.send(request[:start] + field + b"\r\n")
        self.upstream = portal.dialer[-1]
        self.upstream.send(accept(self.upstream.take()))
        assert self.browser.status == 101
        self.browser.take()

    def down(self) -> CloseConnection:
        return closing(ConnectionType.CLIENT, self.browser.take())

    def up(self) -> CloseConnection:
        return closing(ConnectionType.SERVER, self.upstream.take())


def closing(kind: ConnectionType, data: bytes) -> CloseConnection:
    """The close frame at the end of what an end has got."""
    connection = Connection(kind)
    connection.receive_data(data)
    found = list(connection.events())[-1]
    assert isinstance(found, CloseConnection)
    return found


def test_a_websocket_is_closed_with_a_code_and_the_reason_and_its_application_told(portal: FakePortal) -> None:
    socket = Socket(portal)
    socket.session.end("signed out")
    pass_time(portal)
    assert socket.down() == CloseConnection(1008, "signed out")
    assert socket.up() == CloseConnection(1001, "the browser went away")
    assert socket.upstream.is_closing
    assert socket.browser.is_closing
    assert not socket.browser.transport.aborted
    assert last(portal) == ("refused", "alice: signed out")


def test_the_close_frame_waits_for_the_end_of_the_frame_under_way_and_nothing_else_passes(portal: FakePortal) -> None:
    socket = Socket(portal)
    socket.upstream.send(b"\x82\x0ahalf ")
    socket.session.end("signed out")
    portal.clock.pump([0.125] * 8)
    socket.upstream.send(b"frame\x82\x05never")
    assert socket.browser.received.startswith(b"\x82\x0ahalf frame")
    assert b"never" not in socket.browser.received
    assert socket.down() == CloseConnection(1008, "signed out")
    assert last(portal) == ("refused", "alice: signed out")


def test_a_frame_without_an_end_keeps_no_websocket_open(portal: FakePortal) -> None:
    socket = Socket(portal)
    socket.upstream.send(b"\x82\x7f" + (1 << 40).to_bytes(8, "big") + b"some")
    socket.session.end("signed out")
    pass_time(portal)
    assert socket.browser.transport.aborted
    assert socket.upstream.is_closing
    assert last(portal) == ("refused", "alice: signed out")


def test_what_the_browser_sends_after_its_access_ended_reaches_nobody(portal: FakePortal) -> None:
    socket = Socket(portal)
    socket.upstream.send(b"\x82\x0ahalf ")
    socket.session.end("signed out")
    portal.clock.pump([0.125] * 8)
    socket.upstream.take()
    socket.browser.send(b"\x82\x84\0\0\0\0late")
    assert socket.upstream.received == b""


def test_a_browser_that_reads_nothing_keeps_no_websocket_open(portal: FakePortal) -> None:
    socket = Socket(portal, room=1000)
    socket.upstream.send(b"\x82\x7e\x0f\xa0" + bytes(4000))
    socket.session.end("signed out")
    pass_time(portal)
    assert socket.browser.transport.aborted
    assert last(portal) == ("refused", "alice: signed out")


def test_a_revoked_token_ends_a_download_of_a_file(portal: FakePortal) -> None:
    portal = FakePortal(takes_programs=True)
    browser = portal.browser()
    browser.send(b"GET /dav/big HTTP/1.1\r\nHost: portal.test\r\n" + bearer(portal.token()) + b"\r\n")
    portal.worker_dialer[0].send(CHUNKED)
    [row] = run(portal.tokens.list(ALICE.uid))
    assert run(portal.tokens.revoke(ALICE.uid, row.id))
    pass_time(portal)
    assert browser.transport.aborted
    assert portal.worker_dialer[0].is_closing
    assert last(portal) == ("refused", "alice: revoked")


def test_a_password_that_is_asked_about_again_after_a_time_ends_no_download(portal: FakePortal) -> None:
    portal = FakePortal(takes_programs=True)
    browser = portal.browser()
    browser.send(b"GET /dav/big HTTP/1.1\r\nHost: portal.test\r\n" + basic("alice", "alice-secret") + b"\r\n")
    portal.worker_dialer[0].send(CHUNKED)
    for _ in range(40):
        pass_time(portal, 10)
        portal.worker_dialer[0].send(b"1\r\nx\r\n")
    assert not browser.is_closing


@pytest.fixture
def carol(portal: FakePortal) -> Person:
    """Somebody who may use alice's forward."""
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/\n", executors=(ALICE.uid, CAROL.uid))
    return Person(portal, CAROL)


def forwarded(person: Person) -> tuple[Browser, FakeUpstream]:
    """A response of the forward's under way."""
    browser = person.visit(f"https://{OWN}/stream")
    upstream = person.portal.dialer[-1]
    upstream.send(CHUNKED)
    assert browser.status == 200
    return browser, upstream


CHANGES: dict[str, Callable[[FakePortal], object]] = {
    "not executable any more": lambda portal: portal.forwards.change("alice-tb", executors=frozenset({ALICE.uid})),
    "emptied": lambda portal: portal.forwards.write("alice-tb", "", executors=(ALICE.uid, CAROL.uid)),
    "deleted": lambda portal: portal.forwards.files.pop("alice-tb"),
    "leads elsewhere": lambda portal: portal.forwards.change("alice-tb", data=b"http://localhost:9191/"),
    "another path": lambda portal: portal.forwards.change("alice-tb", data=f"http://localhost:{PORT}/x/".encode()),
    "another owner": lambda portal: portal.forwards.change("alice-tb", uid=BOB.uid),
    "another mode": lambda portal: portal.forwards.change("alice-tb", mode=0o755),
    "another group": lambda portal: portal.forwards.change("alice-tb", gid=2000),
    "another file": lambda portal: portal.forwards.change("alice-tb", inode=7),
    "a second name": lambda portal: portal.forwards.change("alice-tb", outcome="several-names"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_stream_ends_when_its_forward_is(portal: FakePortal, carol: Person, change: str) -> None:
    browser, upstream = forwarded(carol)
    pass_time(portal, 3)
    assert not browser.is_closing
    CHANGES[change](portal)
    pass_time(portal)
    assert browser.transport.aborted
    assert upstream.is_closing
    outcome, reason = last(portal)
    assert outcome == "refused" and "forward" in reason


def test_a_forward_that_is_written_again_as_it_was_ends_nothing(portal: FakePortal, carol: Person) -> None:
    browser, _ = forwarded(carol)
    for _ in range(3):
        portal.forwards.change("alice-tb", data=f"http://localhost:{PORT}/\nhttp://localhost:{PORT}/\n".encode())
        pass_time(portal, 3)
    assert not browser.is_closing


def test_a_forward_that_lost_its_x_bit_for_one_goes_on_for_the_other(portal: FakePortal, carol: Person) -> None:
    alice = Person(portal, ALICE)
    hers, _ = forwarded(alice)
    theirs, _ = forwarded(carol)
    portal.forwards.change("alice-tb", executors=frozenset({ALICE.uid}))
    pass_time(portal)
    assert theirs.transport.aborted
    assert not hers.is_closing


def test_other_forwards_and_the_port_itself_go_on(portal: FakePortal, carol: Person) -> None:
    alice = Person(portal, ALICE)
    portal.forwards.write("alice-lab", f"http://localhost:{PORT}/\n")
    other = alice.visit("https://alice-lab.fn.portal.test/stream")
    portal.dialer[-1].send(CHUNKED)
    direct, _ = stream(portal, get(portal, b"/direct"))
    ended, _ = forwarded(alice)
    portal.forwards.files.pop("alice-tb")
    pass_time(portal)
    assert ended.transport.aborted
    assert not other.is_closing
    assert not direct.is_closing


def test_a_forwards_owner_waits_for_a_head_and_is_told_what_is_wrong(portal: FakePortal, carol: Person) -> None:
    browser = Person(portal, ALICE).visit(f"https://{OWN}/slow")
    portal.forwards.change("alice-tb", executors=frozenset())
    pass_time(portal)
    assert browser.status == 410
    assert b"chmod u+x" in browser.received


def test_a_kept_connection_of_a_revoked_forward_carries_no_other_request(portal: FakePortal, carol: Person) -> None:
    """Told by the bytes that reach the application."""
    forwarded(carol)
    idle = carol.ask(f"https://{'alice-tb-u1001'}.fn.portal.test/short")
    kept = portal.dialer[-1]
    kept.send(OK)
    assert idle.status == 200
    kept.take()
    portal.forwards.change("alice-tb", executors=frozenset({ALICE.uid}))
    pass_time(portal)
    assert kept.is_closing
    idle.send(b"GET /again HTTP/1.1\r\nHost: alice-tb-u1001.fn.portal.test\r\n"
              + carol.cookies("alice-tb-u1001.fn.portal.test").encode() + b"\r\n")  # fmt: skip
    portal.forwards.change("alice-tb", executors=frozenset({ALICE.uid, CAROL.uid}))
    carol.ask("https://alice-tb-u1001.fn.portal.test/after")
    assert kept.received == b""
    assert portal.dialer[-1] is not kept
    assert b"GET /after" in portal.dialer[-1].received


def test_one_question_a_second_is_asked_however_many_streams_there_are(portal: FakePortal, carol: Person) -> None:
    for _ in range(50):
        forwarded(carol)
    before, read = len(portal.forwards.checked), len(portal.forwards.read)
    pass_time(portal, 10)
    assert 6 <= len(portal.forwards.checked) - before <= 10
    assert len(portal.forwards.read) == read, "a file in the state that is known is not read again"


def test_a_worker_that_does_not_answer_ends_nothing_at_once_and_everything_in_the_end(
    portal: FakePortal, carol: Person
) -> None:
    browser, _ = forwarded(carol)
    portal.forwards.is_silent = True
    pass_time(portal, PATIENCE - 2)
    assert not browser.is_closing
    portal.forwards.is_silent = False
    pass_time(portal, PATIENCE)
    assert not browser.is_closing
    portal.forwards.is_silent = True
    pass_time(portal, PATIENCE + 2)
    assert browser.transport.aborted
    assert "nobody could say" in last(portal)[1]


@pytest.mark.parametrize("outcome", ["busy", "slow", "broken"])
def test_a_monitor_that_is_busy_ends_nothing_at_once(
    portal: FakePortal, carol: Person, outcome: ForwardOutcome
) -> None:
    browser, _ = forwarded(carol)
    portal.forwards.change("alice-tb", outcome=outcome)
    pass_time(portal, PATIENCE - 2)
    assert not browser.is_closing


def test_whoever_stops_their_own_worker_does_not_keep_others_from_being_asked_about(
    portal: FakePortal, carol: Person
) -> None:
    alice = Person(portal, ALICE)
    hers, _ = forwarded(alice)
    portal.forwards.waiting = []
    pass_time(portal, 2)  # alice's worker is asked and does not answer
    portal.forwards.waiting, stopped = None, portal.forwards.waiting
    theirs, _ = forwarded(carol)
    portal.forwards.change("alice-tb", executors=frozenset({ALICE.uid}))
    pass_time(portal)
    assert stopped
    assert theirs.transport.aborted
    assert not hers.is_closing


def test_a_lost_answer_of_a_node_ends_nothing_that_was_verified(portal: FakePortal) -> None:
    browser, upstream = stream(portal, get(portal))
    portal.owners.listeners.clear()
    pass_time(portal, 60)
    upstream.send(b"1\r\nx\r\n")
    assert not browser.is_closing


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


@pytest.mark.parametrize("state", ["locked", "expired", "unknown", "renamed"])
def test_an_account_that_may_not_be_used_any_more_ends_what_it_has(portal: FakePortal, state: AccountState) -> None:
    browser, upstream = stream(portal, get(portal))
    his, _ = stream(
        portal,
        f"GET /x HTTP/1.1\r\nHost: localhost-{HIS_PORT}.fh.portal.test\r\n".encode()
        + portal.cookie(BOB, origin=f"localhost-{HIS_PORT}.fh.portal.test") + b"\r\n",
    )  # fmt: skip
    portal.monitor.states[ALICE.uid] = state
    pass_time(portal, 15)
    assert browser.transport.aborted
    assert upstream.is_closing
    assert last(portal) == ("refused", f"alice is {state}")
    assert not his.is_closing


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
