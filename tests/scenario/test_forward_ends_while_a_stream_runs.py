"""A forward is switched off, deleted, exchanged or led elsewhere while what it let in runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from supercloud.monitor.wire import ForwardOutcome
from supercloud.watch import PATIENCE
from tests.fakes.accounts import ALICE, BOB, CAROL
from tests.fakes.dialer import FakeUpstream
from tests.fakes.portal import OK, PORT, Browser, FakePortal, get
from tests.scenario.person import Person
from tests.scenario.running import CHUNKED, last, pass_time, stream

OWN = "alice-tb-u1001.fn.portal.test"


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
    other = alice.visit("https://alice-lab-u1001.fn.portal.test/stream")
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
    pass_time(portal, 3)
    found, asked = len(portal.forwards.found), len(portal.forwards.asked)
    pass_time(portal, 10)
    assert 6 <= len(portal.forwards.found) - found <= 10
    assert len(portal.forwards.asked) - asked <= 1, "nobody becomes the viewer while the file is as it was"


def test_a_monitor_that_does_not_answer_ends_nothing_at_once_and_everything_in_the_end(
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
    file = portal.forwards.files["alice-tb"]
    portal.forwards.files["alice-tb"] = replace(file, outcome=outcome)
    pass_time(portal, PATIENCE - 2)
    assert not browser.is_closing


@pytest.mark.parametrize("outcome", ["busy", "slow", "broken"])
def test_a_file_that_changed_and_that_nobody_can_tell_about_ends_at_once(
    portal: FakePortal, carol: Person, outcome: ForwardOutcome
) -> None:
    """Carol stops the processes that would say, as her, that she may not any more."""
    browser, _ = forwarded(carol)
    portal.forwards.change("alice-tb", outcome=outcome)
    pass_time(portal)
    assert browser.transport.aborted
    assert "was changed" in last(portal)[1]


def test_whoever_stops_what_asks_for_them_does_not_keep_others_from_being_asked_about(
    portal: FakePortal, carol: Person
) -> None:
    alice = Person(portal, ALICE)
    hers, _ = forwarded(alice)
    portal.forwards.waiting = []
    pass_time(portal, 2)  # it is asked for alice, and nobody answers
    portal.forwards.waiting, stopped = None, portal.forwards.waiting
    theirs, _ = forwarded(carol)
    portal.forwards.change("alice-tb", executors=frozenset({ALICE.uid}))
    pass_time(portal)
    assert stopped
    assert theirs.transport.aborted
    assert hers.transport.aborted, "and gains nothing by it"
