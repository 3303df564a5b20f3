"""Jobs on this machine: real processes, which outlive whoever started them, and end as a whole."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.portal import until

from supercloud.scheduler.interface import Job, NoSuchJob, Refused, Silent, Submission
from supercloud.scheduler.local import KEPT, Local
from supercloud.scheduler.runner import born, reserve


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    scheduler = Local(tmp_path / "jobs")
    yield scheduler
    for job in scheduler.jobs():
        scheduler.cancel(job.id)
    until(lambda: all(job.is_over for job in scheduler.jobs()), "the end of all jobs")


def submission(folder: Path, script: str, **more: object) -> Submission:
    file = folder / f"step-{time.monotonic_ns()}.sh"
    file.write_text(script)
    usual = {"name": "lab", "script": file, "folder": folder, "output": folder / "out.log"}
    return Submission(**{**usual, **more})  # type: ignore[arg-type]


def comes_to(local: Local, job_id: str, state: str) -> Job:
    until(lambda: local.job(job_id).state == state, f"job {job_id} is {state}")
    return local.job(job_id)


def is_there(file: Path) -> Callable[[], bool]:
    return lambda: file.exists() and file.read_text().endswith("\n")


def test_a_job_runs_where_it_was_told_and_says_how_it_ended(local: Local, tmp_path: Path) -> None:
    job_id = local.submit(submission(tmp_path, "pwd; echo $SLURM_JOB_ID; echo oops >&2; exit 3", comment="what for"))
    job = comes_to(local, job_id, "failed")
    assert (tmp_path / "out.log").read_text() == f"{tmp_path}\n{job_id}\noops\n"
    assert (job.reason, job.comment, job.nodes) == ("exit status 3", "what for", ("localhost",))
    assert job.submitted is not None and job.starts is not None and job.ends is not None
    assert job.submitted <= job.starts <= job.ends
    assert comes_to(local, local.submit(submission(tmp_path, "true")), "done").reason == ""
    assert comes_to(local, local.submit(submission(tmp_path, "kill -9 $$")), "failed").reason == "signal 9, Killed"


def test_a_cancelled_job_leaves_no_process_behind(local: Local, tmp_path: Path) -> None:
    script = f"""
        trap '' TERM
        setsid sh -c 'trap "" TERM; echo $$ > {tmp_path}/escaped; while :; do sleep 1; done' &
        ( ( sleep 1000 & echo $! > {tmp_path}/orphan ) & )
        while :; do sleep 1; done
    """
    job_id = local.submit(submission(tmp_path, script))
    until(is_there(tmp_path / "escaped"), "a process in a session of its own")
    until(is_there(tmp_path / "orphan"), "a process whose parent is gone")
    pids = [int((tmp_path / name).read_text()) for name in ("escaped", "orphan")]
    assert all(map(born, pids))
    local.cancel(job_id)
    comes_to(local, job_id, "cancelled")
    assert not any(map(born, pids))


def test_what_a_job_left_running_ends_with_it(local: Local, tmp_path: Path) -> None:
    job_id = local.submit(submission(tmp_path, f"nohup setsid sleep 1000 & echo $! > {tmp_path}/left"))
    comes_to(local, job_id, "done")
    assert not born(int((tmp_path / "left").read_text()))


def test_a_job_ends_at_its_time_limit(local: Local, tmp_path: Path) -> None:
    job_id = local.submit(submission(tmp_path, "sleep 1000", minutes=0))
    assert comes_to(local, job_id, "timed-out").is_over


def test_jobs_outlive_whoever_started_them_and_are_found_again(tmp_path: Path) -> None:
    asked = submission(tmp_path, "sleep 1000")
    program = (
        "import sys; from pathlib import Path\n"
        "from supercloud.scheduler.local import Local; from supercloud.scheduler.interface import Submission\n"
        "f = Path(sys.argv[1])\n"
        "print(Local(f / 'jobs').submit(Submission(name='lab', script=Path(sys.argv[2]), folder=f, output=f / 'o')))\n"
        "import os, signal; os.killpg(0, signal.SIGKILL)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-uc", program, tmp_path, asked.script],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    job_id = starter.stdout.readline().strip()  # type: ignore[union-attr]
    assert starter.wait() == -signal.SIGKILL
    starter.stdout.close()  # type: ignore[union-attr]
    local = Local(tmp_path / "jobs")
    assert local.job(job_id).state == "running"
    local.cancel(job_id)
    comes_to(local, job_id, "cancelled")


def test_a_job_whose_runner_was_killed_is_lost(local: Local, tmp_path: Path) -> None:
    job_id = local.submit(submission(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 1000"))
    until(is_there(tmp_path / "pid"), "its process")
    os.kill(json.loads((tmp_path / "jobs" / job_id / "state.json").read_text())["pid"], signal.SIGKILL)
    comes_to(local, job_id, "lost")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_two_jobs_never_have_the_same_port_and_none_that_is_taken(local: Local, tmp_path: Path) -> None:
    script = f"echo $SLURM_STEP_RESV_PORTS > {tmp_path}/$SLURM_JOB_ID.ports; sleep 1000"
    jobs = [local.submit(submission(tmp_path, script, ports=2)) for _ in range(5)]
    files = [tmp_path / f"{job_id}.ports" for job_id in jobs]
    for file in files:
        until(is_there(file), f"{file}")
    ports = [port for file in files for port in map(int, file.read_text().split("-"))]
    assert len(set(ports)) == 10
    with socket.create_server(("127.0.0.1", 0)):
        folder = tmp_path / "jobs" / "ports"
        first = reserve(folder, 1)
        with socket.create_server(("127.0.0.1", first[0])):
            (folder / str(first[0])).unlink()
            assert reserve(folder, 1) != first


def test_ports_of_a_job_that_is_gone_are_given_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "ports"
    first = reserve(folder, 1)
    mark = folder / str(first[0])
    mark.unlink()
    mark.symlink_to("4194304 1")
    reserve(folder, 1)
    assert not mark.is_symlink()


def test_what_cannot_start_is_said(local: Local, tmp_path: Path) -> None:
    with pytest.raises(Silent, match="cannot be started"):
        Local(tmp_path / "jobs", python="/nonexistent").submit(submission(tmp_path, "true"))
    with pytest.raises(Refused, match="no partition gpu"):
        local.submit(submission(tmp_path, "true", partition="gpu"))
    with pytest.raises(Refused, match="no GPU"):
        local.submit(submission(tmp_path, "true", gpus=1))
    job_id = local.submit(submission(tmp_path, "true", output=tmp_path / "no" / "folder" / "out"))
    assert "No such file" in comes_to(local, job_id, "failed").reason


@pytest.mark.parametrize("job_id", ["", "0", "99", "../1", "1/../1", "-1", "99999999999999999999"])
def test_what_is_no_job_is_not_found(local: Local, tmp_path: Path, job_id: str) -> None:
    local.submit(submission(tmp_path, "true"))
    for ask in (local.job, local.cancel):
        with pytest.raises(NoSuchJob):
            ask(job_id)


def test_old_jobs_are_forgotten(local: Local, tmp_path: Path) -> None:
    told = {"state": "done", "pid": 1, "born": 1, "started": 1.0, "ended": 2.0}
    asked = {"name": "old", "script": "/x", "folder": "/", "output": "/x"}
    for number in range(1, KEPT + 11):
        folder = tmp_path / "jobs" / str(number)
        folder.mkdir(parents=True)
        (folder / "job.json").write_text(json.dumps(asked))
        (folder / "state.json").write_text(json.dumps(told))
    local.submit(submission(tmp_path, "true"))
    jobs = local.jobs()
    assert (len(jobs), jobs[0].id, jobs[-1].id) == (KEPT + 1, str(KEPT + 11), "11")


def test_a_file_that_somebody_wrote_over_makes_no_job_and_stops_no_listing(local: Local, tmp_path: Path) -> None:
    job_id = local.submit(submission(tmp_path, "true"))
    comes_to(local, job_id, "done")
    (tmp_path / "jobs" / job_id / "job.json").write_text("[1]")
    assert local.jobs() == []
