"""Children that answer for the monitor, and may hang: bounded in number and time, killed past their deadline.

NSS, PAM and /proc are asked in these only, never in the monitor's loop.
"""

from __future__ import annotations

import enum
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from supercloud.monitor.kill import kill_tree
from supercloud.monitor.loop import Loop, Timer
from supercloud.packets import Garbled, Gone, Packets, close_all
from supercloud.workers import kernel
from supercloud.workers.confine import keep_only

# Answers a question; called in a child, with the descriptors that came with it.
Serve = Callable[[Any, list[int]], msgspec.Struct]
Done = Callable[[Any], object]


class Missed(enum.Enum):
    """Why a question has no answer."""

    FULL = "too many at once"
    SLOW = "no answer within the deadline"
    BROKEN = "it failed"


@dataclass(frozen=True, slots=True)
class Kind:
    """What some children are for.

    :ivar name: of their processes; at most 15 letters.
    :ivar question, answer: msgspec structs.
    :ivar uses: questions that each answers before it ends; making a child costs some 3 ms.
    """

    name: str
    question: Any
    answer: Any
    serve: Serve
    uses: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """:ivar descriptors: belong to this."""

    question: msgspec.Struct
    done: Done
    descriptors: Sequence[int]


class Children:
    """All of one kind.

    :param seconds: for each answer.
    :param most: at once. One that is killed counts until it is gone: a process can wait for a dead file server.
    :param waiting: questions that may wait for their turn.
    :ivar count: how many there are.
    """

    def __init__(self, loop: Loop, kind: Kind, *, seconds: float, most: int, waiting: int = 0) -> None:
        self._loop = loop
        self._kind = kind
        self._seconds = seconds
        self._most = most
        self._most_waiting = waiting
        self.count = 0
        self._unused: list[_Child] = []
        self._waiting: deque[_Asked] = deque()

    def ask(self, question: msgspec.Struct, done: Done, descriptors: Sequence[int] = ()) -> None:
        """Have a question answered.

        :param done: called once, with the answer or with a `Missed`.
        :param descriptors: that the child gets; closed here in any case.
        """
        if self._has_room or len(self._waiting) < self._most_waiting:
            self._waiting.append(_Asked(question, done, descriptors))
            self._go_on()
        else:
            close_all(descriptors)
            done(Missed.FULL)

    @property
    def is_idle(self) -> bool:
        """Whether there is none, and no question either."""
        return not self.count and not self._waiting

    @property
    def _has_room(self) -> bool:
        return bool(self._unused) or self.count < self._most

    def _go_on(self) -> None:
        while self._waiting and self._has_room:
            asked = self._waiting.popleft()
            try:
                child = self._unused.pop() if self._unused else self._make()
            except OSError:  # no more processes or descriptors for now: that is nobody's end
                asked.done(Missed.BROKEN)
            else:
                self._hand(child, asked)
            finally:
                close_all(asked.descriptors)

    def _make(self) -> _Child:
        """:raises OSError: there can be none now."""
        child = _fork(self._kind)
        self.count += 1
        self._loop.watch(child.pidfd, lambda: self._ended(child))
        self._loop.watch(child.link.socket.fileno(), lambda: self._heard(child))
        return child

    def _hand(self, child: _Child, asked: _Asked) -> None:
        child.left -= 1
        child.done = asked.done
        child.timer = self._loop.after(self._seconds, child.kill)
        try:
            child.link.send(asked.question, asked.descriptors)
        except (Gone, OSError):  # it has just ended, or too many descriptors are on their way
            child.kill(Missed.BROKEN)

    def _heard(self, child: _Child) -> None:
        answer = child.answer()
        if isinstance(answer, Missed):  # it ends, or must
            self._loop.unwatch(child.link.socket.fileno())
            self._use_no_more(child)
            child.kill(answer)
        elif child.done is not None:  # and not late
            child.tell(answer)
            if child.left:
                self._unused.append(child)
                self._go_on()

    def _ended(self, child: _Child) -> None:
        self._loop.unwatch(child.pidfd)
        self._loop.unwatch(child.link.socket.fileno())
        self.count -= 1
        self._use_no_more(child)
        child.tell(child.answer())
        child.close()
        self._go_on()

    def _use_no_more(self, child: _Child) -> None:
        with suppress(ValueError):  # mostly it is in use
            self._unused.remove(child)


class _Child:
    """One of them. Its id is its own until `close`.

    :ivar left: questions that it may still be asked.
    :ivar done: who waits for an answer; None when nobody does.
    """

    def __init__(self, pid: int, pidfd: int, link: Packets[Any], uses: int) -> None:
        self.pidfd = pidfd
        self.link = link
        self.left = uses
        self.done: Done | None = None
        self.timer: Timer | None = None
        self._pid = pid

    def answer(self) -> Any:
        """What it has said: its answer, or that there will be none."""
        try:
            answer, descriptors = self.link.receive()
        except (Gone, Garbled, BlockingIOError):
            return Missed.BROKEN
        close_all(descriptors)
        return answer

    def tell(self, answer: Any) -> None:
        """Whoever waits, if anybody still does."""
        if self.timer is not None:
            self.timer.cancel()
        done, self.done = self.done, None
        if done is not None:
            done(answer)

    def kill(self, missed: Missed = Missed.SLOW) -> None:
        """Its time is up, or it does not do as it must; `Children` hears of its end."""
        self.left = 0
        kill_tree(self._pid, self.pidfd)
        self.tell(missed)

    def close(self) -> None:
        """It has ended."""
        os.waitpid(self._pid, 0)
        os.close(self.pidfd)
        self.link.close()


def _fork(kind: Kind) -> _Child:
    """:raises OSError: there can be no child now."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    parent = os.getpid()
    try:
        with theirs:
            pid = os.fork()
            if pid == 0:
                _be_child(parent, kind, theirs)
            pidfd = _open(pid)
    except OSError:
        ours.close()
        raise
    return _Child(pid, pidfd, Packets(ours, kind.answer), kind.uses)


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


def _be_child(parent: int, kind: Kind, connected: socket.socket) -> NoReturn:
    """In the child: answer, and end whatever happens."""
    code = 1
    try:
        kernel.end_with(parent)
        kernel.name_process(kind.name)
        keep_only([connected.fileno()])
        link: Packets[Any] = Packets(connected, kind.question)
        for _ in range(kind.uses):
            question, descriptors = link.receive()
            link.send(kind.serve(question, descriptors))
            close_all(descriptors)
        code = 0
    except Gone:  # the monitor is
        code = 0
    except BaseException as error:  # its text may hold what nobody should read
        os.write(2, f"supercloud monitor: a child ended by {type(error).__name__}\n".encode())
    finally:
        os._exit(code)
