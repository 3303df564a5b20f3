"""A zygote and its workers, as the monitor starts them; and requests to them as the front's account sends them."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from supercloud.monitor.wire import VERSION, Task
from supercloud.packets import Packets, close_all
from supercloud.workers.wire import Born, Ended, Fork, Ready, Refused, Status, Stop

APPLICATION = Path(__file__).with_name("worker_application.py")
IN_A_NAMESPACE = ("unshare", "--mount", sys.executable, "-I", str(APPLICATION))
# What the monitor starts.
REAL = (sys.executable, "-I", "-m", "supercloud.workers.zygote")
PROJECT = Path(__file__).parents[3]
FRONT = 20004  # dave
# Of the zygote's environment, which workers must not see.
SECRET = "a-secret-of-roots"

_ONE_AT_A_TIME = threading.Lock()


class Session:
    """What the monitor has of one worker: its path and the status socket."""

    def __init__(self, path: Path, status: socket.socket, uid: int, front_uid: int) -> None:
        self.path = path
        self.uid = uid
        self.pid = 0
        self._front_uid = front_uid
        status.settimeout(15)
        self._status: Packets[Status] = Packets(status, Status)

    def report(self) -> Ready | Refused | Ended:
        """The next one, after the holder has introduced itself."""
        said, descriptors = self._status.receive()
        if isinstance(said, Born):
            close_all(descriptors)
            return self.report()
        if isinstance(said, Ready):
            self.pid = said.pid
        return said

    def is_over(self) -> bool:
        """Whether the holder has closed its end."""
        return self._status.socket.recv(1) == b""

    def stop(self) -> None:
        self._status.send(Stop())

    def leave(self) -> None:
        """As when the monitor dies."""
        self._status.close()

    def connect(self, uid: int | None = None) -> socket.socket:
        """Connect as an account; the front's when none is said."""
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(15)
        with acting_as(self._front_uid if uid is None else uid):
            connected.connect(str(self.path))
        return connected

    def browser(self) -> http.client.HTTPConnection:
        """A kept connection of the front's."""
        connection = http.client.HTTPConnection("portal.test", timeout=15)
        connection.sock = self.connect()
        return connection

    def run(self, code: str) -> Any:
        """What Python code says in the worker, in its variable ``said``."""
        return self.ask("POST", "/run", code.encode())[1]

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Status and JSON of a request on a connection of its own."""
        connection = self.browser()
        try:
            connection.request(method, path, body, **options)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if answer.headers["Content-Type"] == "application/json" else text


class Zygote:
    """Plays the monitor.

    :param run: folder for sockets, open to the front's account.
    :ivar log: what came on standard error.
    """

    def __init__(self, run: Path, *, command: tuple[str, ...], stderr: int | None, **task: Any) -> None:
        self._run = run
        self._count = 0
        self._sessions: list[Session] = []
        self.log = run / "log"
        defaults = {"front_uid": FRONT, "only_uid": None, "min_uid": 1000, "pam_service": "", "roots": {"/": "/"}}
        self.task = Task(**{"version": VERSION, "run": str(run), "desk": str(run / "portal.sock"), **defaults, **task})
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link: Packets[Any] = Packets(ours, Any)
        arguments = [*command, str(theirs.fileno()), msgspec.json.encode(self.task).decode()]
        with theirs, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                arguments,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=log if stderr is None else stderr,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "SECRET": SECRET, "TMPDIR": "/root/tmp"},
            )

    def fork(self, uid: int, login: str) -> Session:
        """Send the order; the caller takes the report."""
        self._count += 1
        path = self._run / f"{uid}-{self._count}.sock"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with socket.socket(socket.AF_UNIX) as listening, theirs:
            listening.bind(str(path))
            os.chown(path, self.task.front_uid, -1)
            path.chmod(0o600)
            self.link.send(Fork(self._count, uid, login), [listening.fileno(), theirs.fileno()])
        session = Session(path, ours, uid, self.task.front_uid)
        self._sessions.append(session)
        return session

    def started(self, uid: int, login: str) -> Session:
        """Fork a worker that serves."""
        session = self.fork(uid, login)
        said = session.report()
        if not isinstance(said, Ready):
            raise AssertionError(f"{said}; {self.log.read_text()}")
        return session

    def close(self) -> int:
        """End as when the monitor dies, and wait for the zygote and all holders.

        :return: the zygote's exit code.
        """
        for session in self._sessions:
            with session._status.socket as status:
                if status.fileno() >= 0:
                    with suppress(ConnectionError):
                        status.shutdown(socket.SHUT_WR)
                        while status.recv(65536):
                            pass
        self.link.close()
        return self.process.wait(10)


@contextmanager
def zygote(*, command: tuple[str, ...] = (), stderr: int | None = None, **task: Any) -> Iterator[Zygote]:
    """A zygote with the tests' application, until the block ends."""
    run = Path(tempfile.mkdtemp(prefix="supercloud-run-", dir="/tmp"))
    run.chmod(0o711)
    made = Zygote(run, command=command or (sys.executable, "-I", str(APPLICATION)), stderr=stderr, **task)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(run)


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Be another account for a moment, with its effective id only."""
    with _ONE_AT_A_TIME:  # the id is the whole process's
        before = os.geteuid()
        os.seteuid(uid)
        try:
            yield
        finally:
            os.seteuid(before)


def status_of(pid: int) -> dict[str, str]:
    """Fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def readable_memory(pid: int) -> Iterator[bytes]:
    """What a process could write to, piece by piece: nothing of root's may be in it."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            place, rights, *_ = line.split()
            if rights.startswith("rw"):
                start, end = (int(word, 16) for word in place.split("-"))
                memory.seek(start)
                yield memory.read(end - start)


def attempt(worker: Session, code: str) -> str:
    """What comes of a statement in a worker: ``worked``, or the error's name."""
    lines = ["import os, ctypes, signal, socket", "try:", f"    {code}", "    said = 'worked'"]
    return str(worker.run("\n".join([*lines, "except Exception as error:", "    said = type(error).__name__"])))


def descendant_called(name: str, pid: int, within: float = 10) -> int:
    """Wait for a process of that name below another one."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        below = [pid]
        for one in below:
            with suppress(OSError):  # it has ended meanwhile
                below += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
                if Path(f"/proc/{one}/comm").read_text() == f"{name}\n":
                    return one
        time.sleep(0.01)
    raise TimeoutError(f"no {name} below {pid}")


def wait_for_end(pid: int, within: float) -> None:
    """Wait until a process is gone."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([watched], [], [], within)[0], f"{pid} is still there after {within} s"
    finally:
        os.close(watched)


def inside(made: Zygote, *argv: str) -> None:
    """Run something in the mounts of a zygote of its own."""
    subprocess.run(["nsenter", f"--mount=/proc/{made.process.pid}/ns/mnt", "--", *argv], check=True)


@contextmanager
def mounted(made: Zygote, *argv: str) -> Iterator[None]:
    """Mount something there; the last word is where."""
    inside(made, "mount", *argv)
    try:
        yield
    finally:
        inside(made, "umount", argv[-1])


@contextmanager
def pam_service(folder: Path) -> Iterator[str]:
    """A PAM service of the test's own, which notes in ``folder/sessions`` each session that is opened or closed."""
    name = f"supercloud-test-{os.getpid()}"
    path = Path("/etc/pam.d", name)
    note = folder / "note"
    note.write_text(f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER $PAM_TTY $(id -u)" >> {folder}/sessions\n')
    note.chmod(0o755)
    environment = folder / "environment"
    environment.write_text("SITE_VARIABLE=from-pam\nPATH=/opt/site/bin:/usr/bin:/bin\nHOME=/root\nUSER=root\n")
    lines = (
        "auth optional pam_group.so",
        "account required pam_unix.so",
        f"session required pam_env.so readenv=1 envfile={environment}",
        "session required pam_umask.so umask=0077",
        f"session required pam_exec.so {note}",
    )
    path.write_text("\n".join(lines) + "\n")
    try:
        yield name
    finally:
        path.unlink()
