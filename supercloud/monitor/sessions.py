"""The workers that there are, each with its session holder: from the request to the end."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

from supercloud.monitor.breach import Breach
from supercloud.monitor.folder import Folder
from supercloud.monitor.kill import kill_tree
from supercloud.monitor.loop import Loop, Timer
from supercloud.monitor.wire import AccountState, Answer, StartWorker, WorkerEnded, WorkerRefused, WorkerStarted
from supercloud.packets import Garbled, Gone, Packets, close_all
from supercloud.workers.wire import Born, Ended, Fork, Ready, Refused, Status, Stop

_MOST_TEXT: Final = 1024  # letters of a reason
# Workers that are started at the same time; each takes 20 ms of processor time. When the portal was started anew and
# all its users come at once, each has its turn in time; were all started together, none would be ready in time.
AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds; a holder that takes longer is killed, and its worker with it.

    :ivar start: from its order to the zygote until a holder reports; it kills its worker after 10 by itself.
    :ivar stop: from a holder's being told to stop until it reports: 5 for the worker, the rest for the PAM session.
    """

    start: float = 15.0
    stop: float = 10.0


class _Session:
    """One worker.

    :ivar holder: process id and pidfd of its holder, once that has introduced itself.
    :ivar is_stopped: its holder was told; once, so that its time is not begun anew.
    """

    def __init__(self, number: int, request: StartWorker, name: str, status: Packets[Status]) -> None:
        self.number = number
        self.request = request
        self.name = name
        self.status = status
        self.holder: tuple[int, int] | None = None
        self.is_stopped = False
        self.timer: Timer | None = None

    def wait_for(self, timer: Timer | None) -> None:
        """A deadline instead of the one before, or none."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer

    def kill(self) -> None:
        """End the holder, its worker and what PAM's modules have started."""
        if self.holder is not None:
            kill_tree(*self.holder)

    def close(self) -> None:
        """Let go of it. The end of the status socket tells its holder to end the worker, if it is still there."""
        self.wait_for(None)
        self.status.close()
        if self.holder is not None:
            os.close(self.holder[1])


class Sessions:
    """All of them.

    :param zygote: takes `Fork`; must not block.
    :param most: that there may be, those that wait for their turn included; each takes two descriptors.
    """

    def __init__(
        self,
        loop: Loop,
        folder: Folder,
        zygote: Packets[Any],
        answer: Callable[[Answer], object],
        *,
        most: int,
        patience: Patience,
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._zygote = zygote
        self._answer = answer
        self._most = most
        self._patience = patience
        self._last = 0
        self._by_number: dict[int, _Session] = {}
        self._starting: set[_Session] = set()
        self._waiting: deque[StartWorker] = deque()

    def start(self, request: StartWorker) -> None:
        """Have a worker forked when it is its turn; an answer follows. Its holder judges the account first.

        :raises Breach: the zygote is gone.
        """
        if len(self._by_number) + len(self._waiting) >= self._most:
            self._refuse(request, "good", f"{self._most} workers are as many as there can be")
            return
        self._waiting.append(request)
        self._go_on()

    def stop(self, number: int) -> None:
        """End a worker; one that has ended already is no mistake.

        :raises Breach: no worker ever had that number.
        """
        if not 1 <= number <= self._last:
            raise Breach("stop-worker for a worker that never was")
        session = self._by_number.get(number)
        if session is None or session.is_stopped:
            return
        session.is_stopped = True
        with suppress(Gone, BlockingIOError):  # it has just ended, which is read in a moment; or it hangs
            session.status.send(Stop())
        session.wait_for(self._loop.after(self._patience.stop, lambda: self._give_up(session, "stopped")))

    def _go_on(self) -> None:
        while self._waiting and len(self._starting) < AT_ONCE:
            request = self._waiting.popleft()
            self._last += 1
            try:
                session = self._order(self._last, request)
            except Gone:
                raise Breach("the zygote ended") from None
            except (OSError, ValueError) as error:
                self._refuse(request, "good", f"none could be ordered: {error}")
            else:
                self._await_report(session)

    def _await_report(self, session: _Session) -> None:
        self._by_number[session.number] = session
        self._starting.add(session)
        self._loop.watch(session.status.socket.fileno(), lambda: self._read(session))
        how = f"no report within {self._patience.start:g} s"
        session.wait_for(self._loop.after(self._patience.start, lambda: self._give_up(session, how)))

    def _order(self, number: int, request: StartWorker) -> _Session:
        """:raises Gone: the zygote is. :raises OSError, ValueError: there is no socket, or it does not read."""
        name, listening = self._folder.bind(request.uid, number)
        with listening, ExitStack() as undo:
            undo.callback(self._folder.remove, name)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            ours.setblocking(False)
            with theirs:
                self._zygote.send(Fork(number, request.uid, request.login), [listening.fileno(), theirs.fileno()])
            undo.pop_all()
        return _Session(number, request, name, Packets(ours, Status))

    def _read(self, session: _Session) -> None:
        try:
            status, descriptors = session.status.receive()
        except BlockingIOError:
            return
        except Gone:
            self._end(session, "its holder ended")
            return
        except Garbled:
            self._give_up(session, "its holder sent what cannot be read")
            return
        match status:
            case Born(pid) if session.holder is None and len(descriptors) == 1:
                session.holder = (pid, descriptors.pop())
            case Ready(pid) if session in self._starting:
                if not session.is_stopped:  # by a front that guessed its number
                    session.wait_for(None)
                path = self._folder.full(session.name)
                self._answer(WorkerStarted(session.request.id, session.number, path, pid))
                self._starting.discard(session)
                self._go_on()
            case Refused(state, reason) if session in self._starting:
                self._forget(session)
                self._refuse(session.request, state, reason)
            case Ended(how):
                self._end(session, how)
            case _:
                self._give_up(session, f"its holder said {type(status).__name__} out of turn")
        close_all(descriptors)

    def _give_up(self, session: _Session, how: str) -> None:
        """Wait no more: it hangs in a PAM module, say, or does not do as it must."""
        session.kill()
        self._end(session, how)

    def _end(self, session: _Session, how: str) -> None:
        was_starting = session in self._starting
        self._forget(session)
        if was_starting:
            self._refuse(session.request, "good", how)
        else:
            self._answer(WorkerEnded(session.request.id, session.number, how[:_MOST_TEXT]))

    def _forget(self, session: _Session) -> None:
        self._loop.unwatch(session.status.socket.fileno())
        session.close()
        self._folder.remove(session.name)
        del self._by_number[session.number]
        self._starting.discard(session)
        self._go_on()

    def _refuse(self, request: StartWorker, state: AccountState, reason: str) -> None:
        self._answer(WorkerRefused(request.id, state, reason[:_MOST_TEXT]))
