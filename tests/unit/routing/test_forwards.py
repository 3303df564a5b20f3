"""What is asked about a forward, how often, and what of the answers is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from supercloud.errors import (
    BadAddress,
    ForwardDisabled,
    NotAuthorized,
    NotFound,
    NothingListens,
    NoWorker,
    Undecided,
)
from supercloud.monitor.wire import ForwardRead
from supercloud.routing.forwards import BELIEVED, CHECKED, Forwards, Look
from supercloud.target import Forward
from supercloud.workers.job_told import JobAt
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.awaiting import run
from tests.fakes.forwards import FakeForwards


class Site:
    def __init__(self) -> None:
        self.clock = Clock()
        self.files = FakeForwards()
        self.files.write("alice-tb", "http://node1:8080/")
        self.forwards = Forwards(self.files, self.files, self.clock, folder="/fw dir")

    def find(self) -> Forward:
        found: Forward = run(self.forwards.find(ALICE, "alice-tb"))
        return found

    def start(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.forwards.find(ALICE, "alice-tb"))


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_yes_is_believed_for_a_second_and_for_that_very_file(site: Site) -> None:
    found = site.find()
    assert site.forwards.believes(ALICE.uid, found)
    assert not site.forwards.believes(BOB.uid, found)
    site.clock.advance(BELIEVED - 0.1)
    assert site.find() is found
    site.files.change("alice-tb", mode=0o750)
    site.clock.advance(0.1)
    assert not site.forwards.believes(ALICE.uid, found)
    again = site.find()
    assert again != found
    assert not site.forwards.believes(ALICE.uid, found)


def test_a_refusal_is_asked_about_anew(site: Site) -> None:
    site.files.change("alice-tb", executors=frozenset())
    for count in (1, 2):
        with pytest.raises(ForwardDisabled):
            site.find()
        assert len(site.files.asked) == count
    site.files.change("alice-tb", executors=frozenset({ALICE.uid}))
    assert site.find().name == "alice-tb"


def test_a_change_in_between_is_looked_at_once_more(site: Site) -> None:
    changes = iter([lambda: site.files.change("alice-tb", mode=0o710), lambda: None])
    site.files.between = lambda: next(changes)()
    assert site.find().reservation.mode == 0o710


def test_a_file_that_is_gone_when_it_is_read_is_no_forward(site: Site) -> None:
    site.files.between = site.files.files.clear
    with pytest.raises(NotFound):
        site.find()


def test_whoever_asks_first_may_leave_and_the_others_are_answered(site: Site) -> None:
    site.files.waiting = []
    first, second = site.start(), site.start()
    first.addErrback(lambda failure: failure.trap(CancelledError))
    first.cancel()
    [waiting] = site.files.waiting
    waiting.callback(None)
    assert second.result.name == "alice-tb"
    assert len(site.files.asked) == 1


def test_all_who_ask_at_once_share_a_refusal(site: Site) -> None:
    site.files.is_silent = True
    site.files.waiting = []
    asked = [site.start() for _ in range(3)]
    site.files.waiting[0].callback(None)
    for one in asked:
        one.addErrback(lambda failure: failure.trap(NoWorker))
        assert one.result is NoWorker


def test_what_is_believed_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supercloud.routing.forwards._MOST_BELIEVED", 2)
    for name in ("a", "b", "c"):
        site.files.write(name, "http://node1:8080/")
    a, b, c = [run(site.forwards.find(ALICE, name)) for name in ("a", "b", "c")]
    assert [site.forwards.believes(ALICE.uid, one) for one in (a, b, c)] == [False, True, True]


def test_words_are_for_the_owner_only(site: Site) -> None:
    forward = site.find()
    for error, kind in ((NothingListens("log"), NothingListens), (BadAddress("log"), object)):
        told = run(site.forwards.explained(error, forward, ALICE))
        assert isinstance(told, kind)
        assert str(told) == "log"
        assert "node1:8080" in told.public
        assert run(site.forwards.explained(error, forward, BOB)) is error


def test_that_somebody_else_listens_is_told_to_the_owner_and_whose_it_is_to_nobody(site: Site) -> None:
    taken, forward = NotAuthorized("uid 1002"), site.find()
    told = run(site.forwards.explained(taken, forward, ALICE))
    assert (told.status, "is not yours" in told.public, "1002" in told.public) == (404, True, False)
    assert run(site.forwards.explained(taken, forward, BOB)) is taken
    site.files.change("alice-tb", mode=0o720)
    site.clock.advance(BELIEVED)
    told = run(site.forwards.explained(taken, site.find(), ALICE))
    assert "chmod go-w '/fw dir/alice-tb'" in told.public


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (JobAt("42", None), "Your job 42 runs there"),
        (JobAt("42", 59.0), "Your job 42 there ended 59 seconds ago."),
        (JobAt("42", 185.0), "Your job 42 there ended 3 minutes ago."),
        (JobAt("42", 3700.0), "Your job 42 there ended 1 hour ago."),
        (JobAt("42", 200_000.0), "Your job 42 there ended 2 days ago."),
    ],
)
def test_the_owner_is_told_what_became_of_the_job(site: Site, job: JobAt, words: str) -> None:
    forward = site.find()
    site.files.jobs[ALICE.uid, "node1"] = job
    assert words in run(site.forwards.explained(NothingListens("log"), forward, ALICE)).public
    site.files.is_silent = True
    assert "nothing listens" in run(site.forwards.explained(NothingListens("log"), forward, ALICE)).public


def test_a_command_can_be_pasted_whatever_the_folder_is_called(site: Site) -> None:
    site.files.change("alice-tb", executors=frozenset())
    with pytest.raises(ForwardDisabled) as told:
        site.find()
    assert "chmod u+x '/fw dir/alice-tb'" in told.value.public


def test_a_file_that_stays_as_it_is_is_asked_about_each_second_and_checked_and_read_twice(site: Site) -> None:
    """Twice: what was written within the tick of the first reading has the same ctime."""
    found = site.find()
    site.files.files["alice-tb"] = replace(site.files.files["alice-tb"], data=b"http://node2:8080/")
    for _ in range(4):
        site.clock.advance(BELIEVED)
        later = site.find()
        assert later.application.node == "node2"
    assert later.reservation == found.reservation
    assert (len(site.files.found), len(site.files.asked), len(site.files.read)) == (2, 3, 3)


def test_a_viewer_is_checked_again_after_a_while_though_the_file_stays_as_it_is(site: Site) -> None:
    """A group that they have left shows in no file."""
    for _ in range(int(CHECKED) + 2):
        site.find()
        site.clock.advance(BELIEVED)
    site.files.files["alice-tb"] = replace(site.files.files["alice-tb"], executors=frozenset())
    with pytest.raises(ForwardDisabled):
        for _ in range(int(CHECKED)):
            site.find()
            site.clock.advance(BELIEVED)


def test_a_file_that_was_read_often_is_read_again_when_it_changes(site: Site) -> None:
    for _ in range(3):
        site.find()
        site.clock.advance(BELIEVED)
    assert len(site.files.read) == 2
    site.files.write("alice-tb", "http://node2:8080/")
    assert site.find().application.node == "node2"
    site.clock.advance(BELIEVED)
    site.files.change("alice-tb", executors=frozenset())
    with pytest.raises(ForwardDisabled):
        site.find()


def again(site: Site, forward: Forward) -> Forward:
    found: Forward = run(site.forwards.find_again(ALICE, forward))
    return found


def look(site: Site, forward: Forward) -> Look:
    seen: Look = run(site.forwards.look_again(ALICE, forward))
    return seen


def settled(site: Site) -> Forward:
    """A forward that was asked about twice, a while apart."""
    site.find()
    site.clock.advance(BELIEVED)
    return site.find()


def test_a_look_at_a_file_that_stays_as_it_is_asks_nobody_and_is_believed(site: Site) -> None:
    found = settled(site)
    for _ in range(5):
        site.clock.advance(BELIEVED)
        assert look(site, found) is Look.SAME
        assert site.forwards.believes(ALICE.uid, found)
    assert len(site.files.asked) == 2
    site.clock.advance(CHECKED)
    assert look(site, found) is Look.DUE


def test_what_was_asked_about_once_only_is_due(site: Site) -> None:
    """Or twice within a tick of the file system's clock."""
    found = site.find()
    assert look(site, found) is Look.DUE
    again(site, found)
    assert look(site, found) is Look.DUE
    site.clock.advance(BELIEVED)
    again(site, found)
    assert look(site, found) is Look.SAME


@pytest.mark.parametrize("field", ["inode", "uid", "gid", "mode", "ctime"])
def test_a_look_at_another_state_says_so_and_nothing_is_believed_any_more(site: Site, field: str) -> None:
    found = settled(site)
    file = site.files.files["alice-tb"]
    site.files.files["alice-tb"] = replace(file, **{field: getattr(file, field) + 1})
    assert look(site, found) is Look.CHANGED
    assert not site.forwards.believes(ALICE.uid, found)


@pytest.mark.parametrize("change", [{"regular": False}, None])
def test_a_look_at_what_is_no_forward_any_more_says_that_it_changed(site: Site, change: dict[str, Any] | None) -> None:
    found = settled(site)
    if change is None:
        del site.files.files["alice-tb"]
    else:
        site.files.change("alice-tb", **change)
    assert look(site, found) is Look.CHANGED


@pytest.mark.parametrize("outcome", ["slow", "busy", "broken"])
def test_a_look_that_nobody_answers_says_nothing(site: Site, monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    found = settled(site)

    async def unsaid(name: str) -> ForwardRead:
        return ForwardRead(1, outcome, None, None)

    monkeypatch.setattr(site.files, "find_forward", unsaid)
    with pytest.raises(Undecided):
        look(site, found)


def test_it_is_asked_again_though_it_was_believed_a_moment_ago(site: Site) -> None:
    found = site.find()
    site.files.change("alice-tb", executors=frozenset())
    with pytest.raises(ForwardDisabled):
        again(site, found)


def test_another_state_is_found_again(site: Site) -> None:
    found = site.find()
    site.files.change("alice-tb", data=b"http://node2:8080/")
    assert again(site, found).application.node == "node2"
    assert not site.forwards.believes(ALICE.uid, found)


def test_who_may_not_any_more_is_believed_nothing_from_then_on(site: Site) -> None:
    found = site.find()
    site.files.change("alice-tb", executors=frozenset())
    with pytest.raises(ForwardDisabled):
        again(site, found)
    assert not site.forwards.believes(ALICE.uid, found)
    del site.files.files["alice-tb"]
    with pytest.raises(NotFound):
        again(site, found)


def test_a_monitor_that_does_not_answer_is_no_answer(site: Site) -> None:
    found = site.find()
    site.files.is_silent = True
    with pytest.raises(NoWorker):
        again(site, found)


def test_an_administrator_hears_of_a_file_that_may_not_be_executed(site: Site) -> None:
    site.files.change("alice-tb", executors=frozenset())
    looked = run(site.forwards.look(ALICE, "alice-tb"))
    assert (looked.outcome, looked.state.uid) == ("not-executable", ALICE.uid)
    assert run(site.forwards.look(ALICE, "none")).state is None
