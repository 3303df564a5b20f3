"""What runs, in words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from supercloud.applications.sessions import KEPT_FOLDERS, MOST_LOG
from supercloud.applications.shared_jobs import SHARED
from supercloud.scheduler.interface import NoSuchJob
from tests.fakes.workspace import FakeWorkspace


@pytest.fixture
def here(tmp_path: Path) -> FakeWorkspace:
    return FakeWorkspace(tmp_path)


def launch(here: FakeWorkspace, app: str = "web", **given: str) -> str:
    found = here.workspace.catalogue.find(app)
    assert found is not None
    return here.launching.launch(found, {"command": "true", **given} if app == "web" else given)


def test_an_application_waits_starts_is_ready_and_ends(here: FakeWorkspace) -> None:
    job_id = launch(here)
    assert (here.sessions.find(job_id).stage, here.sessions.find(job_id).name) == ("waiting", "Web application")
    comment = here.scheduler.known[job_id].comment
    here.scheduler.has(job_id, comment=comment)
    assert here.sessions.find(job_id).stage == "starting"
    here.announce(job_id)
    ready = here.sessions.find(job_id)
    assert (ready.stage, ready.can_open) == ("ready", True)
    assert ready.place is not None and ready.place.port == 12001
    here.scheduler.has(job_id, comment=comment, state="cancelled")
    assert (here.sessions.find(job_id).stage, here.sessions.find(job_id).can_open) == ("over", False)


def test_one_that_was_given_a_name_is_shown_by_it(here: FakeWorkspace) -> None:
    job_id = launch(here, job_name="run 12")
    found = here.sessions.find(job_id)
    assert (found.name, found.app) == ("run 12", "web")


def test_why_a_job_waits_is_said_in_words(here: FakeWorkspace) -> None:
    here.scheduler.has("7", state="pending", reason="Resources", nodes=(), starts=None)
    here.scheduler.has("8", state="pending", reason="SomethingNew", nodes=(), starts=None)
    assert "free processors" in here.sessions.find("7").words
    assert "SomethingNew" in here.sessions.find("8").words


def test_one_that_takes_long_says_so(here: FakeWorkspace) -> None:
    job_id = launch(here)
    here.scheduler.has(job_id, comment=here.scheduler.known[job_id].comment, starts=1000.0)
    here.now = 1200.0
    assert "gets ready" in here.sessions.find(job_id).words
    here.now = 1301.0
    assert "longer than usual" in here.sessions.find(job_id).words


def test_what_its_script_said_when_it_gave_up_is_shown(here: FakeWorkspace) -> None:
    job_id = launch(here)
    comment = here.scheduler.known[job_id].comment
    folder = Path(here.sessions.find(job_id).folder)
    (folder / "trouble").write_text("There is no such module.\n")
    here.scheduler.has(job_id, comment=comment, state="failed", reason="exit status 1")
    assert here.sessions.find(job_id).words == "It failed. There is no such module."
    (folder / "trouble").unlink()
    assert here.sessions.find(job_id).words == "It failed (exit status 1)."


def test_an_announcement_of_an_earlier_job_of_the_same_number_does_not_count(here: FakeWorkspace) -> None:
    here.announce("7")
    os.utime(here.announced / "7.json", (10, 10))
    here.scheduler.has("7", starts=100.0)
    assert here.sessions.find("7").place is None
    os.utime(here.announced / "7.json", (101, 101))
    assert here.sessions.find("7").place is not None


@pytest.mark.parametrize(
    "comment", ["supercloud:web:../../etc", "supercloud:web:/etc", "supercloud:../x:y", "x", "a:b:c"]
)
def test_a_comment_that_somebody_made_up_names_no_folder(here: FakeWorkspace, comment: str) -> None:
    here.scheduler.has("7", comment=comment)
    assert (here.sessions.find("7").app, here.sessions.find("7").folder) == ("", "")


def test_all_pages_together_ask_the_scheduler_every_two_seconds(here: FakeWorkspace) -> None:
    for _ in range(20):
        here.sessions.all()
    assert here.scheduler.asked == 1
    here.now += SHARED
    here.sessions.all()
    assert here.scheduler.asked == 2
    here.sessions.forget()
    here.sessions.all()
    assert here.scheduler.asked == 3


def test_jupyter_that_was_started_by_hand_is_found_where_jobs_run(here: FakeWorkspace) -> None:
    def server(pid: int, host: str) -> None:
        told = {"url": f"http://{host}:8899/", "port": 8899, "pid": pid, "base_url": "/", "token": "t"}
        file = here.runtime / f"jpserver-{pid}.json"
        file.touch(0o600)
        file.write_text(json.dumps(told))

    here.scheduler.has("7", nodes=("node1",))
    server(5, "node1.cluster")
    server(6, "node9")
    server(os.getpid(), "head")
    server(4194304, "localhost")
    found = {one.id: one.place for one in here.sessions.all() if one.job is None}
    assert set(found) == {"jupyter-5", f"jupyter-{os.getpid()}"}
    assert found[f"jupyter-{os.getpid()}"].node == "localhost"  # type: ignore[union-attr]
    assert here.sessions.find("jupyter-5").can_open
    with pytest.raises(NoSuchJob):
        here.sessions.find("jupyter-6")


def test_output_comes_in_parts(here: FakeWorkspace) -> None:
    session = here.sessions.find(launch(here))
    with pytest.raises(FileNotFoundError):
        here.sessions.log(session)
    output = Path(session.folder) / "output.log"
    output.write_bytes(b"x" * MOST_LOG + b"end")
    assert here.sessions.log(session) == (b"x" * (MOST_LOG - 3) + b"end", MOST_LOG + 3)
    assert here.sessions.log(session, 0)[1] == MOST_LOG
    assert here.sessions.log(session, MOST_LOG) == (b"end", MOST_LOG + 3)
    assert here.sessions.log(session, MOST_LOG + 3) == (b"", MOST_LOG + 3)
    output.write_bytes(b"anew")
    assert here.sessions.log(session, MOST_LOG) == (b"anew", 4)


def test_what_is_left_of_old_jobs_is_removed_and_nothing_of_running_ones(here: FakeWorkspace) -> None:
    job_id = launch(here)
    running = Path(here.sessions.find(job_id).folder)
    old = running.with_name("20200101-000000-web-000000")
    running.rename(old)
    here.scheduler.has(job_id, comment=f"supercloud:web:{old.name}")
    for number in range(KEPT_FOLDERS + 3):
        (old.parent / f"20210101-000000-web-{number:06x}").mkdir()
    (old.parent / "mine").mkdir()
    here.announce("7")
    here.announce(job_id)
    here.scheduler.has("7", state="done")
    here.sessions.forget()
    here.sessions.tidy()
    assert old.is_dir() and (old.parent / "mine").is_dir()
    assert sum(1 for one in old.parent.iterdir()) == KEPT_FOLDERS + 2
    assert [one.name for one in here.announced.iterdir()] == [f"{job_id}.json"]


def judged(here: FakeWorkspace, since: float, ends: float) -> tuple[str, Path]:
    """An application that runs, and what its judge says."""
    job_id = launch(here)
    here.scheduler.has(job_id, comment=here.scheduler.known[job_id].comment)
    here.announce(job_id)
    folder = Path(here.sessions.find(job_id).folder)
    (folder / "idle.json").write_text(json.dumps({"since": since, "ends": ends}))
    return job_id, folder


def test_who_uses_it_no_more_is_warned_in_the_last_quarter_and_can_renew_it(here: FakeWorkspace) -> None:
    job_id, folder = judged(here, 1000.0, 1000.0 + 4000)
    here.now = 3900.0
    assert here.sessions.find(job_id).idle is None
    here.now = 4000.0
    warned = here.sessions.find(job_id)
    assert warned.idle is not None and warned.words == (
        "Nobody uses it. It ends in 17 minutes, unless it is used or renewed."
    )
    assert warned.can_open
    here.sessions.renew(job_id)
    assert (folder / "renewed").stat().st_mode & 0o077 == 0
    assert here.sessions.find(job_id).idle is None
    os.utime(folder / "renewed", (900, 900))
    assert here.sessions.find(job_id).idle is not None
    here.now = 4930.0
    assert "It ends in 1 minute," in here.sessions.find(job_id).words
    here.now = 4990.0
    assert "It ends within a minute" in here.sessions.find(job_id).words


def test_a_judge_that_is_gone_or_says_nonsense_warns_nobody(here: FakeWorkspace) -> None:
    job_id, folder = judged(here, 1000.0, 5000.0)
    here.now = 6000.0
    assert here.sessions.find(job_id).idle is None
    here.now = 4999.0
    for text in ("[]", "{}", '{"since": "x", "ends": 1}', "\0"):
        (folder / "idle.json").write_text(text)
        assert here.sessions.find(job_id).idle is None


def test_long_idle_times_warn_an_hour_before(here: FakeWorkspace) -> None:
    job_id, _ = judged(here, 1000.0, 1000.0 + 12 * 3600)
    here.now = 1000.0 + 10.9 * 3600
    assert here.sessions.find(job_id).idle is None
    here.now = 1000.0 + 11.1 * 3600
    assert here.sessions.find(job_id).idle is not None


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_one_that_was_ended_says_that_nobody_used_it(here: FakeWorkspace, state: str) -> None:
    job_id, folder = judged(here, 1.0, 2.0)
    (folder / "ended").write_text("Nobody used it for 12 hours, so it was ended.")
    here.scheduler.has(job_id, comment=here.scheduler.known[job_id].comment, state=state)
    assert here.sessions.find(job_id).words == "Nobody used it for 12 hours, so it was ended."
    with pytest.raises(NoSuchJob, match="nothing to renew"):
        here.sessions.renew(job_id)


def test_what_was_not_started_here_cannot_be_renewed(here: FakeWorkspace) -> None:
    here.scheduler.has("7")
    with pytest.raises(NoSuchJob):
        here.sessions.renew("7")
    with pytest.raises(NoSuchJob):
        here.sessions.renew("8")
