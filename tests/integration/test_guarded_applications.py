"""The guard before an application, as a program of its own: what passes, and that nothing else does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.portal import ROOT, until
from lab.processes import PYTHON, Processes, free_port, wait_until_listening

_GUARD = ROOT / "supercloud" / "applications" / "guard.py"
_SECRET = "0123456789abcdef"
_SHOWN = f"GET /first HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {_SECRET}\r\n\r\n".encode()


class Application:
    """Echoes what comes, and remembers it."""

    def __init__(self, path: Path) -> None:
        self.received: list[bytes] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                self.received.append(data)
                connection.sendall(data)


@pytest.fixture
def guarded(processes: Processes) -> Iterator[SimpleNamespace]:
    folder = Path(tempfile.mkdtemp(prefix="supercloud-guard-", dir="/tmp"))
    application = Application(folder / "socket")
    port = free_port()
    argv = [PYTHON, "-I", str(_GUARD), "127.0.0.1", str(port), str(folder / "socket"), str(os.getpid())]
    guard = processes.start(argv, env={"TOKEN": _SECRET}, stderr=subprocess.PIPE)
    wait_until_listening("127.0.0.1", port, process=guard)
    yield SimpleNamespace(port=port, application=application, guard=guard, folder=folder)
    application.close()
    shutil.rmtree(folder, ignore_errors=True)


def connect(guarded: SimpleNamespace) -> socket.socket:
    return socket.create_connection(("127.0.0.1", guarded.port), timeout=10)


def all_of(connection: socket.socket) -> bytes:
    pieces = []
    while data := connection.recv(65536):
        pieces.append(data)
    return b"".join(pieces)


def test_who_shows_the_secret_reaches_the_application_both_ways(guarded: SimpleNamespace) -> None:
    body = os.urandom(3_000_000)
    with connect(guarded) as connection:
        connection.sendall(_SHOWN)
        sender = threading.Thread(target=lambda: (connection.sendall(body), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        assert all_of(connection) == _SHOWN + body
        sender.join()


@pytest.mark.parametrize(
    "attack",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Bearer 0123456789abcdeF\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + _SHOWN,
        b"GET / HTTP/1.1\r\nCookie: " + b"a" * 70_000 + b"\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 20 + b"\r\n\r\n",
    ],
)
def test_not_one_byte_of_anybody_else_does(guarded: SimpleNamespace, attack: bytes) -> None:
    with connect(guarded) as connection:
        connection.sendall(attack)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = all_of(connection)
        except ConnectionResetError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 401 ")
    assert guarded.application.received == []


def test_a_head_as_large_as_the_portal_takes_is_let_in(guarded: SimpleNamespace) -> None:
    """It adds fields of its own to what a browser sends; with many cookies that was more than the guard took."""
    head = _SHOWN.removesuffix(b"\r\n") + b"Cookie: " + b"a" * 64 * 1024 + b"\r\n\r\n"
    with connect(guarded) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        assert all_of(connection) == head


def test_a_visitor_who_says_nothing_keeps_nobody_out(guarded: SimpleNamespace) -> None:
    with connect(guarded), connect(guarded) as half, connect(guarded) as connection:
        half.sendall(_SHOWN[:-4])
        connection.sendall(_SHOWN)
        assert connection.recv(65536) == _SHOWN


def test_it_ends_in_order_and_takes_its_folder_along(guarded: SimpleNamespace) -> None:
    with connect(guarded) as connection:
        connection.sendall(_SHOWN)
        assert connection.recv(65536) == _SHOWN
        guarded.guard.send_signal(signal.SIGTERM)
        assert (guarded.guard.wait(10), guarded.guard.stderr.read()) == (0, b"")
        assert all_of(connection) == b""
    assert not guarded.folder.exists()


def test_it_ends_with_its_job(processes: Processes, tmp_path: Path) -> None:
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="supercloud-guard-", dir="/tmp"))
    application = Application(folder / "socket")
    argv = [PYTHON, "-I", str(_GUARD), "127.0.0.1", str(port), str(folder / "socket")]
    script = f'"$@" $$ & echo $! >{tmp_path}/pid; wait'
    job = processes.start(["bash", "-c", script, "job", *argv], env={"TOKEN": _SECRET})
    wait_until_listening("127.0.0.1", port, process=job)
    pid = int((tmp_path / "pid").read_text())
    job.kill()
    job.wait()
    until(lambda: not _is_there(pid), "the guard's end")
    application.close()
    assert not folder.exists()


@pytest.mark.root
def test_the_socket_behind_it_is_closed_to_others(guarded: SimpleNamespace, accounts: Any) -> None:
    program = f"import socket; socket.socket(socket.AF_UNIX).connect({str(guarded.folder / 'socket')!r})"
    bob = accounts.run_as("bob", [PYTHON, "-c", program], stderr=subprocess.PIPE, text=True)
    assert "PermissionError" in bob.communicate(timeout=20)[1]


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
