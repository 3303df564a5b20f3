"""A front that reads nothing is busy, or stands still; it is not dead, and the monitor waits for it."""

from __future__ import annotations

import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from lab.monitor import ME, Start, is_alive

from supercloud.monitor.wire import AccountRead, ReadAccount

LONG = 7.0  # seconds; the monitor used to take a front that was silent for 5 for a breach


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_front_that_reads_nothing_for_long_gets_all_its_answers_afterwards(start: Start) -> None:
    monitor = start()
    assert monitor.state(ME.pw_uid) == "good"
    before = resident(monitor.process.pid)
    monitor.socket.setblocking(False)
    asked = 0
    ends = time.monotonic() + LONG
    while time.monotonic() < ends:
        with suppress(BlockingIOError):
            while asked < 100_000:
                monitor.socket.send(msgspec.msgpack.encode(ReadAccount(asked, ME.pw_uid)))
                asked += 1
        time.sleep(0.02)
    assert 300 < asked < 5000  # it reads no more while its answers wait
    assert monitor.process.poll() is None
    assert resident(monitor.process.pid) - before < 8 * 2**20
    monitor.socket.settimeout(15)
    answers = [monitor.next() for _ in range(asked)]
    assert {answer.id for answer in answers} == set(range(asked))
    assert all(isinstance(answer, AccountRead) for answer in answers)
    assert monitor.state(ME.pw_uid) == "good"


def test_a_monitor_that_stood_still_answers_what_was_asked_meanwhile(start: Start) -> None:
    """The child that answers has had its time too, and is not taken for one that hangs."""
    monitor = start()
    assert monitor.state(ME.pw_uid) == "good"
    worker = monitor.start()
    os.kill(monitor.process.pid, signal.SIGSTOP)
    for number in range(50):
        monitor.packets.send(ReadAccount(number, ME.pw_uid))
    time.sleep(LONG)
    os.kill(monitor.process.pid, signal.SIGCONT)
    answers = [monitor.next() for _ in range(50)]
    assert {(answer.id, answer.state) for answer in answers if isinstance(answer, AccountRead)} == {
        (number, "good") for number in range(50)
    }
    assert is_alive(worker.pid)
