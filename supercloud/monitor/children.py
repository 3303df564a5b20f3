"""Children for one call each, that may hang: bounded in number and time, killed past their deadline.

NSS, PAM and /proc are asked in these only, never in the monitor's loop.
"""

from __future__ import annotations

import enum
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from supercloud.monitor.loop import Loop, Timer
from supercloud.packets import Garbled, Gone, Packets, close_all
from supercloud.workers import kernel
from supercloud.workers.confine import keep_only


class Missed(enum.Enum):
    """Why a call has no answer."""

    FULL = "too many at once"
    SLOW = "no answer within the deadline"
    BROKEN = "the call failed"


@dataclass(frozen=True, slots=True)
class _Call:
    """:ivar descriptor: that the call uses; belongs to this."""

    call: Callable[[], msgspec.Struct]
    done: Callable[[Any], object]
    descriptor: int | None

    def drop(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


class Children:
    """Runs calls of one kind.

    :param kind: of the answer: a msgspec struct.
    :param seconds: each may take.
    :param most: at once. One that is killed counts until it is gone: a process can wait for a dead file server.
    :param waiting: more that may wait for their turn.
    """

    def __init__(self, loop: Loop, kind: Any, *, seconds: float, most: int, waiting: int = 0) -> None:
        self._loop = loop
        self._kind = kind
        self._seconds = seconds
        self._most = most
        self._most_waiting = waiting
        self._running = 0
        self._waiting: deque[_Call] = deque()

    def run(
        self, call: Callable[[], msgspec.Struct], done: Callable[[Any], object], descriptor: int | None = None
    ) -> None:
        """Make a call in a child.

        :param done: called once, with what the call returned, or with a `Missed`.
        :param descriptor: the one that the child gets; closed here in any case.
        """
        wanted = _Call(call, done, descriptor)
        if self._running < self._most:
            self._start(wanted)
        elif len(self._waiting) < self._most_waiting:
            self._waiting.append(wanted)
        else:
            wanted.drop()
            done(Missed.FULL)

    def _start(self, wanted: _Call) -> None:
        try:
            child = _fork(wanted, self._kind)
        except OSError:  # no more processes or descriptors for now: that is nobody's end
            wanted.done(Missed.BROKEN)
            return
        finally:
            wanted.drop()
        self._running += 1
        timer = self._loop.after(self._seconds, child.kill)
        self._loop.watch(child.pidfd, lambda: self._ended(child, timer))

    def _ended(self, child: _Child, timer: Timer) -> None:
        timer.cancel()
        self._loop.unwatch(child.pidfd)
        self._running -= 1
        child.finish()
        while self._waiting and self._running < self._most:
            self._start(self._waiting.popleft())


class _Child:
    """A process that makes one call. Its id is its own until `finish`."""

    def __init__(self, pid: int, pidfd: int, answers: Packets[Any], done: Callable[[Any], object]) -> None:
        self.pidfd = pidfd
        self._pid = pid
        self._answers = answers
        self._done: Callable[[Any], object] | None = done

    def kill(self) -> None:
        """Its time is up."""
        _kill_tree(self._pid)
        self._tell(Missed.SLOW)

    def finish(self) -> None:
        """It has ended."""
        os.waitpid(self._pid, 0)
        os.close(self.pidfd)
        answer: Any = Missed.BROKEN
        with suppress(Garbled, Gone, OSError):
            answer, descriptors = self._answers.receive()
            close_all(descriptors)
        self._answers.close()
        self._tell(answer)

    def _tell(self, answer: Any) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(answer)


def _fork(wanted: _Call, kind: Any) -> _Child:
    """:raises OSError: there can be no child now."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    parent = os.getpid()
    try:
        with theirs:
            pid = os.fork()
            if pid == 0:
                _be_child(parent, wanted, theirs)
            pidfd = _open(pid)
    except OSError:
        ours.close()
        raise
    return _Child(pid, pidfd, Packets(ours, kind), wanted.done)


def _open(child: int) -> int:
    """A pidfd. A child without one could not be waited for: it is ended.

    :raises OSError: there are no more descriptors.
    """
    try:
        return os.pidfd_open(child)
    except OSError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def _be_child(parent: int, wanted: _Call, answers: socket.socket) -> NoReturn:
    """In the child: make the call, and end whatever happens."""
    code = 1
    try:
        kernel.end_with(parent)
        keep_only([answers.fileno(), *(() if wanted.descriptor is None else (wanted.descriptor,))])
        Packets[Any](answers, Any).send(wanted.call())
        code = 0
    except BaseException as error:  # its text may hold what nobody should read
        os.write(2, f"supercloud monitor: a child ended by {type(error).__name__}\n".encode())
    finally:
        os._exit(code)


def _kill_tree(pid: int) -> None:
    """Kill a process and what it started. A group or session would not do: pam_exec(8) makes one for each program.

    Each is stopped before its children are looked up: it cannot wait for one then, so their numbers stay theirs.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        for child in _children(pid):
            _kill_tree(child)
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """proc(5), /proc/PID/task/TID/children; none where the kernel does not tell."""
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()))
    except OSError:
        return []
