from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from supercloud.authn.seal import Sealer
from supercloud.authn.session import Sessions
from supercloud.authn.store import SqliteStore
from supercloud.authn.ticket import Tickets
from supercloud.config import SessionLife
from supercloud.config_values import Duration
from supercloud.identity import Principal
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload

IDLE = 3600.0
ABSOLUTE = 10000.0

ALICE = Principal("alice", 1001, 1001, frozenset({1001}))
BOB = Principal("bob", 1002, 1002, frozenset({1002}))


@dataclass
class Process:
    """One of the portal's processes: its own memory and its own connection to the store that all share."""

    sealer: Sealer
    store: SqliteStore
    clock: Clock
    offload: FakeOffload
    sessions: Sessions
    tickets: Tickets


@dataclass
class Portal:
    """Starts processes on one state folder; their clock is also the wall clock."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    key: bytes = bytes(range(32))
    processes: list[Process] = field(default_factory=list)

    def process(self, *, started: bool = True) -> Process:
        now = self.clock.seconds
        store = SqliteStore(self.path, now=now)
        store.open()
        sealer, offload = Sealer([self.key]), FakeOffload()
        sessions = Sessions(
            sealer=sealer,
            store=store,
            offload=offload,
            clock=self.clock,
            now=now,
            life=SessionLife(idle=Duration(IDLE), absolute=Duration(ABSOLUTE)),
        )
        tickets = Tickets(sealer=sealer, sessions=sessions, store=store, offload=offload, now=now)
        made = Process(sealer, store, self.clock, offload, sessions, tickets)
        self.processes.append(made)
        if started:
            sessions.start()
        return made

    def stop(self, process: Process) -> None:
        self.processes.remove(process)
        run(process.sessions.stop())
        process.store.close()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("store") / "sessions.sqlite"
    store = SqliteStore(path, now=lambda: 0.0)
    store.open()
    store.close()
    return path.read_bytes()


@pytest.fixture
def store_path(tmp_path: Path, empty_store: bytes) -> Path:
    """A store's file as the portal made it earlier; making one costs more than a test may."""
    path = tmp_path / "sessions.sqlite"
    path.touch(0o600)
    path.write_bytes(empty_store)
    return path


@pytest.fixture
def portal(store_path: Path) -> Iterator[Portal]:
    made = Portal(store_path)
    made.clock.advance(1_000_000.0)
    yield made
    for process in list(made.processes):
        made.stop(process)
    assert made.clock.getDelayedCalls() == []


@pytest.fixture
def here(portal: Portal) -> Process:
    return portal.process()
