"""Stands before an application that asks nobody who they are, and lets in whoever shows the job's secret.

The application listens at a socket in a folder that only its account enters; this listens at the job's port. The
portal shows the secret for the job's owner, and for nobody else. A connection's first request decides about all of it:
whoever has shown the secret there is at its other end until it closes.

A program of its own: the job's script runs it on a node, with the Python that is there (3.8 or newer).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hmac
import os
import shutil
import signal
import sys
from pathlib import Path

MOST_HEAD = 128 * 1024  # bytes of a request's head; the portal takes 64 KiB and adds a few fields of its own
_HEAD_WITHIN = 30.0  # seconds
_PIECE = 64 * 1024  # bytes
_PR_SET_PDEATHSIG = 1
_REFUSAL = (
    b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 49\r\n\r\nOpen this application from its page in the portal"
)


def admits(head: bytes, secret: str) -> bool:
    """Whether a request shows the secret: in one ``Authorization`` field, ``Bearer SECRET``."""
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    shown = [value.strip() for name, _, value in fields if name.lower() == b"authorization"]
    return bool(secret) and len(shown) == 1 and hmac.compare_digest(shown[0], b"Bearer " + secret.encode("ascii"))


class Guard:
    """Carries connections to the application.

    :param application: path of its socket.
    """

    def __init__(self, application: Path, secret: str) -> None:
        self._application = application
        self._secret = secret

    async def serve(self, address: str, port: int) -> None:
        """Listen from when the application does, until cancelled."""
        while not await self._answers():  # noqa: ASYNC110  (nothing tells when another program listens)
            await asyncio.sleep(0.1)
        server = await asyncio.start_server(self._visit, address, port, limit=MOST_HEAD)
        async with server:
            await server.serve_forever()

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self._application))
        except OSError:
            return False
        writer.close()
        return True

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_WITHIN)
            except (EOFError, OSError, asyncio.LimitOverrunError, asyncio.TimeoutError):  # noqa: UP041  (two classes before 3.11)
                return
            if not admits(head, self._secret):
                writer.write(_REFUSAL)
                return
            try:
                inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._application))
            except OSError:
                return
            with contextlib.closing(inner_writer):
                inner_writer.write(head)
                await asyncio.gather(_carry(reader, inner_writer), _carry(inner_reader, writer))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until its end, which is passed on; a way that broke ends the other one, too."""
    try:
        while True:
            data = await reader.read(_PIECE)
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


def main() -> None:
    """``guard.py ADDRESS PORT SOCKET PARENT``, with the secret in ``TOKEN``; ends with its parent."""
    address, port, socket, parent = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before
        return

    async def run() -> None:
        serving = asyncio.ensure_future(Guard(socket, os.environ["TOKEN"]).serve(address, port))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    try:
        asyncio.run(run())
    finally:
        shutil.rmtree(socket.parent, ignore_errors=True)


if __name__ == "__main__":
    main()
