"""A scheduler that a test tells what to say; implements `scheduler.interface.Scheduler`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from supercloud.scheduler.interface import Cluster, Job, Listener, Nodes, NoSuchJob, Partition, Submission

CLUSTER = Cluster(
    kind="slurm",
    partitions=(
        Partition(name="normal", is_default=True, longest=1440, nodes=(Nodes(count=2, cpus=16, memory=64_000),)),
        Partition(name="gpu", nodes=(Nodes(count=1, cpus=32, memory=128_000, gpus={"a100": 4}),)),
    ),
)


class FakeScheduler:
    """:ivar trouble: raised by every question when it is set.
    :ivar submitted: what was handed over; ``scripts`` is what the files among it held.
    :ivar asked: how often all jobs were asked for.
    :ivar looked: jobs on whose nodes was looked what listens; ``listening`` is what is found.
    """

    def __init__(self) -> None:
        self.known: dict[str, Job] = {}
        self.submitted: list[Submission | Path] = []
        self.scripts: list[bytes] = []
        self.cancelled: list[str] = []
        self.trouble: Exception | None = None
        self.asked = 0
        self.looked: list[str] = []
        self.listening: dict[str, list[Listener]] = {}

    def has(self, job_id: str, **more: Any) -> Job:
        """Have it know a job."""
        usual = {"name": "lab", "state": "running", "nodes": ("node1",), "submitted": 100.0, "starts": 110.0}
        job = self.known[job_id] = Job(id=job_id, **{**usual, **more})  # type: ignore[arg-type]
        return job

    def cluster(self) -> Cluster:
        self._fail()
        return CLUSTER

    def submit(self, submission: Submission) -> str:
        self._fail()
        self.submitted.append(submission)
        job_id = str(len(self.submitted) + 40)
        self.has(job_id, name=submission.name, state="pending", nodes=(), starts=None, comment=submission.comment)
        return job_id

    def submit_batch(self, script: bytes, file: Path, output: Path) -> str:
        self._fail()
        self.scripts.append(script)
        self.submitted.append(file)
        job_id = str(len(self.submitted) + 40)
        self.has(job_id, name=file.name, state="pending", nodes=(), starts=None)
        return job_id

    def jobs(self) -> list[Job]:
        self._fail()
        self.asked += 1
        return sorted(self.known.values(), key=lambda job: -int(job.id))

    def job(self, job_id: str) -> Job:
        self._fail()
        if job_id not in self.known:
            raise NoSuchJob(f"There is no job {job_id} of yours.")
        return self.known[job_id]

    def listeners(self, job_id: str) -> list[Listener]:
        self._fail()
        self.looked.append(job_id)
        return self.listening.get(job_id, [])

    def cancel(self, job_id: str) -> None:
        self.known[job_id] = msgspec.structs.replace(self.job(job_id), state="cancelled")
        self.cancelled.append(job_id)

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble
