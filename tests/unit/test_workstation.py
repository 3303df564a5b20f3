"""A portal's API as a workstation asks it: the real one, in memory; and portals that answer badly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supercloud.entry import Failed
from supercloud.https import Answer, NoAnswer
from supercloud.scheduler.interface import Silent
from supercloud.workstation import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PATIENCE,
    Patience,
    Workstation,
    WrongFields,
    follow_log,
    read_log,
    until_ready,
)
from tests.fakes.workstation import MARKED, URL, FakePortal


class Person:
    """At a workstation.

    :ivar told: what was said to them.
    """

    def __init__(self, folder: Path) -> None:
        self.portal = FakePortal(folder)
        self.scheduler = self.portal.workspace.scheduler
        self.workstation = Workstation(self.portal.send, URL)
        self.told: list[str] = []
        self.patience = Patience(self.told.append, clock=self.portal.clock, sleep=self.portal.sleep)


@pytest.fixture
def at(tmp_path: Path) -> Person:
    return Person(tmp_path)


def test_applications_and_what_they_ask(at: Person) -> None:
    assert "web" in [one.id for one in at.workstation.apps()]
    fields = {one.name: one for one in at.workstation.app("web").fields}
    assert (fields["command"].required, fields["minutes"].kind, fields["minutes"].least) == (True, "time", 1)
    assert [one.value for one in fields["partition"].choices] == ["normal", "gpu"]


def test_jobs_are_started_listed_and_ended(at: Person) -> None:
    assert at.workstation.launch("web", {"command": "serve", "cpus": "2"}) == "41"
    assert [(one.id, one.stage, one.app) for one in at.workstation.jobs()] == [("41", "waiting", "web")]
    assert at.workstation.told_jobs()[0]["state"] == "pending"
    at.workstation.stop("41")
    assert at.scheduler.cancelled == ["41"]
    assert at.workstation.job("41").stage == "over"


def test_a_field_that_is_not_asked_is_said_before_anything_starts(at: Person) -> None:
    with pytest.raises(WrongFields) as failed:
        at.workstation.launch("web", {"comand": "serve", "zzz": "1"})
    assert failed.value.wrong["comand"] == "there is no such field; did you mean command?"
    assert "there are partition, minutes" in failed.value.wrong["zzz"]
    assert at.portal.asked == ["GET /api/apps/web"]


def test_what_would_be_right_is_what_the_portal_says(at: Person) -> None:
    with pytest.raises(WrongFields) as failed:
        at.workstation.launch("web", {"cpus": "99"})
    assert failed.value.wrong == {"cpus": "ask for 16 at most", "command": "this is needed"}


@pytest.mark.parametrize("app", ["nothing", "../jobs", "a/b", "", "%2e%2e"])
def test_an_application_that_is_none_is_said(at: Person, app: str) -> None:
    with pytest.raises(Failed):
        at.workstation.launch(app, {})
    assert at.scheduler.submitted == []
    assert not at.portal.asked[0].startswith("GET /api/apps/../")


@pytest.mark.parametrize("job", ["", "..", "7/../8", "7/log", "7?x", "7\r\nX: y", "--help", "jupyter-x"])
def test_what_is_no_job_never_becomes_an_address(at: Person, job: str) -> None:
    for ask in (at.workstation.job, at.workstation.stop, at.workstation.opens):
        with pytest.raises(Failed, match="is no job; see: supercloud jobs"):
            ask(job)
    assert at.portal.asked == []


def test_the_address_that_opens_a_job_is_the_portals_own(at: Person) -> None:
    assert at.workstation.opens("42_7") == "https://portal.test/open/42_7"


def problem(status: int, **told: Any) -> Answer:
    return Answer(status, "application/problem+json", json.dumps(told).encode())


@pytest.mark.parametrize(
    ("answer", "words", "again"),
    [
        (Answer(401, "text/plain", b"x"), "make a new one for jobs at https://portal.test/tokens", False),
        (Answer(403, "text/plain", b"Locked.\nRequest 1\n"), "Locked. Request 1 Your tokens are at", False),
        (Answer(503, "text/plain", b"The portal is busy.\nRequest 1\n"), "The portal is busy. Request 1", True),
        (Answer(503, "text/html", b"<h1>"), "does not answer as a portal does (503)", True),
        (Answer(429, "text/plain", b"Too many."), "Too many.", True),
        (problem(503, detail="SLURM does not answer now."), "SLURM does not answer now.", True),
        (problem(404, detail="There is no job 7 of yours."), "There is no job 7 of yours.", False),
        (problem(409, detail=5), "does not answer as a portal does (409)", False),
        (Answer(404, "text/html", b"<h1>"), "is the address right?", False),
        (Answer(200, "text/html", b"<h1>"), "does not answer as a portal does (200)", False),
        (Answer(200, "application/json", b'{"jobs": 5}'), "does not answer as a portal does (200)", False),
        (Answer(302, "", b"", "https://evil.test/"), "sends on to another address, which is not followed", False),
    ],
)
def test_what_a_portal_says_becomes_words(at: Person, answer: Answer, words: str, again: bool) -> None:
    at.portal.instead = [answer]
    with pytest.raises(Failed) as failed:
        at.workstation.jobs()
    assert words.lower() in str(failed.value).lower()
    assert isinstance(failed.value, NoAnswer) is again


def test_a_stranger_is_no_portal(at: Person) -> None:
    at.workstation.look()
    for answer in (Answer(200, "text/html", b"<h1>"), Answer(301, "", b"ok\n", "https://other.test")):
        at.portal.instead = [answer]
        with pytest.raises(Failed, match="is the address right"):
            at.workstation.look()
    at.portal.instead = [Answer(502, "text/html", b"")]
    with pytest.raises(NoAnswer):
        at.workstation.look()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (NoAnswer("broke off", is_unsure=True), "It may have started all the same"),
        (problem(500, detail="Something went wrong."), "It may have started all the same"),
        (problem(503, detail="SLURM does not answer now."), "SLURM does not answer now."),
        (NoAnswer("not reachable"), "not reachable"),
    ],
)
def test_a_launch_is_never_sent_twice_and_says_what_is_not_known(at: Person, trouble: Any, words: str) -> None:
    form = at.portal.send("GET", "/api/apps/web")
    at.portal.instead = [form, trouble]
    with pytest.raises(Failed) as failed:
        at.workstation.launch("web", {})
    assert words in str(failed.value)
    assert ("may have started" in str(failed.value)) is ("may have started" in words)
    assert at.portal.asked.count("POST /api/jobs") == 1


def test_a_job_that_a_portal_makes_up_is_none(at: Person) -> None:
    at.portal.instead = [at.portal.send("GET", "/api/apps/web"), Answer(201, "application/json", b'{"id":"/../x"}')]
    with pytest.raises(Failed, match="which is no job"):
        at.workstation.launch("web", {})


def test_changes_are_told_once_until_a_job_is_ready(at: Person) -> None:
    at.scheduler.has("7", state="pending", reason="Resources", comment=MARKED)
    at.portal.on_sleep = [
        lambda: None,
        lambda: None,
        lambda: at.scheduler.has("7", comment=MARKED, starts=990.0),
        lambda: at.portal.workspace.announce("7"),
    ]
    job = until_ready(at.workstation, "7", at.patience, at.told.append)
    assert (job.stage, job.node, job.port) == ("ready", "node1", 12001)
    assert at.told == [
        "waiting: It waits for enough free processors, memory or GPUs.",
        "starting: It runs, and gets ready.",
        "ready",
    ]
    assert at.portal.sleeps == [1.0, 1.5, 2.25, 1.0]


def test_a_job_that_ends_is_waited_for_no_longer(at: Person) -> None:
    at.scheduler.has("7", state="pending", comment=MARKED)
    at.portal.on_sleep = [lambda: at.workstation.stop("7")]
    assert until_ready(at.workstation, "7", at.patience, at.told.append).stage == "over"
    assert at.told[-1] == "over: It was stopped."


def test_a_question_that_fails_is_said_once_and_asked_again(at: Person) -> None:
    at.scheduler.has("7", comment=MARKED)
    at.portal.workspace.announce("7")
    at.portal.instead = [NoAnswer("not reachable"), problem(503, detail="Silent."), NoAnswer("not reachable")]
    assert until_ready(at.workstation, "7", at.patience, at.told.append).stage == "ready"
    assert at.told == ["not reachable (asking again)", "it answers again", "ready"]


def test_a_scheduler_that_is_silent_ends_no_wait(at: Person) -> None:
    at.scheduler.has("7", comment=MARKED)
    at.portal.workspace.announce("7")
    at.scheduler.trouble = Silent("SLURM does not answer now.")
    at.portal.on_sleep = [lambda: None, lambda: setattr(at.scheduler, "trouble", None)]
    assert until_ready(at.workstation, "7", at.patience, at.told.append).stage == "ready"
    assert at.told[0] == "SLURM does not answer now. (asking again)"


def test_patience_ends_after_minutes_and_pauses_grow(at: Person) -> None:
    at.portal.instead = [NoAnswer("not reachable")] * 1000
    with pytest.raises(NoAnswer, match="not reachable"):
        until_ready(at.workstation, "7", at.patience, at.told.append)
    assert PATIENCE < at.portal.now <= PATIENCE + LONGEST_PAUSE
    assert (at.portal.sleeps[0], at.portal.sleeps[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)
    assert at.told == ["not reachable (asking again)"]


@pytest.mark.parametrize("answer", [Answer(401, "text/plain", b""), problem(404, detail="There is no job 7.")])
def test_what_does_not_mend_itself_ends_a_wait_at_once(at: Person, answer: Answer) -> None:
    at.portal.instead = [answer]
    with pytest.raises(Failed):
        until_ready(at.workstation, "7", at.patience, at.told.append)
    assert at.portal.sleeps == []


def test_all_that_a_job_printed_comes_in_order(at: Person) -> None:
    at.scheduler.has("7", comment=MARKED)
    at.portal.prints("7", "é".encode() * 70_000 + b"end\n")
    written: list[str] = []
    read_log(at.workstation, "7", written.append)
    assert "".join(written) == "é" * 70_000 + "end\n"


def test_a_job_without_output_printed_nothing(at: Person) -> None:
    at.scheduler.has("7")
    written: list[str] = []
    read_log(at.workstation, "7", written.append)
    assert "".join(written) == ""


def test_output_is_followed_until_the_job_is_over(at: Person) -> None:
    at.scheduler.has("7", comment=MARKED)
    at.portal.prints("7", b"one\n")
    at.portal.on_sleep = [
        lambda: at.portal.prints("7", b"tw"),
        lambda: at.portal.instead.extend([NoAnswer("not reachable"), problem(503, detail="Silent.")]),
        lambda: at.portal.prints("7", b"o\n\xe2\x98"),
        lambda: at.portal.prints("7", b"\x83 last"),
        lambda: at.workstation.stop("7"),
    ]
    written: list[str] = []
    follow_log(at.workstation, "7", at.patience, written.append)
    assert "".join(written) == "one\ntwo\n☃ last"
    assert at.told == ["not reachable (asking again)", "it answers again"]


def test_much_output_is_followed_without_pauses(at: Person) -> None:
    at.scheduler.has("7", comment=MARKED, state="done")
    at.portal.prints("7", b"x" * 300_000)
    written: list[str] = []
    follow_log(at.workstation, "7", at.patience, written.append)
    assert (len("".join(written)), at.portal.sleeps) == (300_000, [])
