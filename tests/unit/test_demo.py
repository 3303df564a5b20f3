"""What the demonstration answers, over a socket in memory."""

from __future__ import annotations

import getpass
import io
import json
import os
from typing import Any

import pytest

from supercloud import demo
from supercloud.demo import Demonstration


class Socket:
    """One end of a connection; it breaks after a number of writes."""

    def __init__(self, request: bytes, writes: int) -> None:
        self._request = request
        self._writes = writes
        self.sent = b""

    def makefile(self, mode: str, size: int) -> io.BytesIO:
        return io.BytesIO(self._request)

    def sendall(self, data: bytes) -> None:
        if not self._writes:
            raise BrokenPipeError
        self._writes -= 1
        self.sent += bytes(data)


def answer(path: str, *fields: str, writes: int = 100) -> tuple[bytes, bytes]:
    """Head and body."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    socket: Any = Socket("\r\n".join([*lines, "", ""]).encode(), writes)
    server: Any = None
    Demonstration(socket, ("127.0.0.1", 40000), server)
    head, _, body = socket.sent.partition(b"\r\n\r\n")
    return head, body


def test_the_page_shows_what_the_application_was_told() -> None:
    head, body = answer("/?x=1", "X-Forwarded-User: alice")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"<td>X-Forwarded-User</td><td>alice</td>" in body


def test_script_injection_by_a_field_is_escaped() -> None:
    _, body = answer("/", "X-Evil: <script>alert(1)</script>")
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert b"<script>alert" not in body


def test_who_it_runs_as_is_told_to_programs_too() -> None:
    head, body = answer("/who")
    assert b"Content-Type: application/json" in head
    assert json.loads(body) == {"user": getpass.getuser(), "uid": os.getuid()}


def test_the_clock_ticks_until_the_browser_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(demo.time, "sleep", slept.append)
    head, body = answer("/clock", writes=4)
    assert b"Content-Type: text/event-stream" in head
    assert body.count(b"data: ") == 3
    assert slept == [1, 1, 1]


def test_nothing_else_is_there() -> None:
    assert answer("/other")[0].startswith(b"HTTP/1.1 404 ")


def test_the_terminal_is_left_to_the_portal(capfd: pytest.CaptureFixture[str]) -> None:
    answer("/")
    answer("/other")
    assert capfd.readouterr() == ("", "")


def test_it_says_its_port_and_ends_with_whoever_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[tuple[str, int], type]] = []

    class Server:
        server_address = ("127.0.0.1", 40123)

        def __init__(self, address: tuple[str, int], handler: type) -> None:
            made.append((address, handler))

        def serve_forever(self) -> None:
            """Nobody comes."""

    said = io.StringIO()
    monkeypatch.setattr(demo, "ThreadingHTTPServer", Server)
    monkeypatch.setattr(demo.sys, "stdout", said)
    monkeypatch.setattr(demo.sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    demo.main()
    assert made == [(("127.0.0.1", 0), Demonstration)]
    assert said.getvalue() == "40123\n"
