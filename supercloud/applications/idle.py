"""Ends an application that nobody uses, from within its job: only there can be seen what it does.

    TOKEN=… python3 -I idle.py

It is a program of the job's own, started beside the application (prelude.sh), and needs nothing but Python's own
library (3.9 or later). ``idle.json`` in the job's folder says since when nobody has used it and when it ends; who wants
to keep it makes a new ``renewed`` there. It is used while any of these holds: the job's processes take more than
`BUSY_CPU` of a processor, one of its GPUs works, a step of it runs (srun), a kernel of Jupyter is busy, or somebody
does something in Jupyter. Who cannot be asked is taken for busy: a mistake must end nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

BUSY_CPU = 0.1  # of one processor, on average between two looks; a server that waits takes a tenth of that
BUSY_GPU = 2  # per cent
EVERY = 60.0  # seconds between two looks at most
GRACE = 30.0  # seconds from SIGTERM to SIGKILL
_LOCAL = ("00000000", "0100007F")  # any address, and 127.0.0.1, as /proc/net/tcp writes them
_WITHIN = 10.0  # seconds for an answer of Jupyter's or of nvidia-smi's

Uses = Callable[[], float]  # when it was used last, in seconds since the epoch; 0.0 for never


class Judge:
    """Of one application.

    :param pid: the application's.
    :param after: seconds without use, after which it ends.
    :param uses: who is asked; an exception is an answer that nobody could give.
    """

    def __init__(
        self, folder: Path, pid: int, after: float, uses: list[Uses], clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self.pid = pid
        self.after = after
        self.uses = uses
        self.clock = clock
        self.since = clock()

    @property
    def every(self) -> float:
        """Seconds between two looks."""
        return min(EVERY, self.after / 8)

    def look(self) -> bool:
        """Whether it has to end now; says so in the job's folder, or since when it has been idle."""
        now = self.clock()
        self.since = max(self.since, self._renewed(), *(self._asked(use, now) for use in self.uses))
        is_over = now - self.since >= self.after
        if is_over:
            self._write("ended", f"Nobody used it for {_words(self.after)}, so it was ended.")
        else:
            self._write("idle.json", json.dumps({"since": self.since, "ends": self.since + self.after}))
        return is_over

    def _asked(self, use: Uses, now: float) -> float:
        try:
            return min(now, use())
        except Exception:  # whatever it is, it must not end the application
            return now

    def _renewed(self) -> float:
        try:
            return (self.folder / "renewed").stat().st_mtime
        except OSError:
            return 0.0

    def _write(self, name: str, text: str) -> None:
        draft = self.folder / f".{name}"
        with suppress(OSError):  # a full disk ends no application, and keeps none
            draft.write_text(text, encoding="utf-8")
            draft.replace(self.folder / name)


def processor(job_id: str, busy: float = BUSY_CPU) -> Uses:
    """Use as the processes of a job on this node show it: their time on processors since the last look."""
    last = [time.time(), _ticks(job_id)]
    per_second = os.sysconf("SC_CLK_TCK")

    def used() -> float:
        now, ticks = time.time(), _ticks(job_id)
        share = (ticks - last[1]) / per_second / max(now - last[0], 0.001)
        last[:] = now, ticks
        return now if share > busy or _has_steps(job_id) else 0.0

    return used


def gpus(program: str = "nvidia-smi") -> Uses:
    """Use as the GPUs say that the job sees."""

    def used() -> float:
        said = subprocess.run(
            [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=_WITHIN, check=True,
        ).stdout  # fmt: skip
        return time.time() if any(int(line) > BUSY_GPU for line in said.split()) else 0.0

    return used


def jupyter(port: int, token: str) -> Uses:
    """Use as a Jupyter server tells it: busy kernels, and when anybody last did anything there."""

    def ask(path: str) -> Any:
        # The name of this node may stand for other addresses too, at which others can listen.
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}?no_track_activity=1")
        request.add_header("Authorization", f"token {token}")
        # Whatever proxy the person's environment names, this is on this node.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=_WITHIN) as answer:
            return json.loads(answer.read())

    def used() -> float:
        # Before the server listens, somebody else can: whoever sees how it is started knows its port.
        if _listeners(port) != {os.geteuid()}:
            raise ConnectionError(f"others listen at port {port}, or nobody does")
        # One that nobody has connected to says "starting" for ever.
        if any(kernel["execution_state"] == "busy" for kernel in ask("/api/kernels")):
            return time.time()
        told = ask("/api/status")["last_activity"]
        return datetime.fromisoformat(told.replace("Z", "+00:00")).timestamp()

    return used


def main() -> None:
    """Watch the application whose environment this has, until it is over."""
    environment = os.environ
    job_id, folder, pid = environment["SLURM_JOB_ID"], Path(environment["SUPERCLOUD_FOLDER"]), os.getppid()
    uses = [processor(job_id)]
    if environment["SUPERCLOUD_IDLE_BY"] == "jupyter":
        uses.append(jupyter(int(environment["PORT"]), environment.pop("TOKEN")))
    if environment.get("CUDA_VISIBLE_DEVICES") and shutil.which("nvidia-smi"):
        uses.append(gpus())
    judge = Judge(folder, pid, float(environment["SUPERCLOUD_IDLE"]), uses)
    while _is_there(pid):
        if judge.look():
            _end(pid)
            return
        deadline = time.monotonic() + judge.every
        while time.monotonic() < deadline and _is_there(pid):
            time.sleep(min(1.0, judge.every))


def _end(pid: int) -> None:
    for which in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError):
            os.kill(pid, which)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            if not _is_there(pid):
                return
            time.sleep(0.2)


def _is_there(pid: int) -> bool:
    """Whether the application is still this program's parent: its number can be another's one day."""
    return os.getppid() == pid


def _others(job_id: str) -> Iterator[int]:
    """Processes of the job on this node, but this one."""
    mark = f"SLURM_JOB_ID={job_id}".encode()
    for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
        if int(name) != os.getpid() and mark in _environment(int(name)):
            yield int(name)


def _environment(pid: int) -> list[bytes]:
    """Empty for what is gone, or somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _has_steps(job_id: str) -> bool:
    """Whether a program of the application's own waits for a step of the job, which may work on other nodes. What
    started the application is an srun too, but knows nothing of the application's folder.
    """
    sruns = (pid for pid in _others(job_id) if _name(pid) == "srun")
    return any(word.startswith(b"SUPERCLOUD_FOLDER=") for pid in sruns for word in _environment(pid))


def _ticks(job_id: str) -> int:
    """Time on processors of the job's processes and of their children that have ended (proc(5))."""
    total = 0
    for pid in _others(job_id):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
            total += sum(int(one) for one in fields[11:15])
    return total


def _listeners(port: int) -> set[int]:
    """Uids of all that listen where 127.0.0.1 and a port lead to (proc(5))."""
    places = {f"{address}:{port:04X}" for address in _LOCAL}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()]
    return {int(one[7]) for one in lines if one[1] in places and one[3] == "0A"}


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="latin-1").strip()
    except OSError:
        return ""


def _words(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


if __name__ == "__main__":
    main()
