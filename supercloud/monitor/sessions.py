"""The workers that there are, each with its session holder: from the request to the end."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from supercloud.monitor.breach import Breach
from supercloud.monitor.children import Children
from supercloud.monitor.folder import Folder
from supercloud.monitor.holders import Killed, kill_holders
from supercloud.monitor.loop import Loop, Timer
from supercloud.monitor.wire import AccountState, Answer, StartWorker, WorkerEnded, WorkerRefused, WorkerStarted
from supercloud.packets import Garbled, Gone, Packets, close_all
from supercloud.workers.wire import Ended, Fork, Ready, Refused, Status, Stop

_MOST_TEXT: Final = 1024  # letters of a reason


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.

    :ivar start: from the request to the zygote until a holder reports; it kills its worker after 10 by itself.
    :ivar stop: from a holder's being told to stop until it reports: 5 for the worker, the rest for the PAM session.
    """

    start: float = 15.0
    stop: float = 10.0


class _Session:
    """One worker.

    :ivar inode: of the holder's end of the status socket.
    :ivar is_started: the front knows it by its number.
    """

    def __init__(self, number: int, request: StartWorker, name: str, status: Packets[Status], inode: int) -> None:
        self.number = number
        self.request = request
        self.name = name
        self.status = status
        self.inode = inode
        self.is_started = False
        self.timer: Timer | None = None

    def wait_for(self, timer: Timer | None) -> None:
        """A deadline instead of the one before, or none."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer


class Sessions:
    """All of them.

    :param zygote: takes `Fork`; must not block.
    :param killers: run `kill_holders`.
    :param spared: ids of the processes that are not holders: the monitor and the zygote.
    """

    def __init__(
        self,
        loop: Loop,
        folder: Folder,
        zygote: Packets[Any],
        killers: Children,
        answer: Callable[[Answer], object],
        *,
        spared: tuple[int, int],
        patience: Patience,
    ) -> None:
        self._loop = loop
        self._folder = folder
        self._zygote = zygote
        self._killers = killers
        self._answer = answer
        self._spared = spared
        self._patience = patience
        self._count = itertools.count(1)
        self._last = 0
        self._by_number: dict[int, _Session] = {}

    def start(self, request: StartWorker) -> None:
        """Have a worker forked for an account that was judged good; an answer follows.

        :raises Breach: the zygote is gone.
        """
        number = self._last = next(self._count)
        try:
            name, listening = self._folder.bind(request.uid, number)
        except (OSError, ValueError) as error:
            self._refuse(request, "good", f"no socket: {error}")
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with listening, theirs:
            inode = os.fstat(theirs.fileno()).st_ino
            session = _Session(number, request, name, Packets(ours, Status), inode)
            try:
                self._zygote.send(Fork(number, request.uid, request.login), [listening.fileno(), theirs.fileno()])
            except Gone:
                session.status.close()
                raise Breach("the zygote ended") from None
            except BlockingIOError:
                session.status.close()
                self._folder.remove(name)
                self._refuse(request, "good", "the zygote does not read")
                return
        self._by_number[number] = session
        self._loop.watch(ours.fileno(), lambda: self._read(session))
        session.wait_for(self._loop.after(self._patience.start, lambda: self._give_up(session)))

    def stop(self, number: int) -> None:
        """End a worker; one that has ended already is no mistake.

        :raises Breach: no worker ever had that number.
        """
        if not 1 <= number <= self._last:
            raise Breach("stop-worker for a worker that never was")
        session = self._by_number.get(number)
        if session is None:
            return
        try:
            session.status.send(Stop())
        except (Gone, BlockingIOError):
            self._end(session, "gone")
            return
        session.wait_for(self._loop.after(self._patience.stop, lambda: self._end(session, "stopped")))

    def _read(self, session: _Session) -> None:
        try:
            status, descriptors = session.status.receive()
        except BlockingIOError:
            return
        except Gone:
            self._end(session, "its holder ended")
            return
        except Garbled:
            self._end(session, "its holder sent what cannot be read")
            return
        close_all(descriptors)
        match status:
            case Ready(pid) if not session.is_started:
                session.is_started = True
                session.wait_for(None)
                path = self._folder.full(session.name)
                self._answer(WorkerStarted(session.request.id, session.number, path, pid))
            case Refused(state, reason) if not session.is_started:
                self._forget(session)
                self._refuse(session.request, state, reason)
            case Ended(how):
                self._end(session, how)
            case _:
                self._end(session, f"its holder said {type(status).__name__} out of turn")

    def _give_up(self, session: _Session) -> None:
        """It does not report: it hangs in a PAM module, say. Its worker ends with it."""
        inode = session.inode
        self._killers.run(lambda: kill_holders(inode, self._spared), _look_at_nothing)
        self._end(session, f"no report within {self._patience.start:g} s")

    def _end(self, session: _Session, how: str) -> None:
        self._forget(session)
        if session.is_started:
            self._answer(WorkerEnded(session.request.id, session.number, how[:_MOST_TEXT]))
        else:
            self._refuse(session.request, "good", how)

    def _forget(self, session: _Session) -> None:
        """The end of the status socket tells its holder to end the worker, if it is still there."""
        session.wait_for(None)
        self._loop.unwatch(session.status.socket.fileno())
        session.status.close()
        self._folder.remove(session.name)
        with suppress(KeyError):
            del self._by_number[session.number]

    def _refuse(self, request: StartWorker, state: AccountState, reason: str) -> None:
        self._answer(WorkerRefused(request.id, state, reason[:_MOST_TEXT]))


def _look_at_nothing(killed: Killed) -> None:
    """Whom it was possible to kill changes nothing here."""
