"""A program under a name, for as long as it runs."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from supercloud.forward_files import ForwardFiles, NotDone
from supercloud.forward_run import Plan, choose_port, listens_here, run

_SHOW = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text(), sys.argv[2], file=open(sys.argv[3], 'w'))"


@pytest.mark.parametrize(("reserved", "port"), [("12000", 12000), ("12000-12003", 12000), (" 12001,12005", 12001)])
def test_the_first_reserved_port_is_taken(reserved: str, port: int) -> None:
    assert choose_port({"SLURM_STEP_RESV_PORTS": reserved}) == port


@pytest.mark.parametrize("reserved", ["(null)", "0", "x", "-1", "99999", "123456"])
def test_what_is_no_reserved_port_is_said(reserved: str) -> None:
    with pytest.raises(NotDone, match="SLURM_STEP_RESV_PORTS"):
        choose_port({"SLURM_STEP_RESV_PORTS": reserved})


def test_without_slurm_a_free_port_is_taken() -> None:
    port = choose_port({})
    with socket.create_server(("", port)):
        pass


class Ran:
    """A folder of forwards, and what was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = ForwardFiles(folder)
        self.told: list[str] = []

    def __call__(
        self, *command: str, node: str = "node1", listens: Callable[[int], str | None] = lambda _: "0.0.0.0"
    ) -> int:
        plan = Plan("alice-tb", command, node, 8080, "https://alice-tb.fn.portal.test/")
        return run(plan, self.files, self.told.append, listens)

    def python(self, program: str, *words: str, **how: Callable[[int], str | None]) -> int:
        return self(sys.executable, "-I", "-S", "-c", program, *words, **how)


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    (tmp_path / "fw").mkdir()
    return Ran(tmp_path / "fw")


def test_the_forward_is_there_while_the_program_runs_and_gone_then(ran: Ran, tmp_path: Path) -> None:
    assert ran.python(_SHOW, str(ran.folder / "alice-tb"), "at {port}", str(tmp_path / "out")) == 0
    assert (tmp_path / "out").read_text() == "http://node1:8080/\n at 8080\n"
    assert list(ran.folder.iterdir()) == []
    assert ran.told == ["Open https://alice-tb.fn.portal.test/"]


@pytest.mark.parametrize(
    ("program", "status"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", 143), ("import os; os.abort()", 134)],
)
def test_the_exit_status_is_the_programs(ran: Ran, program: str, status: int) -> None:
    assert ran.python(program) == status
    assert list(ran.folder.iterdir()) == []


def test_a_program_that_never_listens_has_no_address(ran: Ran) -> None:
    assert ran.python("", listens=lambda _: None) == 0
    assert ran.told == []


def test_who_listens_on_loopback_only_is_told(ran: Ran) -> None:
    ran.python("", listens=lambda _: "127.0.0.1")
    assert "0.0.0.0" in ran.told[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on(ran: Ran, tmp_path: Path, number: signal.Signals) -> None:
    """The program is listened for once it has its own handler; the signal comes then."""
    ready = tmp_path / "ready"
    program = (
        "import pathlib, signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "while True: signal.pause()"
    )

    def listens(_: int) -> str | None:
        if not ready.exists():
            return None
        threading.Timer(0, os.kill, (os.getpid(), number)).start()
        return "0.0.0.0"

    before = signal.getsignal(number)
    assert ran.python(program, str(ready), listens=listens) == 9
    assert signal.getsignal(number) is before


def test_a_command_that_is_not_there_leaves_no_forward(ran: Ran) -> None:
    with pytest.raises(NotDone, match="No such file"):
        ran("/nonexistent/program")
    assert list(ran.folder.iterdir()) == []


def test_a_name_that_is_taken_starts_nothing(ran: Ran, tmp_path: Path) -> None:
    (ran.folder / "alice-tb").mkdir()
    with pytest.raises(NotDone):
        ran.python("open(__import__('sys').argv[1], 'w')", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_forward_that_was_made_anew_meanwhile_stays(ran: Ran) -> None:
    file = ran.folder / "alice-tb"
    program = "import os, sys; os.rename(sys.argv[1], sys.argv[1] + '-old'); open(sys.argv[1], 'w')"
    assert ran.python(program, str(file)) == 0
    assert file.exists()


def test_a_listener_of_ones_own_is_found_where_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert listens_here(port) == "127.0.0.1"
    assert listens_here(port) is None
