"""From a form to a job."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from supercloud.applications.catalogue import App
from supercloud.applications.form import Unanswered
from supercloud.applications.launching import Launching
from supercloud.scheduler.interface import Refused, Submission
from tests.fakes.workspace import FakeWorkspace


@pytest.fixture
def here(tmp_path: Path) -> FakeWorkspace:
    return FakeWorkspace(tmp_path)


def web(here: FakeWorkspace) -> App:
    found = here.workspace.catalogue.find("web")
    assert found is not None
    return found


def test_what_was_asked_for_reaches_the_scheduler(here: FakeWorkspace) -> None:
    here.launching.launch(
        web(here), {"command": "x", "partition": "gpu", "gpus": "2", "gpu_kind": "a100", "cpus": "8", "memory": "4G",
                    "minutes": "2h"},
    )  # fmt: skip
    [sent] = here.scheduler.submitted
    assert isinstance(sent, Submission)
    assert (sent.partition, sent.gpus, sent.gpu_kind, sent.cpus, sent.memory, sent.minutes) == (
        "gpu",
        2,
        "a100",
        8,
        4096,
        120,
    )
    assert sent.comment == f"supercloud:web:{sent.script.parent.name}"
    assert sent.output.parent == sent.script.parent
    assert stat.S_IMODE(sent.script.parent.stat().st_mode) == 0o700


def test_a_group_that_may_write_new_folders_cannot_exchange_a_job(here: FakeWorkspace) -> None:
    shutil.rmtree(here.home / ".local")
    before = os.umask(0o002)
    try:
        here.launching.launch(web(here), {"command": "x"})
    finally:
        os.umask(before)
    [sent] = here.scheduler.submitted
    assert isinstance(sent, Submission)
    above = [one for one in (sent.script, *sent.script.parents, here.home / "state") if here.home in one.parents]
    assert [one for one in above if one.stat().st_mode & 0o022 and one != sent.script] == []


def test_nothing_is_left_to_the_partition_that_was_asked_for_and_the_rest_is(here: FakeWorkspace) -> None:
    here.launching.launch(web(here), {"command": "x", "memory": "0"})
    [sent] = here.scheduler.submitted
    assert isinstance(sent, Submission)
    assert (sent.memory, sent.gpus, sent.gpu_kind) == (None, 0, "")


def test_an_answer_that_is_wrong_leaves_nothing_behind(here: FakeWorkspace) -> None:
    with pytest.raises(Unanswered):
        here.launching.launch(web(here), {"command": "", "cpus": "1000"})
    assert not here.scheduler.submitted
    assert not (here.home / ".local/share/supercloud/jobs").exists()


def test_a_job_that_was_refused_leaves_nothing_behind(here: FakeWorkspace) -> None:
    app = web(here)
    here.launching.asked(app)

    def refuse(submission: Submission) -> str:
        raise Refused("no")

    here.scheduler.submit = refuse  # type: ignore[method-assign]
    with pytest.raises(Refused):
        here.launching.launch(app, {"command": "x"})
    assert list((here.home / ".local/share/supercloud/jobs").iterdir()) == []


def test_what_is_asked_under_more_is_seen_at_once_where_it_was_typed_the_last_time(here: FakeWorkspace) -> None:
    app = web(here)
    assert {one.name: one.advanced for one in here.launching.asked(app)}["gpu_kind"]
    here.launching.launch(app, {"command": "serve {port}", "partition": "gpu", "gpu_kind": "a100"})
    assert not {one.name: one.advanced for one in here.launching.asked(app)}["gpu_kind"]


def test_what_was_typed_is_there_the_next_time(here: FakeWorkspace) -> None:
    app = web(here)
    here.launching.launch(app, {"command": "serve {port}", "partition": "gpu", "minutes": "90m"})
    asked = {one.name: one.default for one in here.launching.asked(app)}
    assert (asked["command"], asked["partition"], asked["minutes"]) == ("serve {port}", "gpu", "90m")


def test_a_job_has_the_name_that_was_typed_and_the_next_one_has_not(here: FakeWorkspace) -> None:
    app = web(here)
    for name in ("run 12 'ü' $(id)", ""):
        here.launching.launch(app, {"command": "x", "job_name": name})
    first, second = here.scheduler.submitted
    assert isinstance(first, Submission) and isinstance(second, Submission)
    assert (first.name, second.name) == ("run 12 'ü' $(id)", "web")
    here.launching.launch(app, {"command": "x", "job_name": "again"})
    assert {one.name: one.default for one in here.launching.asked(app)}["job_name"] == ""


def test_whoever_shows_no_form_is_told_what_is_taken_for_what_is_not_given(here: FakeWorkspace) -> None:
    here.launching.launch(web(here), {"command": "x", "minutes": "90m"})
    told = {one["name"]: one["default"] for one in here.client.get("/api/apps/web").json["fields"]}
    assert (told["command"], told["minutes"]) == ("", "2h")
    here.launching.launch(web(here), {"command": "y"})
    assert here.scheduler.submitted[-1].minutes == 120


def test_what_cannot_be_any_more_is_not_there(here: FakeWorkspace) -> None:
    app = web(here)
    here.launching.launch(app, {"command": "x", "partition": "gpu"})
    file = here.home / "state" / "web.json"
    file.write_text(file.read_text().replace('"gpu"', '"gone"'))
    assert {one.name: one.default for one in here.launching.asked(app)}["partition"] == "normal"
    file.write_text("[]")
    assert {one.name: one.default for one in here.launching.asked(app)}["command"] == ""


@pytest.mark.parametrize(
    ("app", "idle", "is_judged"), [("jupyterlab", 60.0, True), ("jupyterlab", 0.0, False), ("web", 60.0, False)]
)
def test_only_where_the_site_and_the_application_say_so_it_is_judged_whether_somebody_uses_it(
    here: FakeWorkspace, app: str, idle: float, is_judged: bool
) -> None:
    found = here.workspace.catalogue.find(app)
    assert found is not None
    launching = Launching(
        here.scheduler, home=here.home, login="alice", data=here.home / "data", state=here.home / "state", idle=idle
    )
    launching.launch(found, {"command": "x"} if app == "web" else {})
    [sent] = here.scheduler.submitted
    assert isinstance(sent, Submission)
    assert ("export SUPERCLOUD_IDLE=60 SUPERCLOUD_IDLE_BY=jupyter\n" in sent.script.read_text()) == is_judged
    assert (sent.script.parent / "idle.py").exists() == is_judged
