"""Runs one job on this machine, and outlives whoever started it: the worker, and the portal.

    python runner.py FOLDER

``FOLDER/job.json`` says what to run; ``FOLDER/state.json`` says how it goes, always as a whole. SIGTERM ends the job.
Processes whose parents are gone become children of this one, so that none is left when the job is over. Uses nothing
but Python's own library: it is a program of the account's, started anew.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

GRACE = 5.0  # seconds between SIGTERM and SIGKILL, as SLURM's KillWait
PORTS = (20000, 29999)  # below those that the kernel gives out by itself
_PR_SET_CHILD_SUBREAPER = 36
_HEEDED = {signal.SIGTERM, signal.SIGCHLD}


class _Ended(Exception):
    """The job is to end; its text is the state that it comes to."""


class Runner:
    """One job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._job: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        self._ports: list[int] = []

    def run(self) -> None:
        """From its start to the end of its last process."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)  # they are waited for, and come at no other time
        started, minutes = time.time(), self._job["minutes"]
        deadline = float("inf") if minutes is None else time.monotonic() + minutes * 60
        self._say("running", started=started)
        state, reason = "failed", ""
        try:
            self._ports = reserve(self._folder.parent / "ports", self._job["ports"])
            process = self._start()
            self._say("running", started=started)
            code = self._wait(process.pid, deadline)
            state, reason = ("done", "") if code == 0 else ("failed", failure(code))
        except OSError as error:
            reason = str(error)
        except _Ended as end:
            state = str(end)
        finally:
            sweep()
            release(self._folder.parent / "ports", self._ports)
            self._say(state, started=started, ended=time.time(), reason=reason)

    def _start(self) -> subprocess.Popen[bytes]:
        job, ports = self._job, self._ports
        environment = {**os.environ, "SLURM_JOB_ID": self._folder.name, "SUPERCLOUD_NODE": "localhost"}
        if ports:
            first, last = ports[0], ports[-1]
            environment["SLURM_STEP_RESV_PORTS"] = str(first) if first == last else f"{first}-{last}"
        with Path(job["output"]).open("ab", buffering=0) as output:
            return subprocess.Popen(
                ["/bin/bash", job["script"]], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd=job["folder"], env=environment, start_new_session=True,
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()),
            )  # fmt: skip

    def _wait(self, first: int, deadline: float) -> int:
        """Until the first process ends; others whose parents are gone come here to be buried.

        :returns: its exit status.
        :raises _Ended: the job is to end before.
        """
        while True:
            for pid, status in bury():
                if pid == first:
                    return os.waitstatus_to_exitcode(status)
            left = deadline - time.monotonic()
            if left <= 0:
                raise _Ended("timed-out")
            told = signal.sigtimedwait(_HEEDED, min(left, 3600.0))
            if told is not None and told.si_signo == signal.SIGTERM:
                raise _Ended("cancelled")

    def _say(self, state: str, **more: object) -> None:
        told = {"state": state, "pid": os.getpid(), "born": born(os.getpid()), **more, "ports": self._ports}
        draft = self._folder / ".state.json"
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(self._folder / "state.json")


def failure(code: int) -> str:
    """What an exit code that is not 0 says; a signal's is negative."""
    return f"exit status {code}" if code > 0 else f"signal {-code}, {signal.strsignal(-code)}"


def sweep() -> None:
    """End all that descends from this process: with SIGTERM, and what is left after `GRACE` with SIGKILL."""
    deadline = time.monotonic() + GRACE
    which = signal.SIGTERM
    signalled: set[int] = set()
    while True:
        for _ in bury():
            pass
        left = set(descendants(os.getpid()))
        if not left:
            return
        if time.monotonic() >= deadline:
            which, signalled = signal.SIGKILL, set()
        for pid in left - signalled:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, which)
                os.kill(pid, signal.SIGCONT)
        signalled |= left
        time.sleep(0.02)


def descendants(root: int) -> Iterator[int]:
    """Children of a process, and theirs."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdecimal() and (fields := _stat(int(entry))):
            parents.setdefault(int(fields[1]), []).append(int(entry))
    waiting = [root]
    while waiting:
        children = parents.get(waiting.pop(), [])
        yield from children
        waiting += children


def born(pid: int) -> int:
    """When a process began, in the kernel's ticks: with its number the name of one process, and of no later one; 0 if
    it is gone.
    """
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else 0


def reserve(folder: Path, count: int) -> list[int]:
    """Ports in a row that nobody listens at and no other job of this account's has.

    :raises OSError: there are none left.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    low, high = PORTS
    begin = low + os.getpid() * 7 % (high - low)
    mine: list[int] = []
    for offset in range(high - low + 1):
        if len(mine) == count:
            break
        port = low + (begin - low + offset) % (high - low + 1)
        if (mine and port != mine[-1] + 1) or not _take(folder, port):
            release(folder, mine)
            mine = []
            continue
        mine.append(port)
    if len(mine) < count:
        release(folder, mine)
        raise OSError(f"no {count} ports in a row are free")
    return mine


def release(folder: Path, ports: list[int]) -> None:
    """Give them back."""
    for port in ports:
        with suppress(FileNotFoundError):
            (folder / str(port)).unlink()


def _take(folder: Path, port: int) -> bool:
    mark = folder / str(port)
    me = f"{os.getpid()} {born(os.getpid())}"
    try:
        mark.symlink_to(me)
    except FileExistsError:
        with suppress(OSError, ValueError):
            pid, began = map(int, mark.readlink().name.split())
            if born(pid) != began:
                mark.unlink()  # of a job that ended without giving it back; the next look finds it free
        return False
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        with socket.socket(family) as trying:
            try:
                if family == socket.AF_INET6:
                    trying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trying.bind((address, port))
            except OSError as error:
                if error.errno == 98:  # EADDRINUSE; a host without IPv6 says something else
                    mark.unlink()
                    return False
    return True


def bury() -> Iterator[tuple[int, int]]:
    """Children that have ended, with their status."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat behind the name: state, parent, …; see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except OSError:
        return None


if __name__ == "__main__":
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Runner(Path(sys.argv[1])).run()
