"""The portal's end of its own socket: who asks is what the kernel says, and each connection waits for its answers.

What is answered is put together from parts: ``handlers`` maps a kind of message to what answers it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import operator
import os
import socket
import stat
import termios
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud import events
from supercloud.closer import Closer, take_descriptors
from supercloud.desk.wire import VERSION, Hello, Message, Refusal, Refused
from supercloud.errors import Busy
from supercloud.packet_link import PacketLink, peer_of

PER_UID: Final = 40  # connections of one account: a worker has one a thread
IN_ALL: Final = 10_000
MOST_WAITING: Final = 1  # requests of one connection that came before the last was answered
MOST_UNREAD: Final = 128 * 1024  # bytes of answers that the other end has not read, and asks on
_BACKLOG: Final = 4096  # connections that wait to be let in or sent away; the kernel takes net.core.somaxconn
_BATCH: Final = 32  # connections before the reactor turns to others
_PAUSE: Final = 1.0  # seconds without accepting when descriptors are used up
_USED_UP: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PEER_GROUPS: Final = 59  # SO_PEERGROUPS, asm-generic/socket.h
_SENT_AWAY: Final = msgspec.msgpack.encode(
    Refused("busy", "this account has too many connections to the portal; let others of them end first")
)
_libc = ctypes.CDLL(None, use_errno=True)


class Asker:
    """Who made a connection, as the kernel noted it then.

    :ivar groups: all of them, the primary one too.
    """

    def __init__(self, *, pid: int, uid: int, gid: int, groups: frozenset[int]) -> None:
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = groups | {gid}
        self._at_end: set[Callable[[Asker], object]] = set()
        self._is_gone = False

    def at_end(self, call: Callable[[Asker], object]) -> None:
        """Call this once, with the asker, when the connection is gone; at once if it is. Said twice, it is once."""
        if self._is_gone:
            call(self)
        else:
            self._at_end.add(call)

    def gone(self) -> None:
        """The connection is gone; for the desk."""
        self._is_gone = True
        calls, self._at_end = self._at_end, set()
        for call in calls:
            call(self)


class Handler(Protocol):
    """Answers one kind of request."""

    def __call__(self, asker: Asker, request: Any, descriptors: Sequence[int], /) -> Any:
        """A `Message`, or a Deferred or coroutine of one.

        The descriptors are the desk's: they stay open until there is an answer, and are closed then.

        :raises Refusal: answered as `Refused`.
        """
        ...


@implementer(IReadDescriptor)
class Desk:
    """Listens.

    :param handlers: message kind to what answers it.
    """

    def __init__(
        self,
        reactor: Any,
        path: str,
        handlers: Mapping[type[Message], Handler],
        *,
        per_uid: int = PER_UID,
        in_all: int = IN_ALL,
    ) -> None:
        self._reactor = reactor
        self._path = path
        self.handlers = dict(handlers)
        self.kinds = functools.reduce(operator.or_, self.handlers, Hello)
        self._limits = per_uid, in_all
        self.closer = Closer()
        self._socket: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self._by_uid: Counter[int] = Counter()

    def bind(self) -> None:
        """Make the socket, which everybody may connect to; an old one of that name goes. For root, before the drop.

        :raises OSError: as the kernel says; EEXIST when there is something else of that name.
        """
        self._socket = _bound(self._path)

    def start(self) -> None:
        """Let connections in; those who connect see the account that called this as the other end's."""
        if self._socket is None:
            self._socket = _bound(self._path)
        self._socket.listen(_BACKLOG)
        self._reactor.addReader(self)

    def stop(self) -> None:
        """End all connections, and let none in."""
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None
        for connection in list(self._connections):
            connection.end("the portal stops")

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._socket is None else self._socket.fileno()

    def doRead(self) -> None:
        """Let in who waits."""
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                connected, _address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _USED_UP:
                    self._pause()
                return
            self._let_in(connected)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self.stop()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "desk"

    def _let_in(self, connected: socket.socket) -> None:
        pid, uid, gid = peer_of(connected)
        per_uid, in_all = self._limits
        if self._by_uid[uid] >= per_uid or len(self._connections) >= in_all or self.closer.is_behind(uid):
            self._send_away(uid, connected)
            return
        try:
            groups = peer_groups(connected)
        except OSError:
            self._send_away(uid, connected)
            return
        take_descriptors(connected, True)
        self._by_uid[uid] += 1
        asker = Asker(pid=pid, uid=uid, gid=gid, groups=groups)
        self._connections.add(_Connection(self, self._reactor, connected, asker))

    def _send_away(self, uid: int, connected: socket.socket) -> None:
        with suppress(OSError):
            connected.send(_SENT_AWAY, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        self.closer.end(uid, connected)

    def left(self, connection: _Connection) -> None:
        """For connections: this one is over."""
        uid = connection.asker.uid
        self._connections.discard(connection)
        self._by_uid[uid] -= 1
        if not self._by_uid[uid]:
            del self._by_uid[uid]
        connection.asker.gone()

    def _pause(self) -> None:
        self._reactor.removeReader(self)
        self._reactor.callLater(_PAUSE, self._go_on)

    def _go_on(self) -> None:
        if self._socket is not None:
            self._reactor.addReader(self)


class _Connection:
    """One of them: requests are answered one after the other, in order."""

    def __init__(self, desk: Desk, reactor: Any, connected: socket.socket, asker: Asker) -> None:
        self.asker = asker
        self._desk = desk
        self._socket = connected
        self._greeted = False
        self._is_over = False
        self._waiting: deque[tuple[Message, list[int]]] = deque()
        self._running: Deferred[Any] | None = None
        self._close = functools.partial(desk.closer.close, asker.uid)
        self._link = PacketLink(reactor, connected, desk.kinds, self._received, self._lost, self._close)

    def end(self, why: str) -> None:
        self._link.close(why)

    def _received(self, message: Message, descriptors: list[int]) -> None:
        if isinstance(message, Hello):
            self._close(descriptors)
            self._greet(message)
        elif not self._greeted or self._asks_too_much():
            self._close(descriptors)
            self.end("asks too much, or before it greets")
        else:
            self._waiting.append((message, descriptors))
            self._go_on()

    def _greet(self, message: Hello) -> None:
        if self._greeted or message.version != VERSION:
            self._link.send(Refused("version", f"the portal speaks version {VERSION}, once greeted"))
            self.end("greets wrongly")
        self._greeted = True

    def _asks_too_much(self) -> bool:
        is_behind = self._desk.closer.is_behind(self.asker.uid)
        return is_behind or len(self._waiting) >= MOST_WAITING or self._unread() > MOST_UNREAD

    def _unread(self) -> int:
        answer = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0\0\0\0")
        return int.from_bytes(answer, "little", signed=True)

    def _go_on(self) -> None:
        if self._running is not None or not self._waiting:
            return
        message, descriptors = self._waiting.popleft()
        running = self._running = maybeDeferred(self._desk.handlers[type(message)], self.asker, message, descriptors)
        running.addErrback(_refused, type(message).__name__)
        running.addCallback(self._answer, descriptors)
        events.watch(running, "answering at the desk")

    def _answer(self, answer: Message, descriptors: list[int]) -> None:
        self._close(descriptors)
        self._running = None
        if self._is_over:
            return
        try:
            self._link.send(answer)
        except ValueError:
            events.unexpected(f"the answer {type(answer).__name__} is too long")
            self._link.send(Refused("failed"))
        self._go_on()

    def _lost(self, _why: str) -> None:
        self._is_over = True
        for _message, descriptors in self._waiting:
            self._close(descriptors)
        self._waiting.clear()
        self._desk.left(self)


def peer_groups(connected: socket.socket) -> frozenset[int]:
    """Supplementary groups of whoever connected, as they were then (SO_PEERGROUPS, Linux 4.13).

    :raises OSError: as the kernel says.
    """
    size = ctypes.c_uint(4 * 256)
    while True:
        buffer = (ctypes.c_uint32 * (size.value // 4))()
        if not _libc.getsockopt(connected.fileno(), socket.SOL_SOCKET, _PEER_GROUPS, buffer, ctypes.byref(size)):
            return frozenset(buffer[: size.value // 4])
        number = ctypes.get_errno()
        if number != errno.ERANGE:  # ERANGE: the size is now what it takes
            raise OSError(number, os.strerror(number))


def _refused(failure: Failure, what: str) -> Refused:
    error = failure.value
    if isinstance(error, Refusal):
        return Refused(error.code, error.reason)
    if isinstance(error, Busy):
        return Refused("busy")
    events.unexpected(f"answering {what}", failure)
    return Refused("failed")


def _bound(path: str) -> socket.socket:
    _remove_old(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        take_descriptors(made, False)  # of nobody, before they are let in
        made.bind(path)
        os.chmod(path, 0o666)  # noqa: S103, PTH101 - whoever connects is known by SO_PEERCRED
    except BaseException:
        made.close()
        raise
    return made


def _remove_old(path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(errno.EEXIST, "is no socket", path)
    os.unlink(path)  # noqa: PTH108
