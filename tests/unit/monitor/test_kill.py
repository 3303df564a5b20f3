from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from supercloud.monitor.kill import kill_tree


@pytest.fixture
def shell() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A program with a child in a session of its own; both have the writing end of the pipe."""
    reading, writing = os.pipe()
    script = "setsid sleep 60 & echo; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], pass_fds=[writing], stdout=subprocess.PIPE) as process:
        os.close(writing)
        assert process.stdout is not None
        process.stdout.readline()
        pidfd = os.pidfd_open(process.pid)
        yield process, reading
        kill_tree(process.pid, pidfd)
        os.close(pidfd)
    os.close(reading)


def test_what_a_process_started_in_another_session_ends_with_it(shell: tuple[subprocess.Popen[bytes], int]) -> None:
    process, reading = shell
    pidfd = os.pidfd_open(process.pid)
    os.kill(process.pid, signal.SIGSTOP)
    kill_tree(process.pid, pidfd)
    os.close(pidfd)
    assert process.wait() == -signal.SIGKILL
    assert select.select([reading], [], [], 10)[0]  # at its end: nobody has the writing end any more


def test_a_number_that_is_somebody_elses_by_now_is_not_meant(shell: tuple[subprocess.Popen[bytes], int]) -> None:
    process, _ = shell
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    pidfd = os.pidfd_open(gone)
    os.waitpid(gone, 0)
    kill_tree(process.pid, pidfd)  # as if the new one had got the number
    os.close(pidfd)
    assert process.poll() is None
