"""A name server in a test's own namespaces: every name is this machine's loopback address."""

from __future__ import annotations

import functools
import socket
import struct
import threading
from pathlib import Path

_A = 1  # a question for an IPv4 address, RFC 1035 section 3.2.2
_LOOPBACK = socket.inet_aton("127.0.0.1")


@functools.cache
def serve() -> None:
    """Begin, and have everything on this machine ask here; it goes on until the process ends."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=_answer, args=(server,), daemon=True).start()
    settings = Path("/etc/resolv.conf")
    settings.unlink(missing_ok=True)
    settings.write_text("nameserver 127.0.0.1\n")


def _answer(server: socket.socket) -> None:
    while True:
        message, whose = server.recvfrom(512)
        server.sendto(answer(message), whose)


def answer(message: bytes) -> bytes:
    """RFC 1035 section 4: the question as it came, and for an A record the address."""
    end = message.index(0, 12) + 5
    is_wanted = struct.unpack("!H", message[end - 4 : end - 2])[0] == _A
    head = message[:2] + struct.pack("!HHHHH", 0x8580, 1, int(is_wanted), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, _A, 1, 60, 4) + _LOOPBACK  # the name is that at octet 12
    return head + message[12:end] + (record if is_wanted else b"")
