"""An application whose answers cost a gateway as much as they can: python -m bench.hostile PORT."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from itertools import repeat

_HEAD = b"HTTP/1.1 200 OK\r\n"
_BLOCK = 48_000
_HTML = b"Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
_FIELD = 126_000
_MOST = 64 << 20  # bytes of one answer


def _fill(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# By path: the head of an answer, and what follows it again and again.
ANSWERS: dict[str, tuple[bytes, bytes]] = {
    "/links": (_HEAD + b"Content-Length: 0\r\nLink: " + _fill(b"</x>,", _FIELD) + b"</x>\r\n\r\n", b""),
    "/some-links": (_HEAD + b"Content-Length: 0\r\nLink: " + _fill(b"</x>,", 4_900) + b"</x>\r\n\r\n", b""),
    "/cookies": (_HEAD + b"Content-Length: 0\r\nSet-Cookie: a=b" + b";" * _FIELD + b"\r\n\r\n", b""),
    "/chunks": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", _fill(b"1\r\nx\r\n", _BLOCK)),
    "/pages": (_HEAD + _HTML, _chunk(_fill(b"<a href=/x>", _BLOCK))),
    "/styles": (_HEAD + _HTML.replace(b"html", b"css", 1), _chunk(_fill(b"url(/)", _BLOCK))),
    "/frames": (b"", _fill(b"\x82\x00", _BLOCK)),
}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            if path == "/uploads":
                while await reader.read(1 << 16):
                    pass
                return
            begin, block = ANSWERS.get(path, (_HEAD + b"Content-Length: 2\r\n\r\nok", b""))
            writer.write(_accept(head) if path == "/frames" else begin)
            for _ in repeat(None, _MOST // len(block) if block else 0):
                writer.write(block)
                await writer.drain()
            await writer.drain()
            if block:
                return
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


def _accept(head: bytes) -> bytes:
    lines = [line.partition(b": ") for line in head.split(b"\r\n")]
    key = next(value for name, _, value in lines if name.lower() == b"sec-websocket-key")
    digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
        + digest
        + b"\r\n\r\n"
    )


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
