"""One account's browsers that ask for all they can get: python -m bench.attack PORT CA HOST COOKIE UPSTREAM NAME."""

from __future__ import annotations

import asyncio
import ssl
import sys

# Connections of each attack.
ATTACKS: dict[str, int] = {
    "links": 32,
    "some-links": 32,
    "cookies": 32,
    "chunks": 40,
    "uploads": 40,
    "pages": 150,
    "styles": 150,
    "frames": 40,
    "pipelined": 40,
}
_BLOCK = 48_000


class _Attacker:
    def __init__(self, port: int, ca: str, host: str, cookie: str, upstream: int, name: str) -> None:
        self._port, self._name = port, name
        self._context = ssl.create_default_context(cafile=ca)
        self._path = f"/fw2/localhost:{upstream}/{name}"
        self._fields = f"Host: {host}\r\nCookie: {cookie}\r\n"

    async def run(self) -> None:
        while True:
            try:
                await self._once()
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await asyncio.sleep(0.2)

    async def _once(self) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="localhost", limit=1 << 20
        )
        try:
            if self._name == "uploads":
                await self._upload(writer)
            elif self._name == "frames":
                writer.write(self._head("GET", _SOCKET))
                await asyncio.gather(_swallow(reader), _pour(writer, b"\x82\x80abcd" * (_BLOCK // 6)))
            elif self._name == "pipelined":
                await asyncio.gather(_swallow(reader), _pour(writer, self._head("GET") * 100))
            else:
                while not reader.at_eof():
                    writer.write(self._head("GET"))
                    await reader.readuntil(b"\r\n\r\n")
                    if self._name in ("chunks", "pages", "styles"):
                        await _swallow(reader)
        finally:
            writer.close()

    async def _upload(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self._head("PUT", "Transfer-Encoding: chunked\r\n"))
        await _pour(writer, b"1\r\nx\r\n" * (_BLOCK // 6))

    def _head(self, method: str, more: str = "") -> bytes:
        return f"{method} {self._path} HTTP/1.1\r\n{self._fields}{more}\r\n".encode()


_SOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


async def _pour(writer: asyncio.StreamWriter, block: bytes) -> None:
    while True:
        writer.write(block)
        await writer.drain()


async def _main() -> None:
    port, ca, host, cookie, upstream, name = sys.argv[1:]
    attacker = _Attacker(int(port), ca, host, cookie, int(upstream), name)
    await asyncio.gather(*(attacker.run() for _ in range(ATTACKS[name])))


if __name__ == "__main__":
    asyncio.run(_main())
