"""``python -m supercloud.monitor FD TASKJSON``: the program that stays root.

FD is its end of a SOCK_SEQPACKET pair, TASKJSON a `Task`. It ends when the front's end is closed (0), or by a breach
(1, with a line on standard error and in the system's log that says which). Everything below it ends with it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess  # noqa: TID251 - starts the zygote
import sys
import syslog
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from supercloud.monitor.accounts import NOLOGIN
from supercloud.monitor.breach import Breach, FrontEnded
from supercloud.monitor.folder import Folder
from supercloud.monitor.kinds import Bounds, Judge, Kinds, pam_of
from supercloud.monitor.loop import Loop
from supercloud.monitor.sessions import Patience, Sessions
from supercloud.monitor.table import Table
from supercloud.monitor.wire import VERSION, Answer, Request, Task
from supercloud.packets import Garbled, Gone, Packets
from supercloud.workers import kernel
from supercloud.workers.confine import keep_only, lift_descriptor_limit

FRONT_READS: Final = 5.0  # seconds: a front that takes no answer for so long is no front
# Descriptors that workers leave to the rest: the monitor's own, and some for each of the children's `Bounds`.
RESERVED: Final = 320
_FOR_A_WORKER: Final = 2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is fixed at a site, and other in tests.

    :ivar zygote: command; its end of a SOCK_SEQPACKET pair and the task are added.
    """

    zygote: tuple[str, ...] = (sys.executable, "-I", "-m", "supercloud.workers.zygote")
    nologin: Sequence[str] = NOLOGIN
    bounds: Bounds = field(default_factory=Bounds)
    patience: Patience = field(default_factory=Patience)


def main(arguments: Sequence[str], surroundings: Surroundings) -> int:
    """Serve until the end; what the process returns."""
    why = ""
    try:
        front, task = _read(arguments)
        _harden(front)
        _serve(Front(front), task, surroundings)
    except FrontEnded:
        return 0
    except Breach as breach:
        why = str(breach)
    except Exception as error:  # a mistake of the monitor's own, or the host lacks what it needs; its end as well
        why = f"{type(error).__name__}: {error}"
    _say(why)
    return 1


class Front:
    """The front's socket."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(FRONT_READS)
        self._packets: Packets[Request] = Packets(connected, Request)
        self.descriptor = connected.fileno()

    def receive(self) -> tuple[Request, list[int]]:
        """What it asks.

        :raises FrontEnded: it is gone.
        :raises Breach: that is no request.
        """
        try:
            return self._packets.receive()
        except Gone:
            raise FrontEnded from None
        except Garbled:
            raise Breach("the front sent what is not in the table") from None

    def answer(self, answer: Answer) -> None:
        """:raises FrontEnded: it is gone. :raises Breach: it takes no answers."""
        try:
            self._packets.send(answer)
        except Gone:
            raise FrontEnded from None
        except TimeoutError:
            raise Breach("the front takes no answers") from None


def _read(arguments: Sequence[str]) -> tuple[socket.socket, Task]:
    """:raises Breach: it was not started as it must be."""
    if len(arguments) != 2 or not arguments[0].isdecimal():
        raise Breach("usage: python -m supercloud.monitor FD TASKJSON")
    try:
        task = msgspec.json.decode(arguments[1], type=Task)
        front = socket.socket(fileno=int(arguments[0]))
    except (msgspec.MsgspecError, OSError) as error:
        raise Breach(f"not started as it must be: {error}") from None
    if (front.family, front.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
        raise Breach("the front's descriptor is not a socket of packets")
    if task.version != VERSION:
        raise Breach(f"the front speaks version {task.version}, this is {VERSION}")
    if not task.run.startswith("/"):
        raise Breach("the folder for sockets is not absolute")
    if task.only_uid is None and os.geteuid() != 0:
        raise Breach("without root it can serve one account only")
    if task.only_uid is not None and {task.only_uid, task.front_uid} != {os.geteuid()}:
        raise Breach("it is not the one account that it shall serve")
    return front, task


def _harden(front: socket.socket) -> None:
    kernel.name_process("sc-monitor")
    keep_only([front.fileno()])
    front.set_inheritable(False)
    kernel.forbid_inspection()
    os.umask(0o077)
    os.chdir("/")
    # The terminal's, and those of a service manager that signals all processes: it ends with the front, which may have
    # answers to finish. Handlers, because what is ignored would be so in programs below too.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def _serve(front: Front, task: Task, surroundings: Surroundings) -> None:
    zygote, link = _start_zygote(task, surroundings.zygote)
    folder = None
    try:
        folder = Folder(task)
        loop = Loop()
        loop.watch(os.pidfd_open(zygote.pid), _zygote_ended)
        sessions = Sessions(
            loop,
            folder,
            link,
            front.answer,
            most=(lift_descriptor_limit() - RESERVED) // _FOR_A_WORKER,
            patience=surroundings.patience,
        )
        kinds = Kinds.of(loop, Judge(task, pam_of(task), surroundings.nologin), surroundings.bounds)
        table = Table(kinds, sessions, front.answer)
        loop.watch(front.descriptor, lambda: table.serve(*front.receive()))
        gc.freeze()
        loop.run()
    finally:
        zygote.kill()
        if folder is not None:
            folder.close()


def _start_zygote(task: Task, command: Sequence[str]) -> tuple[subprocess.Popen[bytes], Packets[Any]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        started = subprocess.Popen(
            [*command, str(theirs.fileno()), msgspec.json.encode(task).decode()],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
    return started, Packets(ours, Any)


def _zygote_ended() -> None:
    raise Breach("the zygote ended")


def _say(why: str) -> None:
    """To whoever reads the service's output, and to the system's log: twistd in the background has no output."""
    line = ascii(f"supercloud monitor: {why}")[1:-1]
    with suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    syslog.openlog("supercloud-monitor", 0, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_CRIT, line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Surroundings()))
