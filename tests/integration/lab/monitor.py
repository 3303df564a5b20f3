"""The monitor as a process with a fake zygote, real accounts' passwords and PAM services of the tests' own."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supercloud.monitor.__main__ import Surroundings
from supercloud.monitor.client import start_monitor
from supercloud.monitor.kinds import Bounds
from supercloud.monitor.sessions import Patience
from supercloud.monitor.wire import (
    VERSION,
    AccountRead,
    Answer,
    CheckPassword,
    PasswordChecked,
    ReadAccount,
    Request,
    StartWorker,
    Task,
    WorkerStarted,
)
from supercloud.packets import Gone, Packets

FAKES = Path(__file__).parents[2] / "fakes"
ME = pwd.getpwuid(os.geteuid())
SERVICE = f"supercloud-test-monitor-{os.getpid()}"  # two runs may share a host
SLOW_SERVICE = f"{SERVICE}-slow"
# Put before a command: starts it with a descriptor that it should not have.
WITH_A_DESCRIPTOR = (
    sys.executable,
    "-c",
    "import os, sys; os.dup2(os.open('/etc/passwd', 0), 9); os.execv(sys.argv[1], sys.argv[1:])",
)
# Programs of theirs hang: while it judges an account, opens a session, closes one.
HANGING = {part: f"{SERVICE}-{part}" for part in ("account", "open", "close")}
ZYGOTE = Surroundings().zygote
QUICK = Bounds(password=5.0, account=3.0, search=2.0)


class Running:
    """A monitor, and the front's end of its socket."""

    def __init__(self, task: Task, surroundings: Surroundings, prefix: tuple[str, ...] = ()) -> None:
        command = (*prefix, sys.executable, str(FAKES / "monitor.py"), msgspec.json.encode(surroundings).decode())
        self.task = task
        self.socket, self.process = start_monitor(task, command)
        self.socket.settimeout(15)
        self.packets: Packets[Answer] = Packets(self.socket, Answer)

    def ask(self, request: Request, *descriptors: int) -> Answer:
        self.packets.send(request, descriptors)
        return self.next()

    def next(self) -> Answer:
        answer, descriptors = self.packets.receive()
        assert not descriptors
        return answer

    def check(self, login: str, password: bytes, number: int = 1) -> str:
        answer = self.ask(CheckPassword(number, login, "192.0.2.7"), *self.pipe(password))
        assert isinstance(answer, PasswordChecked)
        assert answer.id == number
        return answer.outcome

    def pipe(self, password: bytes) -> list[int]:
        reading, writing = os.pipe()
        os.write(writing, password)
        os.close(writing)
        _OPEN.append(reading)
        return [reading]

    def state(self, uid: int) -> str:
        answer = self.ask(ReadAccount(1, uid))
        assert isinstance(answer, AccountRead)
        return answer.state

    def start(self, uid: int = ME.pw_uid, login: str = ME.pw_name) -> WorkerStarted:
        answer = self.ask(StartWorker(5, uid, login))
        assert isinstance(answer, WorkerStarted), answer
        return answer

    def ends(self) -> int:
        """Exit status; nothing may be answered before."""
        with pytest.raises(Gone):
            self.next()
        return self.process.wait(10)

    def pid_of(self, name: str) -> int:
        """Of the zygote, or of a holder."""
        path = Path(self.task.run, name)
        until(path.exists)
        until(lambda: bool(path.read_text()))
        return int(path.read_text().split()[0])


_OPEN: list[int] = []


def until(holds: Callable[[], bool], within: float = 10.0) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def name_of(pid: int) -> str:
    """As ``ps -o comm`` shows it; nothing when it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def below(pid: int) -> set[int]:
    """Its children and theirs."""
    with suppress(FileNotFoundError, ProcessLookupError):
        children = set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        return children.union(*map(below, children))
    return set()


def embedded(run: Path) -> Task:
    return Task(VERSION, ME.pw_uid, ME.pw_uid, 1000, "", str(run), str(run / "portal.sock"), {"/home": "~"})


def of_root(run: Path, service: str = "") -> Task:
    return Task(VERSION, pwd.getpwnam("nobody").pw_uid, None, 1000, service, str(run), str(run / "portal.sock"), {})


Start = Callable[..., Running]


@contextmanager
def monitors(tmp_path: Path) -> Iterator[Start]:
    """Starts monitors with a fake zygote; ended when the block ends."""
    started: list[Running] = []

    def start(task: Task | None = None, habit: str = "serves", prefix: tuple[str, ...] = (), **fields: Any) -> Running:
        surroundings = Surroundings(
            **{
                "zygote": (sys.executable, str(FAKES / "zygote.py"), habit),
                "nologin": (str(tmp_path / "nologin"),),
                "bounds": QUICK,
                "patience": Patience(start=3.0, stop=1.0),
                **fields,
            }
        )
        started.append(Running(task or embedded(tmp_path), surroundings, prefix))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.packets.close()
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(10)
            one.process.kill()
            one.process.wait()
        while _OPEN:
            os.close(_OPEN.pop())


@contextmanager
def services() -> Iterator[None]:
    """PAM services of our own: the account database's; and one whose modules take their time."""
    files = {
        SERVICE: "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n",
        SLOW_SERVICE: "auth optional pam_exec.so quiet /bin/sleep 30\nauth required pam_unix.so nodelay\n"
        "account required pam_unix.so\n",
        HANGING["account"]: "account required pam_exec.so quiet /bin/sleep 30\n",
        HANGING["open"]: "account required pam_unix.so\nsession required pam_exec.so quiet /bin/sleep 30\n",
        HANGING["close"]: "account required pam_unix.so\nsession required pam_permit.so\n"
        "session required pam_exec.so quiet type=close_session /bin/sleep 30\n",
    }
    for name, text in files.items():
        Path("/etc/pam.d", name).write_text(text)
    try:
        yield
    finally:
        for name in files:
            Path("/etc/pam.d", name).unlink()
