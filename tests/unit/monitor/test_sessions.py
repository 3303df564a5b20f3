"""Workers from the request to the end, with a zygote and holders that the test plays."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from supercloud.monitor import sessions
from supercloud.monitor.breach import Breach
from supercloud.monitor.wire import Answer, WorkerEnded, WorkerRefused, WorkerStarted
from supercloud.packets import Gone
from supercloud.workers.wire import Born, Ended, Fork, Ready, Refused, Stop
from tests.fakes.holders import ALICE, MOST, Holder, Site


class Sleeper(NamedTuple):
    pid: int
    pidfd: int


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    """A process that does nothing by itself: a holder that hangs."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    yield Sleeper(pid, pidfd)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pidfd)


def ended(sleeper: Sleeper) -> signal.Signals | None:
    """By which signal a sleeper has ended; None when it has not."""
    found = os.waitid(os.P_PIDFD, sleeper.pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    return None if found is None else signal.Signals(found.si_status)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_a_worker_is_told_when_its_holder_says_so(site: Site) -> None:
    holder = site.start()
    assert holder.asked == Fork(1, 1001, "alice")
    assert holder.listening.getsockname().endswith("/1001-1.sock")
    site.turn()
    assert site.answers == []
    holder.status.send(Ready(4711))
    site.turn()
    assert site.answers == [WorkerStarted(5, 1, site.folder.full("1001-1.sock"), 4711)]
    site.turn(1000)
    assert len(site.answers) == 1


def test_a_number_is_never_used_again(site: Site) -> None:
    numbers = []
    for _ in range(3):
        holder = site.start()
        numbers.append(holder.asked.worker)
        holder.close()
        site.turn()
    assert numbers == [1, 2, 3]


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (Refused("expired", "PAM"), WorkerRefused(5, "expired", "PAM")),
        (Ended("exit 1"), WorkerRefused(5, "good", "exit 1")),
        (Stop(), WorkerRefused(5, "good", "its holder sent what cannot be read")),
    ],
)
def test_a_worker_that_does_not_begin_is_refused_once(site: Site, said: msgspec.Struct, refused: Answer) -> None:
    holder = site.start()
    holder.status.send(said)
    site.turn()
    holder.close()
    site.turn(100)
    assert site.answers == [refused]
    assert site.sockets == []


@pytest.mark.parametrize(
    ("said", "how"),
    [
        (Ended("signal 9"), "signal 9"),
        (Ready(1), "its holder said Ready out of turn"),
        (Refused("good", ""), "its holder said Refused out of turn"),
        (Stop(), "its holder sent what cannot be read"),
        (None, "its holder ended"),
    ],
)
def test_a_worker_ends_once(site: Site, said: msgspec.Struct | None, how: str) -> None:
    holder = site.serve()
    if said is None:
        holder.close()
    else:
        holder.status.send(said)
    site.turn()
    holder.close()
    site.turn(100)
    assert site.answers == [WorkerEnded(5, 1, how)]
    assert site.sockets == []


def test_a_holder_may_not_send_descriptors(site: Site) -> None:
    holder = site.start()
    reading, writing = os.pipe()
    holder.status.send(Ready(1), [reading])
    os.close(reading)
    site.turn()
    with pytest.raises(BrokenPipeError):  # nobody has the other end
        os.write(writing, b"x")
    os.close(writing)


def test_a_holder_that_does_not_report_is_killed_after_fifteen_seconds(site: Site, sleeper: Sleeper) -> None:
    holder = site.start()
    holder.status.send(Born(sleeper.pid), [sleeper.pidfd])
    site.turn()
    site.turn(14.9)
    assert (site.answers, ended(sleeper)) == ([], None)
    site.turn(0.2)
    assert site.answers == [WorkerRefused(5, "good", "no report within 15 s")]
    assert os.waitid(os.P_PIDFD, sleeper.pidfd, os.WEXITED | os.WNOWAIT) is not None
    assert ended(sleeper) == signal.SIGKILL
    with pytest.raises(Gone):
        holder.status.receive()


def test_a_holder_that_was_never_born_is_given_up_too(site: Site) -> None:
    holder = site.start()
    site.turn(15.1)
    assert site.answers == [WorkerRefused(5, "good", "no report within 15 s")]
    with pytest.raises(Gone):
        holder.status.send(Born(1))


def test_a_worker_is_asked_to_stop_once_and_killed_after_ten_seconds(site: Site, sleeper: Sleeper) -> None:
    """However often the front asks: it would begin the time anew each time."""
    holder = site.serve()
    holder.status.send(Born(sleeper.pid), [sleeper.pidfd])
    site.turn()
    site.sessions.stop(1)
    assert holder.status.receive() == (Stop(), [])
    site.turn(9.9)
    site.sessions.stop(1)
    assert (site.answers, ended(sleeper)) == ([], None)
    with pytest.raises(BlockingIOError):
        holder.status.receive()
    site.turn(0.2)
    assert site.answers == [WorkerEnded(5, 1, "stopped")]
    assert os.waitid(os.P_PIDFD, sleeper.pidfd, os.WEXITED | os.WNOWAIT) is not None
    site.sessions.stop(1)
    site.turn(100)
    assert len(site.answers) == 1


@pytest.mark.parametrize("said", [Ready(1), Refused("good", ""), Born(1), Stop(), None])
def test_a_holder_that_does_not_do_as_it_must_is_killed(
    site: Site, sleeper: Sleeper, said: msgspec.Struct | None
) -> None:
    holder = site.serve()
    holder.status.send(Born(sleeper.pid), [sleeper.pidfd])
    site.turn()
    if said is None:
        holder.status.socket.send(b"\xc1garbage")
    else:
        holder.status.send(said)
    site.turn()
    assert len(site.answers) == 1
    assert os.waitid(os.P_PIDFD, sleeper.pidfd, os.WEXITED | os.WNOWAIT) is not None
    assert ended(sleeper) == signal.SIGKILL


@pytest.mark.parametrize("count", [0, 2])
def test_a_holder_that_does_not_hand_over_one_pidfd_is_not_born(site: Site, count: int) -> None:
    holder = site.start()
    reading, writing = os.pipe()
    holder.status.send(Born(1), [reading] * count)
    os.close(reading)
    site.turn()
    assert site.answers == [WorkerRefused(5, "good", "its holder said Born out of turn")]
    with pytest.raises(BrokenPipeError):  # nobody has the other end
        os.write(writing, b"x")
    os.close(writing)


def test_no_descriptor_is_left_of_a_worker(site: Site, sleeper: Sleeper) -> None:
    before = len(os.listdir("/proc/self/fd"))
    holder = site.start()
    for message, descriptors in ((Born(sleeper.pid), [sleeper.pidfd]), (Ready(4711), []), (Ended("exit 0"), [])):
        holder.status.send(message, descriptors)
        site.turn()
    holder.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_there_is_a_most_of_workers_whatever_the_front_asks(site: Site) -> None:
    for _ in range(MOST):
        site.start()
    site.sessions.start(ALICE)
    assert site.answers == [WorkerRefused(5, "good", "3 workers are as many as there can be")]
    site.holders[0].close()
    site.turn()
    site.answers.clear()
    site.start()
    assert site.answers == []


def test_a_worker_that_is_stopped_while_it_starts_keeps_its_deadline(site: Site) -> None:
    holder = site.start()
    site.sessions.stop(1)
    holder.status.send(Ready(4711))
    site.turn()
    site.turn(10.1)
    assert site.answers[-1] == WorkerEnded(5, 1, "stopped")


def test_a_worker_that_stops_says_how(site: Site) -> None:
    holder = site.serve()
    site.sessions.stop(1)
    holder.status.send(Ended("exit 0"))
    site.turn()
    assert site.answers == [WorkerEnded(5, 1, "exit 0")]


def test_a_worker_that_has_just_ended_says_how_though_it_is_to_stop(site: Site) -> None:
    holder = site.serve()
    holder.status.send(Ended("signal 9"))
    holder.close()
    site.sessions.stop(1)
    site.turn()
    assert site.answers == [WorkerEnded(5, 1, "signal 9")]


@pytest.mark.parametrize("number", [0, 2, 2**63 - 1])
def test_stopping_a_worker_that_never_was_is_a_breach(site: Site, number: int) -> None:
    site.serve()
    with pytest.raises(Breach):
        site.sessions.stop(number)


def test_without_a_zygote_it_is_over(site: Site) -> None:
    site.zygote.close()
    with pytest.raises(Breach):
        site.sessions.start(ALICE)


def test_when_everybody_comes_at_once_each_has_a_turn_with_its_full_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "AT_ONCE", 2)
    site = Site(tmp_path, most=5)
    first, second = site.start(), site.start()
    for _ in range(3):
        site.sessions.start(ALICE)
    with pytest.raises(BlockingIOError):
        site.zygote.receive()
    site.sessions.start(ALICE)
    assert site.answers == [WorkerRefused(5, "good", "5 workers are as many as there can be")]
    site.turn(14)
    first.status.send(Ready(4711))
    second.status.send(Refused("locked", ""))
    site.turn()
    third, fourth = site.next(), site.next()
    assert (third.asked.worker, fourth.asked.worker) == (3, 4)
    site.turn(14)
    third.close()
    site.turn()
    assert site.next().asked.worker == 5
    assert len(site.answers) == 4
    site.close()


def test_a_zygote_that_does_not_read_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "AT_ONCE", 2000)
    site = Site(tmp_path, most=2000)
    for _ in range(2000):
        site.sessions.start(ALICE)
        if site.answers:
            break
    [refused] = site.answers
    assert isinstance(refused, WorkerRefused)
    assert (refused.state, refused.reason.startswith("none could be ordered: ")) == ("good", True)
    while len(site.holders) < len(site.sockets):
        asked, [listening, status] = site.zygote.receive()
        site.holders.append(Holder(asked, listening, status))
    site.close()


def test_a_socket_that_cannot_be_made_is_a_refusal(site: Site) -> None:
    Path(site.folder.full("1001-1.sock")).touch()
    before = len(os.listdir("/proc/self/fd"))
    site.sessions.start(ALICE)
    [refused] = site.answers
    assert isinstance(refused, WorkerRefused)
    assert (refused.state, refused.reason.startswith("none could be ordered: ")) == ("good", True)
    assert len(os.listdir("/proc/self/fd")) == before
