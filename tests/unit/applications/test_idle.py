"""Whether anybody uses an application, as its own job judges."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from supercloud.applications import idle
from supercloud.applications.idle import Judge, Uses, gpus, jupyter, processor


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def judge(folder: Path, clock: Clock, *uses: Uses) -> Judge:
    return Judge(folder, 1, 100.0, list(uses), clock)


def told(folder: Path) -> dict[str, float]:
    return dict(json.loads((folder / "idle.json").read_text()))


def test_what_nobody_uses_ends_and_says_before_when(tmp_path: Path, clock: Clock) -> None:
    one = judge(tmp_path, clock, lambda: 0.0)
    clock.now += 99
    assert not one.look()
    assert told(tmp_path) == {"since": 1000.0, "ends": 1100.0}
    clock.now += 1
    assert one.look()
    assert "Nobody used it for 100 seconds" in (tmp_path / "ended").read_text()


def test_use_counts_from_when_it_was(tmp_path: Path, clock: Clock) -> None:
    used = [0.0]
    one = judge(tmp_path, clock, lambda: used[0], lambda: 0.0)
    clock.now, used[0] = 1090.0, 1050.0
    assert not one.look()
    assert told(tmp_path)["ends"] == 1150.0
    clock.now = 1149.0
    assert not one.look()
    used[0] = 9999.0  # of a clock that is ahead
    assert not one.look()
    assert told(tmp_path)["since"] == 1149.0


def test_who_cannot_be_asked_ends_nothing(tmp_path: Path, clock: Clock) -> None:
    def broken() -> float:
        raise OSError("no answer")

    one = judge(tmp_path, clock, lambda: 0.0, broken)
    for _ in range(5):
        clock.now += 99
        assert not one.look()


def test_whoever_renews_it_keeps_it(tmp_path: Path, clock: Clock) -> None:
    one = judge(tmp_path, clock, lambda: 0.0)
    (tmp_path / "renewed").touch()
    os.utime(tmp_path / "renewed", (1090, 1090))
    clock.now = 1101.0
    assert not one.look()
    clock.now = 1190.0
    assert one.look()


def test_a_full_disk_ends_nothing_before_its_time(tmp_path: Path, clock: Clock) -> None:
    one = judge(tmp_path / "gone", clock, lambda: 0.0)
    assert not one.look()
    clock.now += 100
    assert one.look()


def test_processors_at_work_are_use(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = [1000]
    now = [5000.0]
    names = ["python3"]
    monkeypatch.setattr(idle, "_ticks", lambda job_id: ticks[0])
    within = [b""]
    monkeypatch.setattr(idle, "_others", lambda job_id: iter(range(len(names))))
    monkeypatch.setattr(idle, "_name", names.__getitem__)
    monkeypatch.setattr(idle, "_environment", lambda pid: within)
    monkeypatch.setattr(time, "time", lambda: now[0])
    uses = processor("7")
    second = os.sysconf("SC_CLK_TCK")
    now[0], ticks[0] = 5060.0, 1000 + 2 * second  # 3 % of one, as a server that waits
    assert uses() == 0.0
    now[0], ticks[0] = 5120.0, 1000 + 9 * second
    assert uses() == 5120.0
    now[0], ticks[0] = 5180.0, 1000  # processes have ended
    assert uses() == 0.0
    names.append("srun")  # which started the application
    assert uses() == 0.0
    within.append(b"SUPERCLOUD_FOLDER=/x")  # which the application started, perhaps on other nodes
    assert uses() == 5180.0


def test_the_processes_of_a_job_are_told_by_its_number() -> None:
    mark = f"t{os.getpid()}"
    child = subprocess.Popen(["/bin/sleep", "60"], env={"SLURM_JOB_ID": mark})
    try:
        assert list(idle._others(mark)) == [child.pid]  # Popen comes back when the program is there
        assert list(idle._others(mark[:-1])) == []
        assert idle._name(child.pid) == "sleep"
        assert idle._ticks(mark) >= 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("said", "busy"), [("0\n0\n", False), ("0\n37\n", True), ("1\n", False)])
def test_a_gpu_at_work_is_use(tmp_path: Path, said: str, busy: bool) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{said}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert (gpus(str(program))() > 0) == busy


@pytest.mark.parametrize("script", ["echo '[N/A]'", "exit 9"])
def test_a_gpu_that_cannot_be_asked_is_no_answer(tmp_path: Path, script: str) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(Exception, match=r"invalid literal|non-zero"):
        gpus(str(program))()


class Jupyter:
    """Says what a Jupyter server would."""

    def __init__(self) -> None:
        self.kernels: Any = []
        self.last = datetime(2026, 11, 1, 12, tzinfo=UTC)
        self.seen: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append((self.path, self.headers["Authorization"]))
                last = outer.last.isoformat().replace("+00:00", "Z")
                body = outer.kernels if "kernels" in self.path else {"last_activity": last}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Jupyter]:
    made = Jupyter()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_jupyter_says_when_it_was_used(server: Jupyter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    uses = jupyter(server.server.server_port, "secret")
    assert uses() == server.last.timestamp()
    server.kernels = [{"execution_state": "idle"}, {"execution_state": "starting"}]
    assert uses() == server.last.timestamp()
    server.kernels = [{"execution_state": "idle"}, {"execution_state": "busy"}]
    assert uses() > server.last.timestamp()
    assert {path for path, _ in server.seen} == {
        "/api/kernels?no_track_activity=1", "/api/status?no_track_activity=1"
    }  # fmt: skip
    assert {authorization for _, authorization in server.seen} == {"token secret"}


def test_a_jupyter_that_says_something_else_is_no_answer(server: Jupyter) -> None:
    server.kernels = {"message": "Forbidden"}
    with pytest.raises(TypeError):
        jupyter(server.server.server_port, "wrong")()


def test_the_token_goes_to_no_listener_of_somebody_elses(server: Jupyter, monkeypatch: pytest.MonkeyPatch) -> None:
    uses = jupyter(server.server.server_port, "secret")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConnectionError):
        uses()
    assert server.seen == []


def test_nobody_is_asked_before_the_server_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError, match="nobody"):
            jupyter(bound.getsockname()[1], "secret")()
