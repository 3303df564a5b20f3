"""What is asked of SLURM's programs, and what their refusals become."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from supercloud.scheduler.interface import NoSuchJob, Refused, Silent, Submission
from supercloud.scheduler.slurm import Slurm

ME = str(os.getuid())


class Programs:
    """Stands in for SLURM's programs: says what it was given, and writes down what it was asked."""

    def __init__(self, *answers: str | Exception | tuple[int, str]) -> None:
        self._answers = list(answers)
        self.asked: list[list[str]] = []
        self.texts: list[str] = []

    def __call__(self, argv: list[str], text: str) -> subprocess.CompletedProcess[str]:
        self.asked.append(argv)
        self.texts.append(text)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return subprocess.CompletedProcess(argv, 0, answer, "")
        return subprocess.CompletedProcess(argv, answer[0], "", answer[1])


def record(number: str, state: str = "RUNNING") -> str:
    return "\x1e" + "\x1f".join((number, state, "None", "node1", "normal", "1", "2", "3", "/home", "", "lab")) + "\n"


def submission(**more: object) -> Submission:
    usual = {"name": "lab", "script": Path("/home/a b/step.sh"), "folder": Path("/home/a b"), "output": Path("/o")}
    return Submission(**{**usual, **more})  # type: ignore[arg-type]


def test_an_application_is_one_step_with_ports_of_its_own() -> None:
    programs = Programs("42\n")
    assert Slurm(programs).submit(submission(cpus=4, ports=2)) == "42"
    [argv], [batch] = programs.asked, programs.texts
    assert argv[:2] == ["sbatch", "--parsable"]
    assert "--chdir=/home/a b" in argv
    assert batch.startswith("#!/bin/sh\nexec srun --overlap ")
    assert batch.endswith(" --cpus-per-task=4 --relative=0 --resv-ports=2 /bin/bash '/home/a b/step.sh'\n")


def test_each_option_is_one_word_whatever_is_in_it() -> None:
    programs = Programs("42;lab\n")
    nasty = "x; touch /tmp/y $(id) `id`\n--uid=0"
    sent = submission(
        name=nasty, comment=nasty, partition=nasty, gpus=2, gpu_kind="a100", memory=4000, minutes=90,
        features=("big", "fast"), more=("--qos=high",),
    )  # fmt: skip
    assert Slurm(programs).submit(sent) == "42"
    [argv] = programs.asked
    for word in (f"--job-name={nasty}", f"--comment={nasty}", f"--partition={nasty}", "--gres=gpu:a100:2"):
        assert word in argv
    assert {"--mem=4000M", "--time=90", "--constraint=big&fast"} <= set(argv)
    assert argv[-1] == "--qos=high"
    assert "touch" not in programs.texts[0]


def test_what_is_not_asked_for_is_left_to_the_partition() -> None:
    programs = Programs("42\n")
    Slurm(programs).submit(submission())
    assert not [word for word in programs.asked[0] if word.startswith(("--mem", "--time", "--gres", "--partition"))]


def test_a_batch_script_of_the_persons_own_runs_as_it_is() -> None:
    handed: list[tuple[str, bytes, int]] = []

    def sbatch(argv: list[str], text: str) -> subprocess.CompletedProcess[str]:
        file = Path(argv[-1])
        handed.append((file.name, file.read_bytes(), stat.S_IMODE(file.parent.stat().st_mode)))
        assert argv[:-1] == ["sbatch", "--parsable", "--chdir=/home/a", "--output=/home/a/-x.out", "--"]
        return subprocess.CompletedProcess(argv, 0, "43\n", "")

    script = b"#!/bin/sh\necho \xff\n"
    assert Slurm(sbatch).submit_batch(script, Path("/home/a/-x.job"), Path("/home/a/-x.out")) == "43"
    assert handed == [("-x.job", script, 0o700)]


def test_only_the_persons_own_jobs_are_asked_for() -> None:
    programs = Programs(record("7") + record("8"), record("7"))
    slurm = Slurm(programs)
    assert [job.id for job in slurm.jobs()] == ["8", "7"], "the newest first, which squeue does not do"
    assert slurm.job("7").name == "lab"
    assert all(argv[argv.index("--user") + 1] == ME for argv in programs.asked)


def test_a_job_that_runs_is_cancelled_and_one_that_is_over_is_left() -> None:
    programs = Programs(record("7"), "", record("8", "COMPLETED"))
    slurm = Slurm(programs)
    slurm.cancel("7")
    slurm.cancel("8")
    assert [argv[0] for argv in programs.asked] == ["squeue", "scancel", "squeue"]
    assert programs.asked[1] == ["scancel", "--user", ME, "7"]


@pytest.mark.parametrize("job_id", ["", "-1", "7 8", "--state=all", "7,8", "\u0667"])
def test_what_is_no_number_is_no_job_and_is_not_asked_for(job_id: str) -> None:
    programs = Programs()
    with pytest.raises(NoSuchJob):
        Slurm(programs).cancel(job_id)
    assert not programs.asked


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((1, "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch…"), Refused, "invalid partition"),
        ((1, ""), Refused, "no reason"),
        ((1, "slurm_load_jobs error: Invalid job id specified"), NoSuchJob, "no such job"),
        ((1, "sbatch: error: Unable to contact slurm controller (connect failure)"), Silent, "go on"),
        (FileNotFoundError(2, "x"), Silent, "not installed"),
        (PermissionError(13, "Permission denied"), Silent, "Permission denied"),
        (subprocess.TimeoutExpired("sbatch", 20), Silent, "does not answer"),
        ("what?\n", Silent, "squeue"),
        ("\n", Silent, "squeue"),
    ],
)
def test_a_refusal_is_told_in_words(answer: str | Exception, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Slurm(Programs(answer)).submit(submission())


def test_partitions_are_believed_for_a_minute() -> None:
    now = 0.0
    programs = Programs("", "")
    slurm = Slurm(programs, clock=lambda: now)
    slurm.cluster()
    now = 59.0
    slurm.cluster()
    assert len(programs.asked) == 1
    now = 60.0
    slurm.cluster()
    assert len(programs.asked) == 2
