"""Who gets in, and how it ends."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from supercloud.workers.server import IDLE, Server
from supercloud.workers.threads import MOST, Threads
from tests.unit.workers.serving import Start, serving


def hello(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]


def test_a_connection_from_another_uid_than_the_fronts_gets_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, hello, front_uid=os.getuid() + 1) as connect:
        stranger = connect()
        try:
            stranger.send(b"GET / HTTP/1.1\r\nHost: portal.test\r\n\r\n")
        except BrokenPipeError:
            return
        assert stranger.rest() == b""


def test_the_front_gets_in_after_a_stranger_was_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = iter([os.getuid() + 1, os.getuid()])
    asked = socket.socket.getsockopt

    def getsockopt(self: socket.socket, level: int, option: int, *size: int) -> Any:
        if option != socket.SO_PEERCRED:
            return asked(self, level, option, *size)
        return struct.pack("iII", 1, next(uids), 0)

    with serving(tmp_path, hello) as connect:
        monkeypatch.setattr(socket.socket, "getsockopt", getsockopt)
        stranger, front = connect(), connect()
        front.send(b"GET / HTTP/1.1\r\nHost: portal.test\r\n\r\n")
        assert front.answer() == (200, b"hello")
        assert stranger.rest() == b""


def test_unused_connections_are_kept_longer_than_the_front_keeps_them() -> None:
    assert IDLE > 60


def test_who_waits_for_a_thread_gets_one_in_the_end(tmp_path: Path) -> None:
    go_on = threading.Event()

    def slow(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        go_on.wait(10)
        return hello(environ, start)

    with serving(tmp_path, slow) as connect:
        fronts = [connect() for _ in range(MOST + 2)]
        for front in fronts:
            front.send(b"GET / HTTP/1.1\r\nHost: portal.test\r\n\r\n")
        go_on.set()
        assert {front.answer() for front in fronts} == {(200, b"hello")}


def test_no_more_threads_are_started_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []

    class Thread:
        daemon = False

        def __init__(self, server: object) -> None:
            pass

        def start(self) -> None:
            started.append(self)

    monkeypatch.setattr("supercloud.workers.threads.WorkerThread", Thread)
    threads = Threads(None, most=3)
    threads.start()
    for number in range(5):
        threads.put(number)
    assert len(started) == 3
    assert [threads.get() for _ in range(3)] == [0, 1, 2]
    assert not threads.stop(0)


def test_an_account_that_may_start_no_more_threads_is_served_by_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Thread:
        daemon = False
        may = iter([True, False, False])

        def __init__(self, server: object) -> None:
            pass

        def start(self) -> None:
            if not next(self.may):
                raise RuntimeError("can't start new thread")

    monkeypatch.setattr("supercloud.workers.threads.WorkerThread", Thread)
    threads = Threads(None)
    threads.start()
    for connection in ("first", "second", "third"):
        threads.put(connection)
    assert [threads.get() for _ in range(3)] == ["first", "second", "third"]


def test_what_is_under_way_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        began.set()
        go_on.wait(10)
        return hello(environ, start)

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    server = Server(listening, slow, login="alice", front_uid=os.getuid())
    server.expiration_interval = 0.01
    server.prepare()
    serving_ = threading.Thread(target=server.serve)
    serving_.start()
    with socket.socket(socket.AF_UNIX) as front:
        front.connect(str(tmp_path / "socket"))
        front.sendall(b"GET / HTTP/1.1\r\nHost: portal.test\r\n\r\n")
        assert began.wait(10)
        server.ready = False
        server._connections.stop()
        serving_.join()
        assert not server.finish(0.01)
        go_on.set()
        assert server.finish(10)
        assert front.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    server._connections.close()
