"""Workers without processes: a monitor that a test answers for, and their connections."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.errors import NoWorker, PortalError
from supercloud.monitor.wire import AccountState, WorkerRefused, WorkerStarted
from supercloud.upstream.http11 import Connection
from tests.fakes.dialer import FakeUpstream


class FakeMonitor:
    """Implements `workers.pool.Starts`.

    :ivar refuses: said to whoever wants a worker.
    :ivar is_slow: answers come by `answer` only.
    :ivar states: of accounts, by uid; the others are good.
    """

    def __init__(self) -> None:
        self.started: list[tuple[int, str]] = []
        self.stopped: list[int] = []
        self.refuses: WorkerRefused | PortalError | None = None
        self.is_slow = False
        self.is_silent = False
        self.states: dict[int, AccountState] = {}
        self._waiting: list[Deferred[None]] = []

    async def start_worker(self, uid: int, login: str) -> WorkerStarted | WorkerRefused:
        self.started.append((uid, login))
        number = len(self.started)
        if self.is_slow:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        if isinstance(self.refuses, PortalError):
            raise self.refuses
        return self.refuses or WorkerStarted(number, number, f"/run/{uid}-{number}.sock", 4000 + number)

    def answer(self) -> None:
        """Let all that wait have their answers."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def stop_worker(self, worker: int) -> None:
        self.stopped.append(worker)

    async def read_account(self, uid: int) -> AccountState:
        if self.is_silent:
            raise NoWorker("the monitor does not answer")
        return self.states.get(uid, "good")


class FakeWorkerDialer:
    """Implements `upstream.unix.WorkerDialer`; ``upstreams`` are the workers' ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.upstreams: list[FakeUpstream] = []
        self.dialled: list[tuple[str, int]] = []
        self.refuses: PortalError | None = None

    async def dial(self, path: str, uid: int) -> Connection:
        self.dialled.append((path, uid))
        if self.refuses is not None:
            raise self.refuses
        self.upstreams.append(FakeUpstream(self._clock, 0, None))
        return self.upstreams[-1].connection

    def __getitem__(self, index: int) -> FakeUpstream:
        return self.upstreams[index]

    def __len__(self) -> int:
        return len(self.upstreams)
