"""Unix sockets that keep messages apart (SOCK_SEQPACKET), which Twisted has no port for."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud.closer import Closer, take_descriptors
from supercloud.packet_link import peer_of
from supercloud.packets import ROOM, descriptors_in

_log = Logger()

_BATCH: Final = 32  # messages of one connection before the reactor turns to others
_LARGEST: Final = 4096  # bytes; an answer with 350 groups has 1,434
_BACKLOG: Final = 4096  # the kernel takes net.core.somaxconn
_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
MODE: Final = 0o770  # of the original


class SocketTaken(Exception):
    """Somebody listens on that path already."""


@implementer(IReadDescriptor)
class PacketConnection:
    """One connected SOCK_SEQPACKET socket. No descriptors go over it: who sends one is cut off.

    :ivar uid: of whoever made the other end.
    :param closer: see `supercloud.closer`.
    :param received: called with each message.
    :param lost: called once, when the other side is gone or does not read.
    """

    def __init__(self, reactor: IReactorFDSet, connected: socket.socket, closer: Closer) -> None:
        connected.setblocking(False)
        self.uid = peer_of(connected)[1]
        self._closer = closer
        self._reactor = reactor
        self._socket: socket.socket | None = connected
        self._fileno = connected.fileno()
        self._received: Callable[[bytes], None] = _ignore
        self._lost: Callable[[], None] = _nothing

    def start(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """Begin to read."""
        self._received, self._lost = received, lost
        self._reactor.addReader(self)

    def send(self, data: bytes) -> None:
        """Send one message; who does not read their answers is cut off."""
        if self._socket is None:
            return
        try:
            self._socket.send(data, socket.MSG_NOSIGNAL)
        except OSError as error:
            _log.debug("local connection dropped: {error}", error=error)
            self.close()

    def close(self) -> None:
        """End it, from this side."""
        if self._socket is None:
            return
        self._reactor.removeReader(self)
        connected, self._socket = self._socket, None
        self._closer.end(self.uid, connected)
        self._lost()

    def fileno(self) -> int:
        """For the reactor; -1 once closed."""
        return self._fileno if self._socket is not None else -1

    def doRead(self) -> None:
        """Hand on what has come."""
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_LARGEST, ROOM, _FLAGS)
            except BlockingIOError:
                return
            except OSError:
                data, ancillary = b"", []
            if ancillary:
                self._closer.close(self.uid, descriptors_in(ancillary))
            if ancillary or not data:
                self.close()
                return
            self._received(data)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, or the descriptor is broken."""
        self.close()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "ident2"


@implementer(IReadDescriptor)
class PacketPort:
    """A listening SOCK_SEQPACKET socket on a path.

    :param gid: group that may connect (mode 0770); None leaves the process's own.
    :raises SocketTaken: when somebody listens there.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        path: str,
        accepted: Callable[[PacketConnection], None],
        *,
        gid: int | None,
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._accepted = accepted
        self._closer = Closer()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            _remove_stale(path)
            take_descriptors(self._socket, False)
            self._socket.bind(path)
            if gid is not None:
                os.chown(path, -1, gid)
            os.chmod(path, MODE)  # noqa: PTH101
            self._identity = _identity(path)
            self._socket.listen(_BACKLOG)  # nobody can connect before this, so not before the group is right
        except BaseException:
            self._socket.close()
            raise

    def start(self) -> None:
        """Begin to accept."""
        self._reactor.addReader(self)

    def close(self) -> None:
        """Stop accepting, and remove the path if it is still ours and we may."""
        self._reactor.removeReader(self)
        self._socket.close()
        try:
            if _identity(self._path) == self._identity:
                os.unlink(self._path)  # noqa: PTH108
        except OSError:
            pass  # gone, or bound while root: the next start removes it

    def fileno(self) -> int:
        """For the reactor."""
        return self._socket.fileno()

    def doRead(self) -> None:
        """Accept those who wait."""
        for _ in range(_BATCH):
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            self._accepted(PacketConnection(self._reactor, connected, self._closer))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self._socket.close()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "ident2"


def connect(path: str) -> socket.socket:
    """Connect without waiting: a unix socket is connected at once or not at all.

    :raises OSError: when nobody listens, or the queue is full.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        take_descriptors(connected, False)
        connected.connect(path)
    except OSError:
        connected.close()
        raise
    return connected


def _remove_stale(path: str) -> None:
    try:
        connect(path).close()
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)  # noqa: PTH108
        return
    raise SocketTaken(
        f"ident2.socket: {path}: another program answers there; stop it, name another path, or ask it: "
        "ident2.responder = false"
    )


def _identity(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _ignore(_: bytes) -> None:
    """Before the start."""


def _nothing() -> None:
    """Before the start."""
