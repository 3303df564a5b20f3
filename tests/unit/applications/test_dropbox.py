"""Jobs that run when they are saved as files, and are followed and cancelled by files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supercloud.applications.dropbox import MOST_FOLLOWED, MOST_SCRIPT, DropBox
from supercloud.scheduler.interface import Refused, Silent
from tests.fakes.workspace import FakeWorkspace

SCRIPT = "#!/bin/sh\necho hello\n"
SILENCE = "SLURM does not answer now."


class Box:
    """Somebody's folder; whoever saves has the thread look at once, in the test's own thread."""

    def __init__(self, here: FakeWorkspace) -> None:
        self.here = here
        self.folder = here.home / "portal-jobs"
        self.folder.mkdir(exist_ok=True)
        self.box = self.another_worker()

    def another_worker(self) -> DropBox:
        self.here.sessions.forget()
        self.box = DropBox(
            self.here.scheduler, self.here.sessions, self.folder, clock=lambda: self.here.now, patience=0.0,
            start=lambda work: None,
        )  # fmt: skip
        return self.box

    def save(self, file: str, text: str = SCRIPT) -> dict[str, Any]:
        draft = self.folder / f".{file}.part"
        draft.write_text(text)
        draft.replace(self.folder / file)
        self.box.saved(file)
        return self.look(file.rpartition(".")[0])

    def look(self, name: str) -> dict[str, Any]:
        self.box.look()
        return self.told(name)

    def told(self, name: str) -> dict[str, Any]:
        file = self.folder / f"{name}.status"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def later(self, seconds: float = 10.0) -> None:
        self.here.now += seconds


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(FakeWorkspace(tmp_path))


def test_a_job_that_is_saved_runs_and_its_status_follows_it(box: Box) -> None:
    told = box.save("sim.job")
    assert (told["job"], told["state"], told["message"]) == ("41", "pending", "It waits for its turn.")
    assert box.here.scheduler.submitted == [box.folder / "sim.job"]
    assert (box.folder / "sim.status").stat().st_mode & 0o777 == 0o600
    box.here.scheduler.has("41", nodes=("node2",), starts=1005.0)
    box.later()
    assert box.look("sim") | {"script": "", "saved": 0} == {
        "job": "41", "state": "running", "node": "node2", "since": "1970-01-01T00:16:45Z", "message": "It runs.",
        "script": "", "saved": 0, "tried": True, "cancel": False, "newer": False,
    }  # fmt: skip
    box.here.scheduler.has("41", nodes=("node2",), state="failed", reason="exit status 3", ends=1015.0)
    box.later()
    assert (box.look("sim")["state"], box.told("sim")["message"]) == ("failed", "It failed (exit status 3).")
    asked = box.here.scheduler.asked
    box.later()
    box.box.look()
    assert box.here.scheduler.asked == asked  # nothing is left to follow


def test_a_saved_cancel_ends_it(box: Box) -> None:
    box.save("sim.job")
    box.save("sim.cancel", "")
    assert box.here.scheduler.cancelled == ["41"]
    assert box.look("sim")["state"] == "cancelled"
    box.later()
    assert box.save("sim.job")["job"] == "42"
    box.later()
    assert box.look("sim")["state"] == "pending"  # the .cancel that still lies there was for the other one


def test_a_cancel_without_a_job_and_one_too_late_do_nothing(box: Box) -> None:
    assert box.save("sim.cancel", "") == {}
    box.save("sim.job")
    box.here.scheduler.has("41", state="done")
    box.later()
    box.look("sim")
    box.save("sim.cancel", "")
    assert (box.here.scheduler.cancelled, box.told("sim")["state"]) == ([], "done")


def test_what_the_scheduler_refuses_is_in_the_status(box: Box) -> None:
    box.here.scheduler.trouble = Refused("SLURM refused this: no such partition")
    told = box.save("sim.job")
    assert (told["job"], told["state"], told["message"]) == (None, "refused", "SLURM refused this: no such partition")
    box.here.scheduler.trouble = None
    box.later()
    assert box.look("sim")["state"] == "refused"
    assert box.save("sim.job", SCRIPT + "# mended\n")["job"] == "41"


def test_a_scheduler_that_is_down_gets_it_later(box: Box) -> None:
    box.here.scheduler.trouble = Silent(SILENCE)
    told = box.save("sim.job")
    assert (told["job"], told["state"], told["message"]) == (
        None,
        "submitting",
        f"{SILENCE} It is submitted as soon as that is over.",
    )
    box.later()
    box.look("sim")
    box.here.scheduler.trouble = None
    box.later()
    assert (box.look("sim")["job"], len(box.here.scheduler.submitted)) == ("41", 1)


def test_what_waits_for_the_scheduler_can_be_cancelled(box: Box) -> None:
    box.here.scheduler.trouble = Silent(SILENCE)
    box.save("sim.job")
    box.save("sim.cancel", "")
    box.here.scheduler.trouble = None
    box.later()
    assert box.look("sim")["state"] in ("cancelled", "pending")
    box.later()
    assert box.look("sim")["state"] == "cancelled"
    assert not [job for job in box.here.scheduler.known.values() if not job.is_over]


@pytest.mark.parametrize("was_taken", [False, True])
def test_a_worker_that_ended_in_between_leaves_one_job_neither_none_nor_two(box: Box, was_taken: bool) -> None:
    taken = box.here.scheduler.submit_batch

    def dies(script: bytes, file: Path, output: Path) -> str:
        if was_taken:
            job_id = taken(script, file, output)
            box.here.scheduler.has(job_id, state="pending", folder=str(box.folder), submitted=box.here.now)
        raise KeyboardInterrupt

    box.here.scheduler.submit_batch = dies  # type: ignore[method-assign]
    box.here.scheduler.has("7", folder=str(box.folder), submitted=box.here.now - 60)
    with pytest.raises(KeyboardInterrupt):
        box.save("sim.job")
    box.here.scheduler.submit_batch = taken  # type: ignore[method-assign]
    box.another_worker()
    box.later(60)
    assert box.look("sim")["job"] == "41"
    assert len(box.here.scheduler.submitted) == 1


def test_another_worker_goes_on_following(box: Box) -> None:
    box.save("sim.job")
    box.another_worker()
    box.here.scheduler.has("41", state="done")
    assert box.look("sim")["state"] == "done"


def test_a_thousand_old_and_foreign_statuses_hide_no_job_from_another_worker(box: Box) -> None:
    box.save("sim.job")
    for number in range(MOST_FOLLOWED):
        (box.folder / f"old{number}.status").write_text('{"state": "done"}' if number % 2 else "theirs")
        (box.folder / f"old{number}.status").chmod(0o600)
    box.another_worker()
    box.here.scheduler.has("41", state="done")
    assert box.look("sim")["state"] == "done"


def test_a_job_that_the_scheduler_has_forgotten_is_over(box: Box) -> None:
    box.save("sim.job")
    box.here.scheduler.known.clear()
    box.later(600)
    assert (box.look("sim")["state"], "forgotten" in box.told("sim")["message"]) == ("ended", True)


def test_the_same_file_saved_twice_in_a_row_is_one_job(box: Box) -> None:
    box.save("sim.job", "")
    assert box.told("sim") == {}  # some clients make it first, and fill it then
    box.save("sim.job")
    box.save("sim.job")
    box.here.scheduler.has("41", state="failed")
    box.later(3)
    box.look("sim")
    box.save("sim.job")
    assert len(box.here.scheduler.submitted) == 1
    box.later()
    assert box.save("sim.job")["job"] == "42"


def test_a_newer_script_does_not_run_beside_the_old_one(box: Box) -> None:
    box.save("sim.job")
    box.later()
    told = box.save("sim.job", SCRIPT + "# newer\n")
    assert (told["job"], len(box.here.scheduler.submitted)) == ("41", 1)
    assert "save a .cancel to end it" in told["message"]
    box.here.scheduler.has("41", state="done")
    box.later()
    assert "save it again" in box.look("sim")["message"]


@pytest.mark.parametrize("file", [".sim.job", "sim.sh", ".job", "sim.job.part", "job", "sim.status", "sim.out"])
def test_other_files_start_nothing(box: Box, file: str) -> None:
    (box.folder / file).write_text(SCRIPT)
    box.box.saved(file)
    box.box.look()
    assert box.here.scheduler.submitted == []


def test_a_file_that_somebody_else_put_there_starts_nothing(box: Box) -> None:
    (box.folder / "theirs.job").write_text(SCRIPT)
    box.box.look()
    box.box.refresh()
    assert (box.here.scheduler.submitted, box.told("theirs")) == ([], {})


def exchanged(box: Box, script: str) -> dict[str, Any]:
    """As whoever may write the folder does, while the scheduler is down."""
    box.here.scheduler.trouble = Silent(SILENCE)
    box.save("sim.job")
    (box.folder / "theirs").write_text(script)
    (box.folder / "theirs").replace(box.folder / "sim.job")
    box.here.scheduler.trouble = None
    box.later()
    return box.look("sim")


def test_what_is_put_in_the_place_of_a_saved_script_does_not_run(box: Box) -> None:
    told = exchanged(box, "#!/bin/sh\necho theirs\n")
    assert (box.here.scheduler.submitted, told["state"]) == ([], "refused")
    assert "save it again" in told["message"].lower()
    assert box.save("sim.job")["job"] == "41"


def test_what_is_put_in_its_place_while_it_is_handed_over_does_not_run(box: Box) -> None:
    taken = box.here.scheduler.submit_batch

    def meanwhile(script: bytes, file: Path, output: Path) -> str:
        file.write_text("#!/bin/sh\necho theirs\n")
        return taken(script, file, output)

    box.here.scheduler.submit_batch = meanwhile  # type: ignore[method-assign]
    box.save("sim.job")
    assert box.here.scheduler.scripts == [SCRIPT.encode()]


def test_a_status_that_is_moved_to_another_name_runs_nothing(box: Box) -> None:
    box.here.scheduler.trouble = Silent(SILENCE)
    box.save("sim.job")
    (box.folder / "sim.status").replace(box.folder / "theirs.status")
    (box.folder / "theirs.job").write_text("#!/bin/sh\necho theirs\n")
    box.here.scheduler.trouble = None
    box.another_worker().look()
    box.later()
    assert (box.look("theirs")["state"], box.here.scheduler.submitted) == ("refused", [])


def test_a_full_disk_submits_nothing_again_and_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.here.scheduler.trouble = Silent(SILENCE)
    box.save("sim.job")
    box.here.scheduler.trouble = None
    with monkeypatch.context() as full:
        full.setattr(DropBox, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        for _ in range(3):
            box.later()
            box.box.look()
    box.later()
    assert (box.look("sim")["job"], len(box.here.scheduler.submitted)) == ("41", 1)


def test_a_link_a_fifo_and_what_is_too_long_are_refused_and_wait_for_nobody(box: Box) -> None:
    (box.here.home / "elsewhere").write_text(SCRIPT)
    (box.folder / "link.job").symlink_to(box.here.home / "elsewhere")
    os.mkfifo(box.folder / "fifo.job")
    (box.folder / "long.job").write_bytes(b"#" * (MOST_SCRIPT + 1))
    (box.folder / "a\\b.job").write_text(SCRIPT)
    for name in ("link", "fifo", "long", "a\\b"):
        box.box.saved(f"{name}.job")
        assert box.look(name)["state"] == "refused"
    assert box.here.scheduler.submitted == []


def test_a_status_that_others_can_write_or_that_makes_no_sense_counts_for_nothing(box: Box) -> None:
    box.here.scheduler.has("99")
    hostile = box.folder / "sim.status"
    hostile.write_bytes(msgspec.json.encode({"job": "99", "state": "running", "cancel": True}))
    hostile.chmod(0o666)
    box.box.look()
    for text in ("[]", '{"state": 3}', "\0", '{"job": ["99"], "state": "running"}'):
        hostile.chmod(0o600)
        hostile.write_text(text)
        box.another_worker().look()
    assert box.here.scheduler.cancelled == []


def test_whoever_removes_a_status_hears_no_more_of_it(box: Box) -> None:
    box.save("sim.job")
    (box.folder / "sim.status").unlink()
    box.later()
    assert box.look("sim") == {}


def test_the_output_of_the_last_run_is_not_added_to(box: Box) -> None:
    (box.folder / "sim.out").write_text("of the last run")
    box.save("sim.job")
    assert not (box.folder / "sim.out").exists()


def test_no_folder_and_no_work_ask_nobody(tmp_path: Path) -> None:
    here = FakeWorkspace(tmp_path)
    box = DropBox(here.scheduler, here.sessions, here.home / "portal-jobs", patience=0.0, start=lambda work: None)
    box.refresh()
    box.look()
    assert here.scheduler.asked == 0
