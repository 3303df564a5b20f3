"""An application that moves bytes as fast as the kernel does: python -m bench.application PORT

GET /stream/N    N bytes
PUT anything     reads the body, answers with its size
GET /die         begins a response and dies in the middle, in one of four ways
GET /deaths      how often that was
"""

from __future__ import annotations

import itertools
import socket
import struct
import sys
import threading

_BLOCK = 1 << 20
_deaths = itertools.count()
_counted = [0]
_RESET = struct.pack("ii", 1, 0)


class _Gone(Exception):
    """The connection is over."""


def _read_head(connection: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise _Gone
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _swallow(connection: socket.socket, head: bytes, rest: bytes, buffer: memoryview) -> bytes:
    """Read a body; what came after it is returned."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    fields = {name.lower(): value.strip() for name, _, value in lines}
    size = int(fields[b"content-length"])
    left = size - len(rest)
    while left > 0:
        count = connection.recv_into(buffer[: min(left, _BLOCK)])
        if not count:
            raise _Gone
        left -= count
    _answer(connection, b"%d" % size)
    return rest[size:]


def _answer(connection: socket.socket, body: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def _die(connection: socket.socket) -> None:
    number = next(_deaths)
    if number & 1:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(5000))
    else:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + bytes(4000))
    if number & 2:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    _counted[0] = number + 1
    raise _Gone


def _serve(connection: socket.socket) -> None:
    buffer, rest = memoryview(bytearray(0)), b""
    with connection:
        try:
            while True:
                head, rest = _read_head(connection, rest)
                method, path, _ = head.split(b" ", 2)
                if method == b"PUT":
                    buffer = buffer or memoryview(bytearray(_BLOCK))
                    rest = _swallow(connection, head, rest, buffer)
                elif path == b"/die":
                    _die(connection)
                elif path == b"/deaths":
                    _answer(connection, b"%d" % _counted[0])
                else:
                    left = int(path.rpartition(b"/")[2])
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
                    block = memoryview(bytes(_BLOCK))
                    while left:
                        connection.sendall(block[: min(left, _BLOCK)])
                        left -= min(left, _BLOCK)
        except (_Gone, ConnectionError):
            return


def main() -> None:
    """Accept for ever, a thread each."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
