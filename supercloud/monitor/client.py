"""The front's client of the monitor."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess  # noqa: TID251 - starts the monitor
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supercloud.errors import Busy, NoWorker, PortalError, Undecided
from supercloud.identity import is_login
from supercloud.lane import Lane
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

# Seconds from its turn until an answer counts as none; each longer than what the monitor itself allows.
PASSWORD_WITHIN: Final = 15.0
PASSWORDS: Final = 8  # checks at once: the monitor's own bound (kinds.Bounds), over which it refuses
PASSWORDS_WAITING: Final = 50  # for their turn; more are refused
ACCOUNT_WITHIN: Final = 15.0
WORKER_WITHIN: Final = 60.0
HOLDERS_WITHIN: Final = 10.0
FORWARD_WITHIN: Final = 8.0
# Questions of one kind that the monitor has at once, of all accounts and of one, and how many more of that one wait:
# an account's own requests (front.per_principal) are fewer.
AT_ONCE: Final = 500
OF_ONE: Final = 16
OF_ONE_WAITING: Final = 2000

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
    """A request without its answer yet; it has its place until then, though nobody waits any more.

    :ivar answered: None when nobody waits.
    :ivar timer: runs while somebody waits.
    """

    __slots__ = ("answered", "kinds", "lane", "timer", "who")

    def __init__(self, kinds: tuple[type[Answer], ...], lane: Lane, who: Hashable, timer: IDelayedCall) -> None:
        self.answered: Deferred[Any] | None = Deferred(self._cancelled)
        self.kinds = kinds
        self.lane = lane
        self.who = who
        self.timer = timer

    def take(self) -> Deferred[Any] | None:
        """Whoever waits, who is told once."""
        answered, self.answered = self.answered, None
        if answered is not None and self.timer.active():
            self.timer.cancel()
        return answered

    def _cancelled(self, _: Deferred[Any]) -> None:
        self.take()


class Monitor:
    """Asks the monitor; whatever it does not answer in time is a no.

    Each question waits for its turn here, in a line of its account's (`Lane`), and keeps its place until the monitor
    answers, so what waits for a monitor that stands still is bounded. That its end of the socket is closed is the only
    sign of its death.

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
        self._stopping: set[int] = set()
        # Nobody's account is known when a password is checked; failures cost their address time (authn.throttle).
        self._passwords = Lane("passwords", most=PASSWORDS, of_one=PASSWORDS, waiting=PASSWORDS_WAITING)
        # Few ask about accounts (authn.standing), and each account has one worker that starts.
        self._accounts = Lane("accounts", most=AT_ONCE, of_one=OF_ONE, waiting=OF_ONE_WAITING)
        self._workers = Lane("workers", most=AT_ONCE, of_one=OF_ONE, waiting=OF_ONE_WAITING)
        self._holders = Lane("sockets", most=AT_ONCE, of_one=OF_ONE, waiting=OF_ONE_WAITING)
        self._forwards = Lane("forwards", most=AT_ONCE, of_one=OF_ONE, waiting=OF_ONE_WAITING)
        self._finds = Lane("states of forwards", most=AT_ONCE, of_one=OF_ONE, waiting=OF_ONE_WAITING)
        self._link = PacketLink(reactor, connected, Answer, self._received, self._lost, most_waiting=None)

    async def check_password(self, login: str, password: bytes | bytearray, address: str) -> PasswordOutcome:
        """Ask PAM. What cannot be an account's name or a password is ``bad`` without asking.

        :param address: of the browser; ``""``: not known.
        :raises NoWorker: the monitor is gone.
        """
        if not is_login(login) or not 0 < len(password) <= MOST_PASSWORD or b"\0" in password:
            return "bad"
        try:
            await self._turn(self._passwords, 0)
        except Busy:
            return "busy"
        try:
            reading = _piped(password)
        except OSError:  # descriptors are used up
            self._passwords.leave(0)
            return "busy"
        try:
            answer: PasswordChecked = await self._send_password(login, address, reading)
        except TimeoutError:
            return "slow"
        except OSError:
            return "busy"
        return answer.outcome

    def _send_password(self, login: str, address: str, reading: int) -> Deferred[Any]:
        """Through a pipe, of which no end stays open here."""
        try:
            request = CheckPassword(self._new_id(), login, address)
            return self._ask(request, (PasswordChecked,), PASSWORD_WITHIN, self._passwords, 0, [reading])
        finally:
            os.close(reading)

    async def read_account(self, uid: int) -> AccountState:
        """May this account be used now?

        :raises NoWorker: the monitor does not answer.
        """
        await self._turn(self._accounts, uid)
        request = ReadAccount(self._new_id(), uid)
        try:
            answer: AccountRead = await self._ask(request, (AccountRead,), ACCOUNT_WITHIN, self._accounts, uid)
        except TimeoutError as error:
            raise NoWorker(str(error)) from None
        return answer.state

    async def start_worker(self, uid: int, login: str) -> WorkerStarted | WorkerRefused:
        """Start a worker; one that starts too late is stopped again.

        :raises NoWorker: the monitor does not answer.
        """
        await self._turn(self._workers, uid)
        request = StartWorker(self._new_id(), uid, login)
        try:
            answer = await self._ask(request, (WorkerStarted, WorkerRefused), WORKER_WITHIN, self._workers, uid)
        except TimeoutError as error:
            raise NoWorker(str(error)) from None
        return cast(WorkerStarted | WorkerRefused, answer)

    def stop_worker(self, worker: int) -> None:
        """End a worker; ``ended`` is called when it has. Said twice, it is once."""
        if worker not in self._stopping:
            self._stopping.add(worker)
            self._send(StopWorker(self._new_id(), worker))

    async def read_holders(self, inode: int, uid: int) -> HoldersRead:
        """Who holds a socket of this host?

        :raises Undecided: not all processes were seen, or the monitor does not answer.
        """
        try:
            await self._turn(self._holders, uid)
            request = ReadHolders(self._new_id(), inode, uid)
            answer: HoldersRead = await self._ask(request, (HoldersRead,), HOLDERS_WITHIN, self._holders, uid)
        except (TimeoutError, Busy) as error:
            raise Undecided(str(error)) from None
        if not answer.is_complete:
            raise Undecided(f"socket {inode}: not all processes were seen in time")
        return answer

    async def find_forward(self, name: str) -> ForwardRead:
        """In which state is a forward's file? It has a line of its own for each name.

        :param name: of the grammar of forwards; see target.is_forward_name.
        :raises NoWorker: the monitor is gone.
        :raises Busy: too many ask about it.
        """
        return await self._ask_about_forward(FindForward(self._new_id(), name), self._finds, name)

    async def read_forward(self, uid: int, name: str) -> ForwardRead:
        """May an account use a forward, and what does its file hold?

        :param name: of the grammar of forwards; see target.is_forward_name.
        :raises NoWorker: the monitor is gone.
        :raises Busy: too many of the account wait.
        """
        return await self._ask_about_forward(ReadForward(self._new_id(), name, uid), self._forwards, uid)

    async def _ask_about_forward(self, request: FindForward | ReadForward, lane: Lane, who: Hashable) -> ForwardRead:
        await self._turn(lane, who)
        try:
            answer: ForwardRead = await self._ask(request, (ForwardRead,), FORWARD_WITHIN, lane, who)
            return answer
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

    async def _turn(self, lane: Lane, who: Hashable) -> None:
        """Wait for a place, which the question then has until it is answered.

        :raises NoWorker: the monitor is gone. :raises Busy: too many of the account wait.
        """
        if self._is_lost:
            raise NoWorker("the monitor is gone")
        await lane.enter(who)

    def _ask(
        self,
        request: Request,
        kinds: tuple[type[Answer], ...],
        seconds: float,
        lane: Lane,
        who: Hashable,
        descriptors: Sequence[int] = (),
    ) -> Deferred[Any]:
        """Send what has its place."""
        timer = self._clock.callLater(seconds, self._expire, request.id)
        asked = self._asked[request.id] = _Asked(kinds, lane, who, timer)
        answered = cast("Deferred[Any]", asked.answered)
        try:
            self._send(request, descriptors)
        except BaseException:  # not in the table, or no descriptor is left for a copy
            self._asked.pop(request.id).take()
            lane.leave(who)
            raise
        return answered

    def _send(self, request: Request, descriptors: Sequence[int] = ()) -> None:
        """:raises ValueError: the table does not permit it: the monitor would end, whatever it was made from."""
        try:
            self._check(msgspec.msgpack.encode(request))
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise ValueError(f"not in the monitor's table: {error}") from None
        self._link.send(request, descriptors)

    def _expire(self, number: int) -> None:
        answered = self._asked[number].take()
        if answered is not None:
            answered.errback(TimeoutError(f"the monitor does not answer question {number}"))

    def _received(self, answer: Answer, descriptors: list[int]) -> None:
        if descriptors:
            close_all(descriptors)
            self._link.close("the monitor sent a descriptor")
        elif isinstance(answer, WorkerEnded):
            self._stopping.discard(answer.worker)
            self._ended(answer.worker, answer.how)
        elif answer.id in self._asked:
            self._answered(self._asked.pop(answer.id), answer)
        else:
            self._link.close("the monitor answered what was not asked")

    def _answered(self, asked: _Asked, answer: Answer) -> None:
        answered, is_fitting = asked.take(), isinstance(answer, asked.kinds)
        if not is_fitting:
            self._link.close("the monitor answered something else")
        elif answered is None and isinstance(answer, WorkerStarted):  # nobody waits for it any more
            self.stop_worker(answer.worker)
        asked.lane.leave(asked.who)
        if answered is None:
            return
        if is_fitting:
            answered.callback(answer)
        else:
            answered.errback(NoWorker("the monitor answered something else"))

    def _lost(self, why: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._fail_all(why)
        self._tell_lost(why)

    def _fail_all(self, why: str) -> None:
        for lane in (self._passwords, self._accounts, self._workers, self._holders, self._forwards, self._finds):
            lane.close(_gone(why))
        while self._asked:
            _, asked = self._asked.popitem()
            answered = asked.take()
            asked.lane.leave(asked.who)
            if answered is not None:
                answered.errback(_gone(why))


def _piped(password: bytes | bytearray) -> int:
    """The reading end of a pipe that holds it; a new one has room for `MOST_PASSWORD`."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.write(writing, password)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading


def _gone(why: str) -> PortalError:
    return NoWorker(f"the monitor is gone: {why}")
