"""The worker: becomes its account, listens, and serves one application until it is told to end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Final, NoReturn

from supercloud.monitor.wire import Task
from supercloud.packets import Packets
from supercloud.workers import kernel
from supercloud.workers.confine import Person, confine
from supercloud.workers.server import Application, Server
from supercloud.workers.wire import Ready, Refused

# Seconds that requests under way have left when the worker is to end; the holder kills it after five.
GRACE: Final = 4.0

Make = Callable[[Task, str], Application]


def work(
    task: Task, person: Person, make: Make, *, listening: socket.socket, report: Packets[Any], holder: int
) -> NoReturn:
    """Be a worker; called in a process forked for it, and never returns.

    :param make: makes the application, once the process is its account; gets the task and the account's home.
    :param report: where the holder waits for `Ready` or `Refused`; closed then.
    :param holder: its pid.
    """
    code = 1
    try:
        kernel.name_process("sc-worker")
        keep = (listening.fileno(), report.socket.fileno())
        confine(person, keep=keep, umask=task.umask, parent=holder, is_own=task.only_uid is not None)
        application = make(task, person.home)
        serve(
            listening,
            application,
            login=person.principal.login,
            front_uid=task.front_uid,
            ready=lambda: _tell(report, Ready(os.getpid())),
        )
        code = 0
    except BaseException as error:  # whatever it is, it must not go on in a copy of the holder
        _tell(report, Refused("good", f"{type(error).__name__}: {error}"[:1024]))
    finally:
        # Threads that did not come to an end in time end here.
        os._exit(code)


def serve(
    listening: socket.socket, application: Application, *, login: str, front_uid: int, ready: Callable[[], object]
) -> None:
    """Listen as whoever this process is, and serve until SIGTERM, and then for `GRACE` what is under way.

    :param ready: called once it listens.
    :raises OSError, RuntimeError: it cannot listen, or start a thread.
    """
    signal.signal(signal.SIGTERM, _end)
    server = Server(listening, application, login=login, front_uid=front_uid)
    try:
        server.prepare()
        ready()
        server.serve()
    except SystemExit:
        server.finish(GRACE)


def _end(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise SystemExit


def _tell(report: Packets[Any], message: Ready | Refused) -> None:
    """Say one thing; after that nobody listens."""
    try:
        report.send(message)
    finally:
        report.close()
