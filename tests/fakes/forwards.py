"""Forward files without a file system: modes and owners as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred

from supercloud.errors import NoWorker
from supercloud.identity import Principal
from supercloud.monitor.wire import ForwardOutcome, ForwardRead
from supercloud.target import Reservation
from supercloud.workers.job_told import JobAt


@dataclass(frozen=True)
class FakeFile:
    """:ivar executors: uids that may execute it."""

    uid: int
    data: bytes
    executors: frozenset[int]
    gid: int = 1001
    mode: int = 0o700
    inode: int = 1
    ctime: int = 1
    regular: bool = True
    outcome: ForwardOutcome = "read"

    @property
    def state(self) -> Reservation:
        return Reservation(1, self.inode, self.ctime, self.uid, self.gid, self.mode)


class FakeForwards:
    """Implements `routing.forwards.ForwardReader` and `WorkerAsk`.

    :ivar between: called after each check as a viewer, before the file is read.
    :ivar jobs: what workers know, by uid and node.
    :ivar found: names of which the state was asked for.
    :ivar asked: uid and name of each question about a viewer; ``read`` names that were read then.
    :ivar waiting: where questions about viewers wait; None: they do not.
    """

    def __init__(self) -> None:
        self.files: dict[str, FakeFile] = {}
        self.between: Callable[[], object] = lambda: None
        self.found: list[str] = []
        self.asked: list[tuple[int, str]] = []
        self.read: list[str] = []
        self.jobs: dict[tuple[int, str], JobAt] = {}
        self.waiting: list[Deferred[None]] | None = None
        self.is_silent = False

    def write(
        self, name: str, data: str, *, uid: int = 1001, executors: tuple[int, ...] = (1001,), **more: int
    ) -> None:
        """A file of somebody's; writing it again changes its state."""
        old = self.files.get(name)
        made = FakeFile(uid, data.encode(), frozenset(executors), **more)
        self.files[name] = made if old is None else replace(made, ctime=old.ctime + 1)

    def change(self, name: str, **fields: object) -> None:
        """Change what a file is, and so its ctime."""
        old = self.files[name]
        self.files[name] = replace(old, ctime=old.ctime + 1, **fields)  # type: ignore[arg-type]

    async def job_at(self, principal: Principal, node: str) -> JobAt | None:
        if self.is_silent:
            raise NoWorker("no worker")
        return self.jobs.get((principal.uid, node))

    async def find_forward(self, name: str) -> ForwardRead:
        self.found.append(name)
        if self.is_silent:
            raise NoWorker("the monitor is gone")
        file = self.files.get(name)
        if file is None:
            return ForwardRead(1, "absent", None, None)
        return ForwardRead(1, "found" if file.regular else "not-regular", file.state, None)

    async def read_forward(self, uid: int, name: str) -> ForwardRead:
        self.asked.append((uid, name))
        if self.waiting is not None:
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            await waiting
        if self.is_silent:
            raise NoWorker("the monitor is gone")
        found = self.files.get(name)
        if found is None:
            return ForwardRead(1, "absent", None, None)
        if not found.regular:
            return ForwardRead(1, "not-regular", found.state, None)
        if uid not in found.executors:
            return ForwardRead(1, "not-executable", found.state, None)
        self.between()
        self.read.append(name)
        file = self.files.get(name)
        if file is None or file.state != found.state:
            return ForwardRead(1, "changed", found.state, None)
        if file.outcome != "read":
            return ForwardRead(1, file.outcome, found.state, None)
        return ForwardRead(1, "read", found.state, file.data)
