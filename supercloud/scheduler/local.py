"""Jobs on this one machine, each under a runner of its own that needs nobody: see runner.

A job is a folder with a number for its name below the account's state folder. It starts at once, and is not held to
the processors and the memory that it asks for, as nothing is shared out here.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from supercloud.own_folder import make_own_folder
from supercloud.scheduler import runner
from supercloud.scheduler.interface import (
    Cluster,
    Job,
    Listener,
    Nodes,
    NoSuchJob,
    Partition,
    Refused,
    Silent,
    State,
    Submission,
)

MOST_RUNNING: Final = 64
KEPT: Final = 50  # jobs that are over
# Seconds that a runner may take to say something first.
_FIRST_WORD: Final = 10.0
_PARTITION: Final = "local"
_NUMBER: Final = re.compile("[0-9]{1,9}")


class _Asked(msgspec.Struct, kw_only=True):
    """``job.json``."""

    name: str
    script: str
    folder: str
    output: str
    comment: str = ""
    minutes: int | None = None
    ports: int = 0
    submitted: float = 0.0


class _Told(msgspec.Struct, kw_only=True):
    """``state.json``."""

    state: State
    pid: int
    born: int
    started: float
    ended: float | None = None
    reason: str = ""


_Record = TypeVar("_Record", _Asked, _Told)


class Local:
    """See `interface.Scheduler`.

    :param folder: of the account's jobs.
    """

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self._folder = folder
        self._python = python

    def cluster(self) -> Cluster:
        """One partition: this machine."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        here = Nodes(count=1, cpus=os.cpu_count() or 1, memory=memory)
        return Cluster(kind="local", partitions=(Partition(name=_PARTITION, is_default=True, nodes=(here,)),))

    def submit(self, submission: Submission) -> str:
        """Start it."""
        if submission.partition not in ("", _PARTITION):
            raise Refused(
                f"There is no partition {submission.partition} here: this portal runs jobs on its own machine."
            )
        if submission.nodes != 1 or submission.gpus:
            raise Refused("This portal runs jobs on its own machine: ask for one node, and no GPU.")
        return self._start(
            _Asked(
                name=submission.name,
                script=str(submission.script),
                folder=str(submission.folder),
                output=str(submission.output),
                comment=submission.comment,
                minutes=submission.minutes,
                ports=submission.ports,
                submitted=time.time(),
            )
        )

    def submit_batch(self, script: bytes, file: Path, output: Path) -> str:
        """Start a script; its ``#SBATCH`` lines are comments here."""
        asked = _Asked(name=file.name, script="", folder=str(file.parent), output=str(output), submitted=time.time())
        return self._start(asked, script)

    def jobs(self) -> list[Job]:
        """Those that run, and the last ones that are over."""
        return [job for number in self._numbers() if (job := self._read(number)) is not None]

    def job(self, job_id: str) -> Job:
        """One of them."""
        found = self._read(int(job_id)) if _NUMBER.fullmatch(job_id) else None
        if found is None:
            raise NoSuchJob(f"There is no job {job_id[:20]} of yours.")
        return found

    def listeners(self, job_id: str) -> list[Listener]:
        """None besides those that this host shows anyway."""
        return []

    def cancel(self, job_id: str) -> None:
        """Tell its runner, which ends all that descends from it."""
        if self.job(job_id).is_over:
            return
        told = self._told(int(job_id))
        if told is None or told.born != runner.born(told.pid):
            return
        # By descriptor: the number may be another process's by now.
        with suppress(ProcessLookupError):
            process = os.pidfd_open(told.pid)
            try:
                if runner.born(told.pid) == told.born:
                    signal.pidfd_send_signal(process, signal.SIGTERM)
            finally:
                os.close(process)

    def _start(self, asked: _Asked, script: bytes = b"") -> str:
        """Start a job; the script is kept beside its record where one is given."""
        jobs = self.jobs()
        if sum(1 for job in jobs if not job.is_over) >= MOST_RUNNING:
            raise Refused(f"You have {MOST_RUNNING} jobs on this machine already. End one first.")
        try:
            for old in [job for job in jobs if job.is_over][KEPT:]:
                shutil.rmtree(self._folder / old.id, ignore_errors=True)
            folder = self._make_folder()
            try:
                if script:
                    asked.script = str(folder / "script")
                    (folder / "script").write_bytes(script)
                (folder / "job.json").write_bytes(msgspec.json.encode(asked))
                self._run(folder)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except OSError as error:
            raise Silent(f"The job cannot be started: {error.strerror or error}.") from None
        return folder.name

    def _make_folder(self) -> Path:
        make_own_folder(self._folder)
        number = next(self._numbers(), 0) + 1
        while True:
            with suppress(FileExistsError):
                (made := self._folder / str(number)).mkdir(mode=0o700)
                return made
            number += 1

    def _run(self, folder: Path) -> None:
        """Start a runner, and wait for its first word.

        :raises OSError: it does not start, or says nothing.
        """
        with (folder / "runner.log").open("wb") as log:
            process = subprocess.Popen(
                [self._python, "-I", runner.__file__, str(folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _FIRST_WORD
        while not (folder / "state.json").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                said = (folder / "runner.log").read_text(errors="replace").strip().splitlines()
                raise OSError(said[-1][:200] if said else "its runner says nothing")
            time.sleep(0.005)
        _RUNNERS.append(process)
        _RUNNERS[:] = [one for one in _RUNNERS if one.poll() is None]

    def _numbers(self) -> Iterator[int]:
        """The newest first."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208
        except FileNotFoundError:
            return iter(())
        return iter(sorted((int(name) for name in names if name.isdecimal()), reverse=True))

    def _read(self, number: int) -> Job | None:
        asked = self._load(number, "job.json", _Asked)
        if asked is None:
            return None
        job = Job(
            id=str(number), name=asked.name, state="pending", partition=_PARTITION, submitted=asked.submitted,
            comment=asked.comment, folder=asked.folder,
        )  # fmt: skip
        told = self._told(number)
        if told is None:
            return job
        state, ends = told.state, told.ended
        if state == "running":
            if runner.born(told.pid) != told.born:
                state = "lost"  # the machine, or its runner, went down
            elif asked.minutes is not None:
                ends = told.started + asked.minutes * 60
        return msgspec.structs.replace(
            job, state=state, reason=told.reason, nodes=("localhost",), starts=told.started, ends=ends
        )

    def _told(self, number: int) -> _Told | None:
        return self._load(number, "state.json", _Told)

    def _load(self, number: int, name: str, kind: type[_Record]) -> _Record | None:
        """What a file says; None where it is not there, or somebody wrote it who should not."""
        try:
            return msgspec.json.decode((self._folder / str(number) / name).read_bytes(), type=kind)
        except (OSError, ValueError, RecursionError):
            return None


# Those that this process started: they have to be waited for when they end.
_RUNNERS: Final[list[subprocess.Popen[bytes]]] = []
