"""What a `PasswordCheck` does, said of the fake and of the monitor's client."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.authn.password import PasswordCheck
from supercloud.errors import NoWorker
from supercloud.monitor.client import PASSWORD_WITHIN, Monitor
from supercloud.monitor.passwords import read_password
from supercloud.monitor.wire import CheckPassword, PasswordChecked, PasswordOutcome, Request
from tests.fakes.awaiting import run
from tests.fakes.passwords import FakePasswordCheck

Ask = Callable[[str, bytes], PasswordOutcome]


class Reactor(Clock):
    """A clock that stands still, and descriptors that are read when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        pass


class Real:
    """The monitor's client; a thread-less monitor answers for alice, whose password is ``alice-secret``."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setblocking(False)
        self.monitor = Monitor(self.reactor, ours, lambda *_: None, lambda _: None)

    def ask(self, login: str, password: bytes) -> PasswordOutcome:
        check: PasswordCheck = self.monitor
        got: list[PasswordOutcome] = []
        asking = Deferred.fromCoroutine(check.check_password(login, password, "192.0.2.7"))
        asking.addCallback(got.append)
        if not got:
            data, [reading], _, _ = socket.recv_fds(self.theirs, 65536, 4)
            request = msgspec.msgpack.decode(data, type=Request)
            assert isinstance(request, CheckPassword)
            is_right = (request.login, read_password(reading)) == ("alice", "alice-secret")
            os.close(reading)
            answer = PasswordChecked(request.id, "good" if is_right else "bad")
            self.theirs.send(msgspec.msgpack.encode(answer))
            for reader in list(self.reactor.readers):
                reader.doRead()
        [outcome] = got
        return outcome

    def close(self) -> None:
        self.monitor.close()
        self.theirs.close()


@pytest.fixture
def real() -> Iterator[Real]:
    made = Real()
    yield made
    made.close()


@pytest.fixture(params=["fake", "real"])
def ask(request: pytest.FixtureRequest, real: Real) -> Ask:
    if request.param == "real":
        return real.ask
    fake: PasswordCheck = FakePasswordCheck("alice")
    return lambda login, password: run(fake.check_password(login, password, "192.0.2.7"))


def test_the_right_one_is_good(ask: Ask) -> None:
    assert ask("alice", b"alice-secret") == "good"


@pytest.mark.parametrize("password", [b"wrong", b"", b"alice-secret\0", b"x" * 1025])
def test_any_other_is_bad(ask: Ask, password: bytes) -> None:
    assert ask("alice", password) == "bad"


@pytest.mark.parametrize("login", ["nobody", "", "a/b", "a b", "x" * 100_000, "\udcff"])
def test_nobodys_is_bad(ask: Ask, login: str) -> None:
    assert ask(login, b"alice-secret") == "bad"


def test_silence_and_a_monitor_that_is_gone_let_nobody_in(real: Real) -> None:
    got: list[Any] = []
    Deferred.fromCoroutine(real.monitor.check_password("alice", b"x", "192.0.2.7")).addBoth(got.append)
    real.reactor.advance(PASSWORD_WITHIN)
    assert got == ["slow"]
    real.monitor.close()
    with pytest.raises(NoWorker):
        run(real.monitor.check_password("alice", b"x", "192.0.2.7"))
