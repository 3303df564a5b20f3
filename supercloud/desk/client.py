"""Asking the portal, from programs that wait: workers and the command line."""

from __future__ import annotations

import functools
import operator
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from supercloud.desk.wire import VERSION, Hello, Message, Refusal, Refused
from supercloud.packets import Garbled, Gone, receive, send

# Seconds of a whole question. A portal that has ended is seen at once; one that is busy, or stands still, answers
# later, and whoever gave up in the middle of a write would leave its locks behind.
DEADLINE: Final = 60.0
_FULL: Final = 0.02  # seconds until the next try when more wait to be let in than the kernel keeps
_NOT_IN: Final = 0.001  # and when a descriptor is not taken, as we are not let in yet

A = TypeVar("A", bound=Message)


class DeskGone(Exception):
    """The portal does not answer: it is not there, is too slow, or is of another version."""


class Desk:
    """The portal's own socket; every thread has a connection of its own, which is made anew after a portal's restart.

    :param deadline: seconds after which a question is given up.
    """

    def __init__(self, path: str, *, deadline: float = DEADLINE) -> None:
        self._path = path
        self._deadline = deadline
        self._local = threading.local()
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()

    def ask(self, request: Message, *answers: type[A], descriptors: Sequence[int] = ()) -> A:
        """Send a request and wait for its answer.

        A request is sent again only when it surely was not read, so nothing is done twice.

        :param answers: kinds of messages that it may have.
        :param descriptors: go with it, and stay open here.
        :raises Refusal: with the portal's reason.
        :raises DeskGone: when there is no answer in time, or none of those kinds.
        """
        ends = time.monotonic() + self._deadline
        data = msgspec.msgpack.encode(request)
        try:
            connected = self._connected(ends)
            try:
                self._send(connected, data, descriptors, ends)
            except Gone:  # of a portal that was restarted since, or that sent us away
                _heed_parting(connected)
                self._drop()
                connected = self._connected(ends)
                self._send(connected, data, descriptors, ends)
            answer = self._receive(connected, answers, ends)
        except (Gone, Garbled, OSError) as error:
            self._drop()
            raise DeskGone(f"{self._path}: {error or 'closed'}") from error
        if isinstance(answer, Refused):
            if answer.code == "version":
                self._drop()
                raise DeskGone(f"{self._path}: {answer.reason}")
            raise Refusal(answer.code, answer.reason)
        return answer

    def close(self) -> None:
        """End all threads' connections; the next question makes a new one."""
        with self._guard:
            opened, self._open = self._open, set()
        for connected in opened:
            connected.close()
        self._local = threading.local()

    def _connected(self, ends: float) -> socket.socket:
        kept: socket.socket | None = getattr(self._local, "connected", None)
        if kept is not None:
            return kept
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            self._connect(made, ends)
            try:
                self._send(made, msgspec.msgpack.encode(Hello(VERSION)), (), ends)
            except Gone:
                _heed_parting(made)
                raise
        except BaseException:
            made.close()
            raise
        self._local.connected = made
        with self._guard:
            self._open.add(made)
        return made

    def _connect(self, made: socket.socket, ends: float) -> None:
        while True:
            made.settimeout(_left(ends))
            try:
                made.connect(self._path)
                return
            except BlockingIOError:
                time.sleep(_FULL)

    def _send(self, connected: socket.socket, data: bytes, descriptors: Sequence[int], ends: float) -> None:
        while True:
            connected.settimeout(_left(ends))
            try:
                send(connected, data, descriptors)
                return
            except PermissionError:
                time.sleep(_NOT_IN)

    def _receive(self, connected: socket.socket, answers: Sequence[type[A]], ends: float) -> A | Refused:
        connected.settimeout(_left(ends))
        data, descriptors = receive(connected)
        if descriptors:
            raise Garbled("descriptors with an answer")
        try:
            answer: A | Refused = _decoder(tuple(answers)).decode(data)
        except (ValueError, RecursionError) as error:
            raise Garbled(str(error)) from None
        return answer

    def _drop(self) -> None:
        connected: socket.socket | None = getattr(self._local, "connected", None)
        if connected is not None:
            del self._local.connected
            with self._guard:
                self._open.discard(connected)
            connected.close()


def _heed_parting(connected: socket.socket) -> None:
    """:raises Refusal: the portal said why before it ended the connection, which is of no use any more."""
    connected.setblocking(False)
    with suppress(Gone, Garbled, OSError, ValueError, RecursionError):
        said = _decoder(()).decode(receive(connected)[0])
        connected.close()
        raise Refusal(said.code, said.reason)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


@functools.lru_cache(maxsize=64)
def _decoder(answers: tuple[type[Message], ...]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(functools.reduce(operator.or_, answers, Refused))
