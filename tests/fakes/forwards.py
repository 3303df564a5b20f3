"""Forward files without a file system: modes and owners as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred

from supercloud.errors import NoWorker
from supercloud.identity import Principal
from supercloud.monitor.wire import ForwardFile, ForwardOutcome, ForwardRead
from supercloud.workers.forward_check import Checked
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


class FakeForwards:
    """Implements `routing.forwards.ForwardReader` and `WorkerAsk`.

    :ivar between: called after each check, before the file is read.
    :ivar jobs: what workers know, by uid and node.
    :ivar checked, read: names that were asked for, in order.
    """

    def __init__(self) -> None:
        self.files: dict[str, FakeFile] = {}
        self.between: Callable[[], object] = lambda: None
        self.checked: list[tuple[str, str]] = []
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

    async def may_execute(self, principal: Principal, name: str) -> Checked | None:
        self.checked.append((principal.login, name))
        if self.waiting is not None:
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            await waiting
        if self.is_silent:
            raise NoWorker("no worker")
        file = self.files.get(name)
        answer = None
        if file is not None:
            allowed = file.regular and principal.uid in file.executors
            answer = Checked(1, file.inode, file.ctime, file.uid, file.regular, allowed)
        self.between()
        return answer

    async def job_at(self, principal: Principal, node: str) -> JobAt | None:
        if self.is_silent:
            raise NoWorker("no worker")
        return self.jobs.get((principal.uid, node))

    async def read_forward(self, name: str, *, asker: int) -> ForwardRead:
        self.read.append(name)
        file = self.files.get(name)
        if file is None:
            return ForwardRead(1, "absent", None)
        if file.outcome != "read":
            return ForwardRead(1, file.outcome, None)
        return ForwardRead(1, "read", ForwardFile(1, file.inode, file.ctime, file.uid, file.gid, file.mode, file.data))
