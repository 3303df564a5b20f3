"""Sessions in one process, in several, and over a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from unittest import mock

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher

from supercloud.authn import session as module
from supercloud.authn import store as store_module
from supercloud.authn.session import POLL, WRITE, Session
from supercloud.authn.store import SessionRow
from tests.fakes.awaiting import run
from tests.unit.authn.conftest import ABSOLUTE, ALICE, BOB, IDLE, Portal, Process

ORIGIN = "portal.test"


def _open(process: Process, principal: object = ALICE) -> Session:
    return run(process.sessions.open(principal, scheme="link", address="192.0.2.1"))


def _cookie(process: Process, session: Session, origin: str = ORIGIN) -> str:
    return process.sessions.cookie(session, origin=origin, owner=1001)


def _verified(process: Process, cookie: str, origin: str = ORIGIN) -> Session | None:
    visit = run(process.sessions.verify(cookie, origin=origin))
    return visit and visit.session


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_a_cookie_names_its_session_origin_and_owner(here: Process) -> None:
    session = _open(here)
    visit = run(here.sessions.verify(here.sessions.cookie(session, origin=ORIGIN, owner=1002), origin=ORIGIN))
    assert visit is not None
    assert (visit.session, visit.origin, visit.owner) == (session, ORIGIN, 1002)
    assert (session.login, session.uid, session.scheme, session.address) == ("alice", 1001, "link", "192.0.2.1")


def test_ids_are_long_and_never_the_same(here: Process) -> None:
    assert len({_open(here).id for _ in range(20)}) == 20
    assert len(_open(here).id) == 32


def test_the_cookie_of_one_origin_is_nothing_on_another(here: Process) -> None:
    cookie = _cookie(here, _open(here), "a.fn.portal.test")
    assert _verified(here, cookie, ORIGIN) is None
    assert _verified(here, cookie, "a.fn.portal.test") is not None


@pytest.mark.parametrize("cookie", ["", ".", "x" * 9000, "\x00", "é", "\udcff", "eyJ9.AAAA"])
def test_a_forged_cookie_is_nothing(here: Process, cookie: str) -> None:
    assert _verified(here, cookie) is None


def test_a_truncated_or_changed_cookie_is_nothing(here: Process) -> None:
    cookie = _cookie(here, _open(here))
    assert _verified(here, cookie[:-1]) is None
    assert _verified(here, cookie.swapcase()) is None


def test_a_ticket_is_not_a_cookie(here: Process) -> None:
    session = _open(here)
    ticket = here.tickets.issue(session, origin=ORIGIN, owner=1001, nonce_hash="h" * 43)
    assert _verified(here, ticket) is None


def test_a_session_ends_at_its_absolute_end_however_it_is_used(here: Process) -> None:
    session = _open(here)
    cookie = _cookie(here, session)
    for _ in range(4):
        here.clock.advance(ABSOLUTE / 4 - 1)
        here.sessions.touch(session)
    assert here.sessions.is_live(session)
    here.clock.advance(4)
    assert not here.sessions.is_live(session)
    assert _verified(here, cookie) is None


def test_a_session_lives_while_it_is_used_and_dies_when_it_is_idle(here: Process) -> None:
    session = _open(here)
    here.clock.advance(IDLE)
    assert here.sessions.is_live(session)
    here.sessions.touch(session)
    here.clock.advance(IDLE)
    assert here.sessions.is_live(session)
    here.clock.advance(1)
    assert not here.sessions.is_live(session)
    assert _verified(here, _cookie(here, session)) is None


def test_what_depends_on_a_session_hears_within_a_second_that_it_is_idle(here: Process) -> None:
    session, heard = _open(here), []
    session.on_end(heard.append)
    here.clock.advance(IDLE)
    assert heard == []
    here.clock.advance(1)
    assert heard == ["idle"]
    assert len(here.sessions) == 0


def test_what_depends_on_a_session_hears_within_a_second_that_it_expired(here: Process) -> None:
    session, heard = _open(here), []
    session.on_end(heard.append)
    for _ in range(3):
        here.sessions.touch(session)
        here.clock.advance(ABSOLUTE / 3 - 1)
    here.sessions.touch(session)
    here.clock.advance(2)
    assert heard == []
    here.clock.advance(2)
    assert heard == ["expired"]
    assert len(here.sessions) == 0


def test_what_depends_on_a_session_hears_that_it_expired_while_the_portal_stood_still(portal: Portal) -> None:
    """The reactor's clock stands still with it, so the session's timer would come that much later."""
    stopped = 0.0
    here = portal.process(started=False)
    here.sessions._now = lambda: here.clock.seconds() + stopped
    here.sessions.start()
    session = _open(here)
    told: list[str] = []
    session.on_end(told.append)
    stopped = IDLE + 1
    here.clock.advance(1)
    assert told == ["idle"]


def test_logout_ends_a_session_at_once_and_for_good(here: Process) -> None:
    session = _open(here)
    cookie = _cookie(here, session)
    run(here.sessions.end(session.id, "logout"))
    assert session.ended == "logout"
    assert not here.sessions.is_live(session)
    assert _verified(here, cookie) is None
    assert len(here.sessions) == 0


def test_logout_everywhere_ends_all_sessions_of_an_account_and_nobody_elses(here: Process) -> None:
    hers, his = [_open(here), _open(here)], _open(here, BOB)
    run(here.sessions.end_all(1001, "logout"))
    assert [session.ended for session in hers] == ["logout", "logout"]
    assert here.sessions.is_live(his)


def test_farewells_are_called_once_each_and_can_be_taken_back(here: Process) -> None:
    session, heard = _open(here), []

    def taken_back(reason: str) -> None:
        heard.append("taken back")

    session.on_end(heard.append)
    session.on_end(taken_back)
    session.no_longer(taken_back)
    session.no_longer(taken_back)
    run(here.sessions.end(session.id, "logout"))
    run(here.sessions.end(session.id, "again"))
    assert heard == ["logout"]


def test_who_depends_on_an_ended_session_hears_so_at_once(here: Process) -> None:
    session, heard = _open(here), []
    run(here.sessions.end(session.id, "logout"))
    session.on_end(heard.append)
    assert heard == ["logout"]


def test_a_farewell_that_fails_keeps_none_from_hearing(here: Process, logged: list[LogEvent]) -> None:
    session, heard = _open(here), []
    session.on_end(heard.append)
    session.on_end(lambda reason: 1 / 0)
    run(here.sessions.end(session.id, "logout"))
    assert heard == ["logout"]
    assert [event["log_failure"].type for event in logged] == [ZeroDivisionError]


def test_a_farewell_may_take_back_another(here: Process) -> None:
    session, heard = _open(here), []
    farewells = [lambda reason: (heard.append(0), session.no_longer(farewells[1]))]
    farewells.append(lambda reason: (heard.append(1), session.no_longer(farewells[0])))
    session.on_end(farewells[0])
    session.on_end(farewells[1])
    run(here.sessions.end(session.id, "logout"))
    assert len(heard) == 1


def test_a_session_survives_a_restart_of_the_portal(portal: Portal) -> None:
    before = portal.process()
    session = _open(before)
    cookie = _cookie(before, session)
    portal.clock.advance(100)
    before.sessions.touch(session)
    portal.stop(before)
    found = _verified(portal.process(), cookie)
    assert found is not None
    assert found is not session
    assert (found.id, found.login, found.ends, found.last_seen) == (
        session.id,
        "alice",
        session.ends,
        session.last_seen,
    )


def test_the_cookie_of_an_ended_session_is_still_nothing_after_a_restart(portal: Portal) -> None:
    before = portal.process()
    session = _open(before)
    cookie = _cookie(before, session)
    run(before.sessions.end(session.id, "logout"))
    portal.stop(before)
    assert _verified(portal.process(), cookie) is None


def test_what_one_process_ends_the_others_end_within_a_second(portal: Portal) -> None:
    here, there = portal.process(), portal.process()
    session = _open(here)
    copy, heard = _verified(there, _cookie(here, session)), []
    assert copy is not None
    copy.on_end(heard.append)
    run(here.sessions.end(session.id, "kicked"))
    assert there.sessions.is_live(copy)
    portal.clock.advance(POLL)
    assert POLL < 1
    assert heard == ["kicked"]
    assert _verified(there, _cookie(here, session)) is None


def test_what_another_process_ends_is_over_though_too_much_ended_to_hear_of_it(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_ENDED", 3)
    one, two = portal.process(), portal.process()
    session, kept = _open(one), _open(one)
    assert _verified(two, _cookie(one, session)) is not None
    seen = _verified(two, _cookie(one, kept))
    run(one.sessions.end(session.id, "logout"))
    for number in range(10):
        one.store.end(f"another-{number}", "logout")
    portal.clock.advance(1)
    assert _verified(two, _cookie(one, session)) is None
    assert seen is not None
    assert seen.ended is None
    assert len(two.sessions) == 1


def test_a_session_that_is_used_in_another_process_is_not_idle_here(portal: Portal) -> None:
    here, there = portal.process(), portal.process()
    session = _open(here)
    copy = _verified(there, _cookie(here, session))
    assert copy is not None
    portal.clock.advance(IDLE - WRITE - 1)
    there.sessions.touch(copy)
    portal.clock.advance(WRITE + 0.5)
    portal.clock.advance(1)
    assert session.ended is None
    portal.clock.advance(IDLE / 2)
    assert _verified(here, _cookie(here, session)) is session
    assert here.sessions.is_live(session)


def test_a_cookie_of_an_idle_looking_session_is_looked_up_before_it_is_refused(portal: Portal) -> None:
    here, there = portal.process(started=False), portal.process()
    session = _open(here)
    there.store.seen({session.id: portal.clock.seconds() + IDLE})
    with mock.patch.object(here.sessions, "_look"):
        portal.clock.advance(IDLE + 1)
    assert not here.sessions.is_live(session)
    assert _verified(here, _cookie(here, session)) is session


def test_an_idle_session_that_the_store_no_longer_has_is_over(portal: Portal) -> None:
    here = portal.process(started=False)
    session = _open(here)
    here.store.forget(portal.clock.seconds() + 1e6, 1)
    portal.clock.advance(IDLE + 1)
    assert session.ended == "idle"


def test_an_answer_that_news_overtook_does_not_bring_a_session_back(portal: Portal) -> None:
    """The row is read before another process ends the session, and arrives after this one heard of the end."""
    here, there = portal.process(), portal.process()
    session = _open(there)
    here.offload.hold()
    found: list[object] = []
    Deferred.fromCoroutine(here.sessions.verify(_cookie(there, session), origin=ORIGIN)).addBoth(found.append)
    run(there.sessions.end(session.id, "kicked"))
    portal.clock.advance(POLL)
    here.offload.release(newest_first=True)
    assert found == [None]
    assert len(here.sessions) == 0


def test_a_store_whose_answers_news_always_overtakes_is_not_asked_for_ever(portal: Portal) -> None:
    here, there = portal.process(), portal.process()
    session = _open(there)
    there.store.end("other", "logout")
    portal.clock.advance(POLL)
    row, _ = there.store.find(session.id)
    with mock.patch.object(here.store, "find", return_value=(row, 0)):
        assert _verified(here, _cookie(there, session)) is None


def test_a_session_that_is_ended_while_it_is_opened_is_over(portal: Portal) -> None:
    here = portal.process(started=False)
    here.offload.hold()
    opened: list[Session] = []
    Deferred.fromCoroutine(here.sessions.open(ALICE, scheme="link", address="::1")).addCallback(opened.append)
    Deferred.fromCoroutine(here.sessions.end_all(1001, "kicked"))
    here.offload.release()
    assert not here.sessions.is_live(opened[0])


def test_use_is_written_in_batches_and_at_the_end(portal: Portal) -> None:
    here, there = portal.process(), portal.process()
    session = _open(here)
    portal.clock.advance(WRITE + 1)
    here.sessions.touch(session)
    touched = session.last_seen
    assert there.store.find(session.id)[0].last_seen < touched
    portal.clock.advance(WRITE)
    assert there.store.find(session.id)[0].last_seen == touched
    portal.clock.advance(1)
    here.sessions.touch(session)
    portal.stop(here)
    assert there.store.find(session.id)[0].last_seen == session.last_seen


def test_an_account_at_the_limit_keeps_all_and_beyond_it_loses_the_oldest(
    here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PER_ACCOUNT", 3)
    sessions = []
    for _ in range(3):
        sessions.append(_open(here))
        here.clock.advance(1)
    assert all(here.sessions.is_live(session) for session in sessions)
    _open(here)
    assert [here.sessions.is_live(session) for session in sessions] == [False, True, True]
    assert sessions[0].ended == "too many sessions of this account"


def test_an_account_sees_its_sessions_of_all_processes(portal: Portal) -> None:
    here, there = portal.process(), portal.process()
    first = _open(there)
    portal.clock.advance(1)
    second = _open(here)
    _open(here, BOB)
    portal.clock.advance(1)
    over = _open(there)
    run(there.sessions.end(over.id, "logout"))
    found = run(here.sessions.list(1001))
    assert [session.id for session in found] == [first.id, second.id]
    assert found[1] is second


def test_a_session_that_cannot_be_kept_is_not_opened(here: Process) -> None:
    full = mock.patch.object(here.store, "add", side_effect=sqlite3.OperationalError("disk full"))
    with full, pytest.raises(sqlite3.OperationalError):
        _open(here)
    assert len(here.sessions) == 0


def test_a_store_that_fails_is_logged_once_and_ends_nothing(portal: Portal, logged: list[LogEvent]) -> None:
    here = portal.process()
    session = _open(here)
    with mock.patch.object(here.store, "changes", side_effect=sqlite3.OperationalError("locked")):
        for _ in range(5):
            portal.clock.advance(POLL)
    assert len(logged) == 1
    assert here.sessions.is_live(session)
    here.store.end(session.id, "kicked")
    portal.clock.advance(POLL)
    assert session.ended == "kicked"
    with mock.patch.object(here.store, "changes", side_effect=sqlite3.OperationalError("locked")):
        portal.clock.advance(POLL)
    assert len(logged) == 2


def test_an_idle_session_ends_even_if_the_store_cannot_be_asked(portal: Portal, logged: list[LogEvent]) -> None:
    here = portal.process(started=False)
    session = _open(here)
    with mock.patch.object(here.store, "find", side_effect=sqlite3.OperationalError("locked")):
        portal.clock.advance(IDLE + 1)
    assert session.ended == "idle"
    assert [event["log_failure"].type for event in logged] == [sqlite3.OperationalError]


def test_a_cookie_whose_uid_is_not_the_sessions_is_nothing(here: Process) -> None:
    session = _open(here)
    session.uid = 1002
    cookie = _cookie(here, session)
    session.uid = 1001
    assert _verified(here, cookie) is None


def test_a_session_ends_with_its_first_reason() -> None:
    session = Session.from_row(SessionRow("id", 1001, "alice", "link", "::1", 0.0, 9.0, 0.0))
    session.end("kicked")
    session.end("logout")
    assert session.ended == "kicked"


def test_a_session_ends_in_all_processes_when_its_certificate_is_doubted(portal: Portal) -> None:
    here, there = portal.process(), portal.process()
    by_certificate = run(here.sessions.open(ALICE, scheme="certificate", address="::1", certificate=b"DER"))
    by_link = run(here.sessions.open(ALICE, scheme="link", address="::1"))
    found = run(there.sessions.find(by_certificate.id, ALICE.uid))
    assert found is not None
    assert found.certificate == b"DER", "the other process knows it too"
    run(here.sessions.end_doubted(lambda session: None))
    assert by_certificate.ended is None
    run(here.sessions.end_doubted(lambda session: f"{session.certificate!r} was revoked"))
    portal.clock.advance(1)
    assert by_certificate.ended == found.ended == "b'DER' was revoked"
    assert by_link.ended is None


def test_what_memory_forgets_ends_there_and_is_found_again_in_the_store(here: Process) -> None:
    session = run(here.sessions.open(ALICE, scheme="link", address="::1"))
    his = run(here.sessions.open(BOB, scheme="link", address="::1"))
    here.sessions.forget(ALICE.uid, "the account is locked")
    assert session.ended == "the account is locked"
    assert his.ended is None
    again = run(here.sessions.find(session.id, ALICE.uid))
    assert again is not None
    assert again.ended is None
