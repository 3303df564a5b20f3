"""The front's client of the monitor."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess  # noqa: TID251 - starts the monitor
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supercloud.errors import NoWorker, PortalError, Undecided
from supercloud.identity import is_login
from supercloud.monitor.passwords import MOST_PASSWORD
from supercloud.monitor.wire import (
    AccountRead,
    AccountState,
    Answer,
    CheckPassword,
    FindForward,
    ForwardRead,
    HoldersRead,
    PasswordChecked,
    PasswordOutcome,
    ReadAccount,
    ReadForward,
    ReadHolders,
    Request,
    StartWorker,
    StopWorker,
    Task,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)
from supercloud.packet_link import PacketLink
from supercloud.packets import close_all

# Seconds until an answer counts as none; each longer than what the monitor itself allows.
PASSWORD_WITHIN: Final = 15.0
PASSWORDS: Final = 8  # checks at once: the monitor's own bound (kinds.Bounds), over which it refuses
PASSWORDS_WAITING: Final = 50  # for their turn; more are refused
ACCOUNT_WITHIN: Final = 15.0
WORKER_WITHIN: Final = 60.0
HOLDERS_WITHIN: Final = 2.0
FORWARD_WITHIN: Final = 8.0

COMMAND: Final = (sys.executable, "-I", "-m", "supercloud.monitor")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def start_monitor(task: Task, command: Sequence[str] = COMMAND) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start the monitor. Blocks for as long as exec takes; before the reactor runs, while twistd is still root.

    It gets nothing of this process but its end of the socket and standard error, no environment and no terminal.

    :return: the front's end, for `Monitor`, and the process.
    :raises OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            process = subprocess.Popen(
                [*command, str(theirs.fileno()), msgspec.json.encode(task).decode()],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": _PATH, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    return ours, process


class _Asked:
    """A request without its answer yet."""

    __slots__ = ("answered", "kinds", "timer")

    def __init__(
        self, kinds: tuple[type[Answer], ...], timer: IDelayedCall, cancelled: Callable[[Deferred[Any]], None]
    ) -> None:
        self.answered: Deferred[Any] = Deferred(cancelled)
        self.kinds = kinds
        self.timer = timer


class Monitor:
    """Asks the monitor; whatever it does not answer in time is a no.

    :param reactor: both an IReactorFDSet and an IReactorTime.
    :param connected: from `start_monitor`.
    :param ended: called with each worker that ended: its number, and how.
    :param lost: called once, with a word that says why, when the monitor is gone or does what it must not: the portal
        must stop then.
    """

    def __init__(
        self,
        reactor: Any,
        connected: socket.socket,
        ended: Callable[[int, str], object],
        lost: Callable[[str], object],
    ) -> None:
        self._clock: IReactorTime = reactor
        self._ended = ended
        self._tell_lost = lost
        self._ids = itertools.count(1)
        self._last = 0
        self._asked: dict[int, _Asked] = {}
        self._check = msgspec.msgpack.Decoder(Request).decode
        self._is_lost = False
        self._passwords = DeferredSemaphore(PASSWORDS)
        self._link = PacketLink(reactor, connected, Answer, self._received, self._lost)

    async def check_password(self, login: str, password: bytes, address: str) -> PasswordOutcome:
        """Ask PAM. What cannot be an account's name or a password is ``bad`` without asking.

        :param address: of the browser; ``""``: not known.
        :raises NoWorker: the monitor is gone.
        """
        if not is_login(login) or not 0 < len(password) <= MOST_PASSWORD or b"\0" in password:
            return "bad"
        if len(self._passwords.waiting) >= PASSWORDS_WAITING:
            return "busy"
        await self._passwords.acquire()
        try:
            return await self._check_password(login, password, address)
        finally:
            self._passwords.release()

    async def _check_password(self, login: str, password: bytes, address: str) -> PasswordOutcome:
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            try:
                os.write(writing, password)  # at most MOST_PASSWORD: a new pipe holds that
            finally:
                os.close(writing)
            request = CheckPassword(self._new_id(), login, address)
            answered = self._ask(request, (PasswordChecked,), PASSWORD_WITHIN, [reading])
        finally:
            os.close(reading)
        try:
            answer = cast(PasswordChecked, await answered)
        except TimeoutError:
            return "slow"
        return answer.outcome

    async def read_account(self, uid: int) -> AccountState:
        """May this account be used now?

        :raises NoWorker: the monitor does not answer.
        """
        request = ReadAccount(self._new_id(), uid)
        try:
            answer = cast(AccountRead, await self._ask(request, (AccountRead,), ACCOUNT_WITHIN))
        except TimeoutError as error:
            raise NoWorker(str(error)) from None
        return answer.state

    async def start_worker(self, uid: int, login: str) -> WorkerStarted | WorkerRefused:
        """Start a worker; one that starts too late is stopped again.

        :raises NoWorker: the monitor does not answer.
        """
        request = StartWorker(self._new_id(), uid, login)
        try:
            answer = await self._ask(request, (WorkerStarted, WorkerRefused), WORKER_WITHIN)
        except TimeoutError as error:
            raise NoWorker(str(error)) from None
        return cast(WorkerStarted | WorkerRefused, answer)

    def stop_worker(self, worker: int) -> None:
        """End a worker; ``ended`` is called when it has."""
        self._send(StopWorker(self._new_id(), worker))

    async def read_holders(self, inode: int, uid: int) -> HoldersRead:
        """Who holds a socket of this host?

        :raises Undecided: not all processes were seen, or the monitor does not answer.
        """
        request = ReadHolders(self._new_id(), inode, uid)
        try:
            answer = cast(HoldersRead, await self._ask(request, (HoldersRead,), HOLDERS_WITHIN))
        except TimeoutError as error:
            raise Undecided(str(error)) from None
        if not answer.is_complete:
            raise Undecided(f"socket {inode}: not all processes were seen in time")
        return answer

    async def find_forward(self, name: str) -> ForwardRead:
        """In which state is a forward's file?

        :param name: of the grammar of forwards; see target.is_forward_name.
        :raises NoWorker: the monitor is gone.
        """
        return await self._ask_about_forward(FindForward(self._new_id(), name))

    async def read_forward(self, uid: int, name: str) -> ForwardRead:
        """May an account use a forward, and what does its file hold?

        :param name: of the grammar of forwards; see target.is_forward_name.
        :raises NoWorker: the monitor is gone.
        """
        return await self._ask_about_forward(ReadForward(self._new_id(), name, uid))

    async def _ask_about_forward(self, request: FindForward | ReadForward) -> ForwardRead:
        try:
            return cast(ForwardRead, await self._ask(request, (ForwardRead,), FORWARD_WITHIN))
        except TimeoutError:
            return ForwardRead(request.id, "slow", None, None)

    def close(self) -> None:
        """End the monitor, and with it all workers; ``lost`` is not called."""
        self._is_lost = True
        self._link.close()
        self._fail_all("closed")

    def _new_id(self) -> int:
        self._last = next(self._ids)
        return self._last

    def _ask(
        self, request: Request, kinds: tuple[type[Answer], ...], seconds: float, descriptors: Sequence[int] = ()
    ) -> Deferred[Any]:
        """:raises NoWorker: the monitor is gone."""
        if self._is_lost:
            raise NoWorker("the monitor is gone")
        timer = self._clock.callLater(seconds, self._expire, request.id)
        asked = self._asked[request.id] = _Asked(kinds, timer, lambda _: self._forget(request.id))
        try:
            self._send(request, descriptors)
        except ValueError:
            self._forget(request.id)
            raise
        return asked.answered

    def _send(self, request: Request, descriptors: Sequence[int] = ()) -> None:
        """:raises ValueError: the table does not permit it: the monitor would end, whatever it was made from."""
        try:
            self._check(msgspec.msgpack.encode(request))
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise ValueError(f"not in the monitor's table: {error}") from None
        self._link.send(request, descriptors)

    def _forget(self, number: int) -> None:
        """Nobody waits for an answer any more."""
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked.timer.cancel()

    def _expire(self, number: int) -> None:
        asked = self._asked.pop(number)
        asked.answered.errback(TimeoutError(f"the monitor does not answer question {number}"))

    def _received(self, answer: Answer, descriptors: list[int]) -> None:
        if descriptors:
            close_all(descriptors)
            self._link.close("the monitor sent a descriptor")
        elif isinstance(answer, WorkerEnded):
            self._ended(answer.worker, answer.how)
        elif answer.id in self._asked:
            self._answered(self._asked.pop(answer.id), answer)
        elif answer.id > self._last:
            self._link.close("the monitor answered what was not asked")
        elif isinstance(answer, WorkerStarted):  # nobody waits for it any more
            self.stop_worker(answer.worker)

    def _answered(self, asked: _Asked, answer: Answer) -> None:
        asked.timer.cancel()
        if isinstance(answer, asked.kinds):
            asked.answered.callback(answer)
            return
        asked.answered.errback(NoWorker("the monitor answered something else"))
        self._link.close("the monitor answered something else")

    def _lost(self, why: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._fail_all(why)
        self._tell_lost(why)

    def _fail_all(self, why: str) -> None:
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.timer.cancel()
            one.answered.errback(_gone(why))


def _gone(why: str) -> PortalError:
    return NoWorker(f"the monitor is gone: {why}")
