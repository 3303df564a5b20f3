"""SLURM by its own programs, as the user: sbatch, squeue, scancel, sinfo. No shell reads what is passed to them."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from supercloud.scheduler import slurm_text
from supercloud.scheduler.interface import Cluster, Job, Listener, NoSuchJob, Refused, Silent, Submission
from supercloud.scheduler.listening import SCRIPT, read_listeners

# Seconds for an answer of slurmctld's. Its programs wait for it by themselves for ten or more.
WITHIN: Final = 20.0
_CLUSTER_BELIEVED: Final = 60.0  # seconds; partitions change when an administrator changes them
_LOOKS_WITHIN: Final = 8  # seconds for a step that looks what listens
_NOT_THERE: Final = ("Invalid job id", "invalid job id")
# What slurmctld's silence is called by the programs that wait for it.
_SILENCE: Final = (
    "Unable to contact slurm controller",
    "Connection refused",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Transport endpoint",
    "Unable to establish control machine address",
    "Slurm backup controller in standby",
)
_NOISE: Final = ("error: ", "sbatch: ", "squeue: ", "scancel: ", "sinfo: ", "Batch job submission failed: ")

Run = Callable[[list[str], str], "subprocess.CompletedProcess[str]"]


class Slurm:
    """See `interface.Scheduler`."""

    def __init__(self, run: Run | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run or _run
        self._clock = clock
        self._cluster: tuple[float, Cluster] | None = None

    def cluster(self) -> Cluster:
        """What jobs can ask for; believed for a minute."""
        now = self._clock()
        if self._cluster is None or now - self._cluster[0] >= _CLUSTER_BELIEVED:
            text = self._ask(["sinfo", "--noheader", "--format", slurm_text.NODES_FORMAT])
            self._cluster = now, Cluster(kind="slurm", partitions=slurm_text.read_partitions(text))
        return self._cluster[1]

    def submit(self, submission: Submission) -> str:
        """Hand a job over; the batch script goes by standard input, so that no file of it can be exchanged."""
        return self._submitted(self._ask(_options(submission), _batch(submission)))

    def submit_batch(self, script: bytes, file: Path, output: Path) -> str:
        """Hand over a script as it is; what its ``#SBATCH`` lines say about the output gives way. By standard input
        it could not name the job after its file unless it does so itself.
        """
        argv = ["sbatch", "--parsable", f"--chdir={file.parent}", f"--output={_plain(output)}", "--"]
        try:
            with TemporaryDirectory(prefix="supercloud-") as own:
                copy = Path(own) / file.name
                copy.write_bytes(script)
                return self._submitted(self._ask([*argv, str(copy)]))
        except OSError as error:
            raise Silent(f"The script cannot be handed over: {error.strerror}.") from None

    def jobs(self) -> list[Job]:
        """All that slurmctld remembers: those that are over for MinJobAge, five minutes by default."""
        found = slurm_text.read_jobs(self._ask(self._query("--user", str(os.getuid()))))
        # squeue sorts by priority and the like, and those that are over by no rule.
        return sorted(found, key=lambda job: (job.submitted or 0.0, int(job.id)), reverse=True)

    def job(self, job_id: str) -> Job:
        """One of them."""
        if not (job_id.isascii() and job_id.isdecimal()):
            raise NoSuchJob(f"{job_id[:20]!r} is no number of a job.")
        # The user is asked for too: others' jobs are none of theirs.
        found = slurm_text.read_jobs(self._ask(self._query("--user", str(os.getuid()), "--jobs", job_id)))
        if not found:
            raise NoSuchJob(f"There is no job {job_id} of yours.")
        return found[0]

    def listeners(self, job_id: str) -> list[Listener]:
        """By a step that shares the job's processors and ends at once."""
        if not (job_id.isascii() and job_id.isdecimal()):
            raise NoSuchJob(f"{job_id[:20]!r} is no number of a job.")
        # Where the nodes cannot connect back to this host, srun would wait for long.
        step = [
            "timeout",
            str(_LOOKS_WITHIN),
            "srun",
            f"--jobid={job_id}",
            "--overlap",
            "--ntasks-per-node=1",
            "--cpus-per-task=1",
            "--mpi=none",
        ]
        step += ["--input=none", "--quiet", "--job-name=listening", "/bin/sh", "-c", SCRIPT]
        return read_listeners(self._ask(step))

    def cancel(self, job_id: str) -> None:
        """End it; scancel says nothing of a job that there is not, so that it is looked for first."""
        if self.job(job_id).is_over:
            return
        self._ask(["scancel", "--user", str(os.getuid()), job_id])

    def _submitted(self, answer: str) -> str:
        job_id = answer.strip().partition(";")[0]  # ID or ID;CLUSTER
        if not job_id.isdecimal():
            raise Silent(f"SLURM took the job, but calls it {answer.strip()[:80]!r}. Look with squeue.")
        return job_id

    def _query(self, *which: str) -> list[str]:
        return ["squeue", "--noheader", "--states", "all", "--format", slurm_text.JOB_FORMAT, *which]

    def _ask(self, argv: list[str], text: str = "") -> str:
        """:raises Refused, Silent, NoSuchJob: with what the program said, in words for the person."""
        try:
            done = self._run(argv, text)
        except FileNotFoundError:
            raise Silent(f"{argv[0]} is not installed on this host: ask the site's administrator.") from None
        except subprocess.TimeoutExpired:
            raise Silent(f"SLURM does not answer within {WITHIN:g} seconds. Try again later.") from None
        except OSError as error:
            raise Silent(f"{argv[0]} cannot be started: {error.strerror}.") from None
        if done.returncode == 0:
            return done.stdout
        said = _words(done.stderr)
        if any(words in done.stderr for words in _SILENCE):
            raise Silent(f"SLURM does not answer now. Running jobs go on; try again later. ({said})")
        if any(words in done.stderr for words in _NOT_THERE):
            raise NoSuchJob("There is no such job any more.")
        raise Refused(f"SLURM refused this: {said}")


def _options(submission: Submission) -> list[str]:
    one = submission
    options = [
        "sbatch",
        "--parsable",
        f"--job-name={one.name}",
        f"--chdir={one.folder}",
        f"--output={_plain(one.output)}",
    ]
    options += [f"--nodes={one.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={one.cpus}", "--no-requeue"]
    if one.comment:
        options.append(f"--comment={one.comment}")
    if one.partition:
        options.append(f"--partition={one.partition}")
    if one.memory is not None:
        options.append(f"--mem={one.memory}M")
    if one.gpus:
        kind = f"{one.gpu_kind}:" if one.gpu_kind else ""
        options.append(f"--gres=gpu:{kind}{one.gpus}")
    if one.minutes is not None:
        options.append(f"--time={one.minutes}")
    if one.features:
        options.append("--constraint=" + "&".join(one.features))
    return [*options, *one.more]


def _batch(submission: Submission) -> str:
    """One step on the first node: ports are reserved for steps only. It shares its node with whatever steps the
    application starts itself.
    """
    step = ["srun", "--overlap", "--nodes=1", "--ntasks=1", f"--cpus-per-task={submission.cpus}", "--relative=0"]
    if submission.ports:
        step.append(f"--resv-ports={submission.ports}")
    return f"#!/bin/sh\nexec {shlex.join([*step, '/bin/bash', str(submission.script)])}\n"


def _plain(output: Path) -> str:
    """A file's name in which nothing stands for the job's number and the like; sbatch(1), filename pattern."""
    return str(output).replace("%", "%%")


def _words(said: str) -> str:
    """The first line of an error, without the program's name."""
    line = next((line for line in said.splitlines() if line.strip()), "it gave no reason")
    for noise in _NOISE:
        line = line.replace(noise, "")
    return line.strip()[:400]


def _run(argv: list[str], text: str) -> subprocess.CompletedProcess[str]:
    """Run a program of SLURM's; its times are seconds since the epoch."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    environment["SLURM_TIME_FORMAT"] = "%s"
    environment["LC_ALL"] = "C.UTF-8"
    return subprocess.run(
        argv, input=text, capture_output=True, text=True, errors="replace", timeout=WITHIN, env=environment, check=False
    )
