"""Exchanges that run until somebody ends them: downloads and WebSockets, as a client sees their end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

_WEBSOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_SLOWLY = 16 * 1024  # bytes in 20 ms: a file is still under way when the test is over


@dataclass(slots=True)
class Running:
    """One of them.

    :ivar mark: stands in its path, and so in its audit line.
    :ivar status: of its head.
    :ivar ended: by the monotonic clock; 0 while it runs.
    :ivar is_whole: the body was complete.
    :ivar code, reason: of a WebSocket's close frame.
    """

    mark: str
    is_websocket: bool
    connection: ssl.SSLSocket
    status: int = 0
    ended: float = 0.0
    is_whole: bool = False
    code: int = 0
    reason: str = ""
    _tail: bytes = b""
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.connection.recv(1024)
            if not more:
                raise ConnectionError(f"{self.mark}: ended in its head {head!r}")
            head += more
        self.status = int(head.split(b" ")[1])
        if self.status != (101 if self.is_websocket else 200):
            raise ConnectionError(f"{self.mark}: {head!r}")
        self._tail = head.partition(b"\r\n\r\n")[2]
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return not self.ended

    def wait(self, within: float) -> None:
        """:raises TimeoutError: it goes on."""
        self._thread.join(within)
        if self._thread.is_alive():
            raise TimeoutError(f"{self.mark} goes on after {within} s")

    def leave(self) -> None:
        """The client goes."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)  # wakes whoever reads
        self.connection.close()

    def _read(self) -> None:
        try:
            while more := self.connection.recv(_SLOWLY):
                self._tail = (self._tail + more)[-4096:] if not self.is_websocket else self._frames(self._tail + more)
                time.sleep(0.02)
        except OSError:
            pass
        self.is_whole = not self.is_websocket and self._tail.endswith(b"\r\n0\r\n\r\n")
        self.ended = time.monotonic()

    def _frames(self, data: bytes) -> bytes:
        """Take whole frames off the front; what is left comes back."""
        while len(data) >= 2:
            length, at = data[1] & 0x7F, 2
            if length == 126:
                length, at = struct.unpack("!H", data[2:4].ljust(2, b"\0"))[0], 4
            if len(data) < at + length:
                break
            opcode, payload = data[0] & 0x0F, data[at : at + length]
            if opcode == 8 and not self.code:
                self.code = struct.unpack("!H", payload[:2])[0]
                self.reason = payload[2:].decode()
            elif opcode == 9:
                self.connection.sendall(bytes((0x8A, 0x80 | length)) + bytes(4) + payload)  # masked with zeros
            data = data[at + length :]
        return data


def begin(
    url: str, fields: str, *, ca: Path, mark: str, is_websocket: bool = False, address: str = "127.0.0.1"
) -> Running:
    """Begin one, and come back once its response has begun.

    :param url: ``{mark}`` in it is the mark.
    """
    authority, _, path = url.removeprefix("https://").partition("/")
    host, _, port = authority.partition(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    plain.settimeout(60)
    plain.connect((address, int(port)))
    connection = ssl.create_default_context(cafile=str(ca)).wrap_socket(plain, server_hostname=host)
    target = "/" + path.format(mark=mark)
    more = _WEBSOCKET if is_websocket else ""
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {authority}\r\n{fields}{more}\r\n".encode())
    return Running(mark, is_websocket, connection)
