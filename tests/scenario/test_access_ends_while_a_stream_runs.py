"""What let an exchange in ends while it runs: streams, WebSockets, files, by their credential."""

from __future__ import annotations

from wsproto.events import CloseConnection

from tests.fakes.accounts import ALICE, BOB
from tests.fakes.awaiting import run
from tests.fakes.portal import HIS_PORT, PORT, TOGETHER, FakePortal, basic, bearer, get
from tests.scenario.person import PAGE
from tests.scenario.running import CHUNKED, Socket, ask, last, pass_time, session_of, stream


def test_a_stream_of_a_session_that_ended_is_broken_off_and_not_finished(portal: FakePortal) -> None:
    session, field = session_of(portal)
    browser, upstream = stream(portal, ask(field))
    session.end("signed out")
    pass_time(portal)
    assert browser.transport.aborted, "the browser must not take what it has for the whole"
    assert b"0\r\n\r\n" not in browser.received
    assert upstream.is_closing
    assert last(portal) == ("refused", "alice: signed out")


def test_a_page_that_is_rewritten_on_its_way_is_broken_off_too(portal: FakePortal) -> None:
    session, field = session_of(portal, TOGETHER)
    request = f"GET /fw2/localhost:{PORT}/ HTTP/1.1\r\nHost: {TOGETHER}\r\n".encode() + field + b"\r\n"
    browser = portal.browser()
    browser.send(request)
    upstream = portal.dialer[-1]
    upstream.send(CHUNKED.replace(b"\r\nTransfer", b"\r\nContent-Type: text/html\r\nTransfer"))
    assert b"first" in browser.received
    session.end("signed out")
    pass_time(portal)
    assert browser.transport.aborted
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
        f"GET /x HTTP/1.1\r\nHost: localhost-{HIS_PORT}-u1002.fh.portal.test\r\n".encode()
        + portal.cookie(BOB, origin=f"localhost-{HIS_PORT}-u1002.fh.portal.test") + b"\r\n",
    )  # fmt: skip
    session.end("signed out")
    pass_time(portal, 20)
    application.send(b"4\r\nmore\r\n0\r\n\r\n")
    assert hers.received.endswith(b"0\r\n\r\n")
    assert not his.is_closing


def test_a_request_that_waits_for_its_head_is_answered_as_a_fresh_one(portal: FakePortal) -> None:
    session, field = session_of(portal, TOGETHER)
    browser = portal.browser()
    target = f"/fw2/localhost:{PORT}/"
    browser.send(f"GET {target} HTTP/1.1\r\nHost: {TOGETHER}\r\n".encode() + PAGE + field + b"\r\n")
    session.end("ended by an administrator")
    pass_time(portal)
    assert browser.status == 303
    ticket = f"https://portal.test/.portal/ticket?to={TOGETHER}&next=%2Ffw2%2Flocalhost%3A{PORT}%2F&nonce="
    assert (browser.field(b"location") or b"").startswith(ticket.encode())
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


def test_a_lost_answer_of_a_node_ends_nothing_that_was_verified(portal: FakePortal) -> None:
    browser, upstream = stream(portal, get(portal))
    portal.owners.listeners.clear()
    pass_time(portal, 60)
    upstream.send(b"1\r\nx\r\n")
    assert not browser.is_closing
