"""Ends of a WebSocket: a raw one that sends a case, and foreign clients and servers that judge it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from select import select
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Request
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from tests.acceptance.websocket_cases import CLOSE, PING, PONG, TEXT, Case, Frame, close

# Seconds; "nothing came" is a verdict too. Who listens gives up before who plays a case, so that it is always the same.
_PATIENCE = 8
_LISTENING = 3
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Verdict = tuple[Any, ...]
_LAST = Frame(TEXT, b"that was all")
_LAST_SEEN = (len(_LAST.payload), hashlib.sha256(_LAST.payload).hexdigest()[:8])


def digest(messages: list[str | bytes]) -> list[Any]:
    """Messages in a form that can be printed and compared."""
    found = []
    for one in messages:
        data = one.encode() if isinstance(one, str) else one
        found.append((type(one).__name__, len(data), hashlib.sha256(data).hexdigest()[:8]))
    return found


# What a raw end sees: frames of the other one, and how it ended.


class _Shared:
    """A socket that one thread reads and one writes: Python 3.11 lets both into OpenSSL at once, which corrupts it."""

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened
        self._lock = threading.Lock()
        self._read = b""

    def read(self, count: int) -> bytes:
        """So many bytes, or fewer at the end."""
        while len(self._read) < count:
            if not getattr(self._opened, "pending", int)() and not select([self._opened], [], [], _PATIENCE)[0]:
                raise TimeoutError
            with self._lock:
                piece = self._opened.recv(1 << 18)
            if not piece:
                break
            self._read += piece
        found, self._read = self._read[:count], self._read[count:]
        return found

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 16):
            with self._lock:
                self._opened.sendall(data[at : at + (1 << 16)])

    def cut(self) -> None:
        with self._lock:
            self._opened.shutdown(socket.SHUT_RDWR)


def play(opened: socket.socket, case: Case, *, masked: bool) -> Verdict:
    """Send a case and read what comes, until the other end is gone."""
    opened.settimeout(_PATIENCE)
    shared = _Shared(opened)
    seen: list[Any] = []
    reader = threading.Thread(target=_read_frames, args=(shared, seen))
    reader.start()
    is_closed_after = case.ends == "close"
    frames = [*case.frames, _LAST] if is_closed_after and masked else case.frames
    data = b"".join(frame.encode(masked=masked) for frame in frames)
    try:
        step = case.step or len(data)
        for at in range(0, len(data), step):
            shared.sendall(data[at : at + step])
        if is_closed_after:
            # A server may leave out what it had to answer once a close has come: wait for its last answer.
            while masked and reader.is_alive() and _LAST_SEEN not in seen:
                reader.join(0.005)
            shared.sendall(close(1000).encode(masked=masked))
        if case.ends == "cut":
            shared.cut()
        elif case.ends == "wait_or_cut":
            reader.join(0.5)
            if reader.is_alive():
                seen.append("silence")
                shared.cut()
    except OSError:
        pass  # The other end has seen enough.
    reader.join(_PATIENCE + 5)
    opened.close()
    return ("cut",) if case.ends == "cut" else tuple(seen)


def _read_frames(stream: _Shared, seen: list[Any]) -> None:
    message = b""
    try:
        while head := stream.read(2):
            opcode, short = head[0] & 15, head[1] & 127
            length = int.from_bytes(stream.read({126: 2, 127: 8}[short]), "big") if short > 125 else short
            key = stream.read(4) if head[1] & 128 else b"\0\0\0\0"
            payload = stream.read(length)
            if any(key):
                payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
            if opcode == CLOSE:
                seen.append(("close", int.from_bytes(payload[:2], "big") if payload else None))
                return
            if opcode in (PING, PONG):
                seen.append(("ping" if opcode == PING else "pong", payload))
                continue
            message += payload
            if head[0] & 128:
                seen.append((length, hashlib.sha256(message).hexdigest()[:8]))
                message = b""
        seen.append("end")
    except TimeoutError:
        seen.append("NOTHING CAME")
    except (OSError, ValueError):
        seen.append("end")


def dial(url: str, fields: dict[str, str], ca: Any) -> socket.socket:
    """A raw client that has made its handshake."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host, _, port = authority.partition(":")
    opened = socket.create_connection(("127.0.0.1", int(port)), _PATIENCE)
    if scheme == "wss":
        opened = ssl.create_default_context(cafile=str(ca)).wrap_socket(opened, server_hostname=host)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET /{path} HTTP/1.1", f"Host: {authority}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *(f"{n}: {v}" for n, v in fields.items())]
    opened.sendall("\r\n".join([*lines, "", ""]).encode())
    head = _read_head(opened)
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise ConnectionError(head)
    return opened


def _read_head(opened: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = opened.recv(1)
        if not byte:
            raise ConnectionError(head)
        head += byte
    return head


class CaseServer:
    """Plays a case for each client; its verdicts come in order."""

    def __init__(self) -> None:
        self.case = Case("none", ())
        self.verdicts: queue.Queue[Verdict] = queue.Queue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            opened, _ = self._listener.accept()
            lines = _read_head(opened).split(b"\r\n")
            fields = dict(line.split(b":", 1) for line in lines if b":" in line)
            key = next(value.strip() for name, value in fields.items() if name.lower() == b"sec-websocket-key")
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
            opened.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.verdicts.put(play(opened, self.case, masked=False))


# Foreign servers: they echo, and put (messages, close code) into a queue.


def serve_websockets(verdicts: queue.Queue[Verdict]) -> int:
    """A server by ``websockets``; gives its port."""

    def answer(connection: Any) -> None:
        messages = []
        try:
            for message in connection:
                messages.append(message)
                connection.send(message)
        except ConnectionClosed:
            pass
        verdicts.put((digest(messages), connection.close_code))

    server = serve(answer, "127.0.0.1", 0, max_size=None, compression=None, ping_interval=None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.socket.getsockname()[1])


def serve_wsproto(verdicts: queue.Queue[Verdict]) -> int:
    """A server by ``wsproto``; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def loop() -> None:
        while True:
            opened, _ = listener.accept()
            with opened:
                opened.settimeout(_PATIENCE)
                verdicts.put(_follow(opened, WSConnection(ConnectionType.SERVER), echo=True))

    threading.Thread(target=loop, daemon=True).start()
    return int(listener.getsockname()[1])


def _follow(opened: socket.socket, protocol: WSConnection, *, echo: bool) -> Verdict:
    messages: list[str | bytes] = []
    parts: list[Any] = []
    code: Any = "end"
    try:
        while data := opened.recv(1 << 16):
            protocol.receive_data(data)
            for event in protocol.events():
                match event:
                    case Request():
                        opened.sendall(protocol.send(AcceptConnection()))
                    case Message():
                        parts.append(event.data)
                        if event.message_finished:
                            whole = type(event.data)().join(parts)
                            parts = []
                            messages.append(whole)
                            if echo:
                                opened.sendall(protocol.send(Message(whole)))
                    case Ping():
                        opened.sendall(protocol.send(event.response()))
                    case CloseConnection():
                        code = int(event.code)
                        opened.sendall(protocol.send(event.response()))
                        return digest(messages), code
    except RemoteProtocolError as error:
        code = f"protocol error {error}"
    except (LocalProtocolError, TimeoutError, OSError) as error:
        code = type(error).__name__ if isinstance(error, LocalProtocolError | TimeoutError) else "end"
    return digest(messages), code


# Foreign clients: they only listen, and give (messages, close code).


def listen_websockets(url: str, fields: dict[str, str], ca: Any) -> Verdict:
    """A client by ``websockets``; its one with threads would read and write TLS at once, see `_Shared`."""
    return asyncio.run(_listen_websockets(url, fields, ca))


async def _listen_websockets(url: str, fields: dict[str, str], ca: Any) -> Verdict:
    context = ssl.create_default_context(cafile=str(ca)) if url.startswith("wss") else None
    options: dict[str, Any] = {"max_size": None, "compression": None, "ping_interval": None, "proxy": None}
    messages: list[Any] = []
    async with connect(url, ssl=context, additional_headers=fields, **options) as connection:
        try:
            while True:
                messages.append(await asyncio.wait_for(connection.recv(), _LISTENING))
        except ConnectionClosed:
            pass
        except TimeoutError:
            return digest(messages), "nothing came"
        return digest(messages), connection.close_code


def listen_wsproto(url: str, fields: dict[str, str], ca: Any) -> Verdict:
    """A client by ``wsproto``, after a handshake made by hand."""
    opened = dial(url, fields, ca)
    opened.settimeout(_LISTENING)
    protocol = _opened_client()
    with opened:
        return _follow(opened, protocol, echo=False)


def _opened_client() -> Any:
    from wsproto.connection import Connection

    return Connection(ConnectionType.CLIENT)


CLIENTS: dict[str, Callable[[str, dict[str, str], Any], Verdict]] = {
    "websockets": listen_websockets,
    "wsproto": listen_wsproto,
}
SERVERS: dict[str, Callable[[queue.Queue[Verdict]], int]] = {"websockets": serve_websockets, "wsproto": serve_wsproto}
