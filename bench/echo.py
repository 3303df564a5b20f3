"""A WebSocket application that answers each message with one as long, made before: python -m bench.echo PORT

The path says how long messages are: /echo/1024. It does not look into them, so that it is never the bottleneck.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys

from bench.frames import Counter, frame, pong

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._head: bytes | None = b""
        self._counter = Counter()
        self._size, self._seen, self._answer = 1, 0, b""

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._open(head)
        self._seen += self._counter.feed(data)
        if self._counter.pings:
            self._transport.write(b"".join(map(pong, self._counter.pings)))
            self._counter.pings.clear()
        if count := self._seen // self._size:
            self._seen -= count * self._size
            self._transport.write(self._answer * count)
        if self._counter.is_closed:
            self._transport.write(frame(b"\x03\xe8", opcode=8))
            self._transport.close()

    def _open(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        digest = hashlib.sha1(fields[b"sec-websocket-key"] + _GUID, usedforsecurity=False).digest()
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
        )
        self._size = int(first.split(b" ")[1].rpartition(b"/")[2])
        self._answer = frame(b"y" * self._size)
        self._head = None


async def main() -> None:
    """Accept for ever."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
