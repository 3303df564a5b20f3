"""A session holder of this account, as the embedded portal has it; those of others are in the integration tests."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supercloud.monitor.wire import Task
from supercloud.packets import Gone, Packets, close_all
from supercloud.workers.child import Make
from supercloud.workers.holder import Terms, hold
from supercloud.workers.wire import Born, Ended, Fork, Ready, Refused, Status, Stop
from tests.unit.workers.test_application import TASK

OWN = msgspec.structs.replace(TASK, only_uid=os.getuid(), front_uid=os.getuid())
LOGIN = pwd.getpwuid(os.getuid()).pw_name


class Holder:
    """One, as the monitor sees it."""

    def __init__(self, folder: Path, make: Make, task: Task = OWN, login: str = LOGIN) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(10)
        self.path = str(folder / "socket")
        self.status: Packets[Status] = Packets(ours, Status)
        with theirs, socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.path)
            self.pid = os.fork()
            if self.pid == 0:
                try:
                    terms = Terms(task, make, start_within=0.3, stop_within=0.3)
                    hold(terms, Fork(1, os.getuid(), login), listening, theirs)
                finally:
                    os._exit(0)

    def says(self) -> Status:
        said, descriptors = self.status.receive()
        close_all(descriptors)
        return said

    def close(self) -> None:
        self.status.close()
        os.waitpid(self.pid, 0)


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[Callable[..., Holder]]:
    """Forks a holder that says that it was born."""
    made: list[Holder] = []

    def fork(make: Make, **fields: Any) -> Holder:
        made.append(Holder(tmp_path, make, **fields))
        assert made[-1].says() == Born(made[-1].pid)
        return made[-1]

    yield fork
    for one in made:
        one.close()


def hello(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def stopped(task: Task, home: str) -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)


def broken(task: Task, home: str) -> Any:
    raise ValueError("no application")


def killed(task: Task, home: str) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_serves_and_is_stopped(fork: Callable[..., Holder]) -> None:
    holder = fork(lambda task, home: hello)
    said = holder.says()
    assert isinstance(said, Ready)
    with socket.socket(socket.AF_UNIX) as front:
        front.connect(holder.path)
        front.sendall(b"GET / HTTP/1.1\r\nHost: portal.test\r\n\r\n")
        assert front.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    holder.status.send(Stop())
    assert holder.says() == Ended("stopped")
    with pytest.raises(ProcessLookupError):
        os.kill(said.pid, 0)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (broken, "ValueError: no application"),
        (killed, "the worker ended before it listened: signal 9"),
        (stopped, "the worker was not ready within 0.3 s"),
    ],
)
def test_a_worker_that_does_not_begin_is_told_and_gone(fork: Callable[..., Holder], make: Make, reason: str) -> None:
    holder = fork(make)
    assert holder.says() == Refused("good", reason)
    with pytest.raises(Gone):
        holder.says()


def test_who_may_have_no_worker_is_refused_before_anything_is_forked(fork: Callable[..., Holder]) -> None:
    said = fork(lambda task, home: hello, login="somebody-else").says()
    assert isinstance(said, Refused)
    assert said.state == "renamed"


def test_a_worker_that_was_stopped_by_its_user_is_killed(fork: Callable[..., Holder]) -> None:
    holder = fork(lambda task, home: hello)
    said = holder.says()
    assert isinstance(said, Ready)
    os.kill(said.pid, signal.SIGSTOP)
    began = time.monotonic()
    holder.status.send(Stop())
    assert holder.says() == Ended("stopped")
    assert 0.2 < time.monotonic() - began < 5


@pytest.mark.parametrize(("number", "how"), [(signal.SIGKILL, "signal 9"), (signal.SIGTERM, "exit 0")])
def test_how_a_worker_ended_is_told(fork: Callable[..., Holder], number: signal.Signals, how: str) -> None:
    holder = fork(lambda task, home: hello)
    said = holder.says()
    assert isinstance(said, Ready)
    os.kill(said.pid, number)
    assert holder.says() == Ended(how)


def test_without_a_monitor_a_worker_ends(fork: Callable[..., Holder]) -> None:
    holder = fork(lambda task, home: hello)
    said = holder.says()
    assert isinstance(said, Ready)
    watched = os.pidfd_open(said.pid)
    holder.status.socket.shutdown(socket.SHUT_RDWR)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(watched, 0)  # type: ignore[arg-type]
    os.close(watched)
