"""What the pages and the commands know about jobs, whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

State = Literal["pending", "running", "ending", "done", "failed", "cancelled", "timed-out", "lost"]

# These come to no other state any more.
OVER: Final[frozenset[State]] = frozenset({"done", "failed", "cancelled", "timed-out", "lost"})


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job of the account's own.

    :ivar reason: why it waits or how it failed, in the scheduler's own word; "" when there is nothing to say.
    :ivar nodes: where it runs; empty while it waits.
    :ivar submitted, starts, ends: seconds since the epoch. ``starts`` of a waiting job is when the scheduler expects
        it; ``ends`` of a running one is its limit.
    :ivar comment: says what it is for.
    :ivar folder: where it was submitted.
    """

    id: str
    name: str
    state: State
    reason: str = ""
    nodes: tuple[str, ...] = ()
    partition: str = ""
    submitted: float | None = None
    starts: float | None = None
    ends: float | None = None
    comment: str = ""
    folder: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it will never run again."""
        return self.state in OVER


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of a partition that are alike.

    :ivar memory: MiB of each.
    :ivar gpus: kind ("" where they have none) → how many a node has.
    """

    count: int
    cpus: int
    memory: int
    gpus: Mapping[str, int] = {}
    features: tuple[str, ...] = ()


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the cluster that takes jobs.

    :ivar longest, usual: minutes that a job may take, and gets when it asks for none; None is no limit.
    """

    name: str
    is_default: bool = False
    is_up: bool = True
    longest: int | None = None
    usual: int | None = None
    nodes: tuple[Nodes, ...] = ()


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What jobs can ask for.

    :ivar kind: of the scheduler, "slurm" or "local".
    """

    kind: str
    partitions: tuple[Partition, ...] = ()


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A program of the account's own that listens.

    :ivar name: of the program.
    """

    node: str
    port: int
    name: str


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """An application's job to be.

    :ivar script: a shell script that the account can read on every node; it finds its ports in SLURM_STEP_RESV_PORTS,
        one number or a range.
    :ivar folder: that it starts in.
    :ivar output: file for what it prints.
    :ivar memory: MiB of each node; None is the partition's default.
    :ivar gpus: of each node, of ``gpu_kind`` if that is said.
    :ivar minutes: that it may take; None is the partition's default.
    :ivar features: that its nodes must have.
    :ivar ports: TCP ports that nobody else is given while it runs.
    :ivar more: further options of the scheduler's own, as its command line takes them.
    """

    name: str
    script: Path
    folder: Path
    output: Path
    comment: str = ""
    partition: str = ""
    nodes: int = 1
    cpus: int = 1
    memory: int | None = None
    gpus: int = 0
    gpu_kind: str = ""
    minutes: int | None = None
    features: tuple[str, ...] = ()
    ports: int = 1
    more: tuple[str, ...] = ()


class SchedulerError(Exception):
    """The scheduler did not do it; its text is for the person, and says what to do."""


class Refused(SchedulerError):
    """It will not take this job, or do this to that job, as it is."""


class Silent(SchedulerError):
    """It does not answer; it may later."""


class NoSuchJob(SchedulerError):
    """There is no such job of this account's any more."""


class Scheduler(Protocol):
    """Runs jobs of the account that this process is. May wait: never called in a reactor's thread."""

    def cluster(self) -> Cluster:
        """:raises Silent: nobody could say."""

    def submit(self, submission: Submission) -> str:
        """:returns: the job's id.

        :raises Refused, Silent: there is no such job then.
        """

    def submit_batch(self, script: bytes, file: Path, output: Path) -> str:
        """Have a batch script of the person's own run, with what it asks for itself.

        :param file: where it was read; the job has its name, and runs in its folder. It is not read again.
        :returns: the job's id.
        :raises Refused, Silent: there is no such job then.
        """

    def jobs(self) -> list[Job]:
        """All of this account that the scheduler remembers, the newest first.

        :raises Silent: nobody could say.
        """

    def job(self, job_id: str) -> Job:
        """:raises NoSuchJob, Silent: it cannot be told."""

    def listeners(self, job_id: str) -> list[Listener]:
        """What listens on the nodes of a running job, and can be reached from elsewhere.

        :raises Silent, Refused: nobody could look.
        """

    def cancel(self, job_id: str) -> None:
        """End it, with all of its processes.

        :raises NoSuchJob, Refused, Silent: it was not.
        """
