"""The session holder: root, one for each worker. Opens the PAM session, forks the worker, waits, closes the session.

It listens to nothing but its monitor's status socket. PAM may hang in it: nothing else waits for it, and the monitor
kills it past its deadlines.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pwd import struct_passwd
from typing import Any, Final

from supercloud.identity import Principal
from supercloud.monitor.wire import Task
from supercloud.packets import Garbled, Gone, Packets
from supercloud.workers import child, kernel
from supercloud.workers.admission import NoWorkerFor, admit, uses_pam
from supercloud.workers.become import enter_groups
from supercloud.workers.confine import Person, keep_only
from supercloud.workers.wire import Born, Ended, Fork, Ready, Refused, Stop

# What a worker's files are made with when neither the settings nor PAM say.
_UMASK: Final = 0o022


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all workers of a portal.

    :ivar make: makes the application that they serve.
    :ivar start_within: seconds from fork to ready: a user can stop a process that runs as them.
    :ivar stop_within: seconds from SIGTERM to SIGKILL.
    """

    task: Task
    make: child.Make
    start_within: float = 10.0
    stop_within: float = 5.0


def hold(terms: Terms, order: Fork, listening: socket.socket, status_socket: socket.socket) -> None:
    """Hold one session from its beginning to its end; called in a process forked for it, with the descriptors that came
    with the order.
    """
    kernel.name_process("sc-holder")
    keep_only((listening.fileno(), status_socket.fileno()))
    _ignore_signals()
    os.umask(_UMASK)
    status: Packets[Stop] = Packets(status_socket, Stop)
    last: Ended | Refused
    try:
        _introduce(status)
        account = admit(terms.task, order.uid, order.login)
        if terms.task.only_uid is None:
            kernel.leave_session_keyring()
        with _session(terms.task, account) as person:
            worker = _Worker(terms, person, listening, status)
            last = worker.attend()
    except NoWorkerFor as error:
        last = Refused(error.state, str(error)[:1024])
    except Gone:
        return
    except (OSError, ValueError) as error:
        last = Refused("broken", f"{type(error).__name__}: {error}"[:1024])
    _say_last(status, last)


def _introduce(status: Packets[Stop]) -> None:
    """:raises Gone: the monitor is."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        status.send(Born(os.getpid()), [pidfd])
    finally:
        os.close(pidfd)


def _say_last(status: Packets[Stop], last: Ended | Refused) -> None:
    """Say it, and take what the monitor has still sent: closed with something unread, the socket would tell the monitor
    of an error and lose the message (unix(7) sockets reset then).
    """
    with suppress(Gone, Garbled):
        status.send(last)
        status.socket.shutdown(socket.SHUT_RD)
        while True:
            status.receive()


class _Worker:
    """A worker, as its holder sees it; forked when this is made."""

    def __init__(self, terms: Terms, person: Person, listening: socket.socket, status: Packets[Stop]) -> None:
        self._terms = terms
        self._status = status
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._report: Packets[Ready | Refused] = Packets(here, Ready | Refused)
        holder = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            report: Packets[Any] = Packets(there, Stop)
            child.work(terms.task, person, terms.make, listening=listening, report=report, holder=holder)
        there.close()
        listening.close()
        self._end = os.pidfd_open(self._pid)

    def attend(self) -> Ended | Refused:
        """Wait until it listens and tell the monitor so, then for its end; end it when the monitor says so or is gone.

        :return: what remains to be told. The process is gone, and was waited for.
        """
        refused = self._until_ready()
        if refused is not None:
            return refused
        try:
            self._status.send(Ready(self._pid))
        except Gone:
            return self._stop()
        if self._wait(self._end, self._status.socket.fileno()) == self._end:
            return Ended(self._reap())
        return self._stop()

    def _until_ready(self) -> Ended | Refused | None:
        first = self._wait(
            self._report.socket.fileno(), self._end, self._status.socket.fileno(), seconds=self._terms.start_within
        )
        if first is None:
            self._signal(signal.SIGKILL)
            self._reap()
            return Refused("good", f"the worker was not ready within {self._terms.start_within:g} s")
        if first == self._status.socket.fileno():
            return self._stop()
        try:
            said, _ = self._report.receive()
        except (Gone, Garbled):
            self._signal(signal.SIGKILL)
            return Refused("good", f"the worker ended before it listened: {self._reap()}")
        if isinstance(said, Refused):
            self._signal(signal.SIGKILL)
            self._reap()
            return said
        return None

    def _stop(self) -> Ended:
        self._signal(signal.SIGTERM)
        if self._wait(self._end, seconds=self._terms.stop_within) is None:
            self._signal(signal.SIGKILL)
        self._reap()
        return Ended("stopped")

    def _wait(self, *descriptors: int, seconds: float | None = None) -> int | None:
        """The first of them that has something to say; None when none has in time."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}
        return next((descriptor for descriptor in descriptors if descriptor in ready), None)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._end, number)

    def _reap(self) -> str:
        """Wait for its end; a process that was killed in the middle of a call to a dead file system takes its time."""
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return f"exit {code}" if code >= 0 else f"signal {-code}"


@contextmanager
def _session(task: Task, account: struct_passwd) -> Iterator[Person]:
    """Whom the worker becomes, while the account's session is open."""
    login, gid = account.pw_name, account.pw_gid
    environment: dict[str, str] = {}
    if task.only_uid is not None:
        yield _person(account, environment)
    elif uses_pam(task):
        from supercloud.workers.session import opened  # loads libpam; the zygote has imported it already

        with opened(task.pam_service, login, gid) as environment:
            yield _person(account, environment)
    else:
        enter_groups(login, gid)
        yield _person(account, environment)


def _person(account: struct_passwd, environment: dict[str, str]) -> Person:
    """An account with the groups that this process has by now."""
    groups = frozenset((*os.getgroups(), account.pw_gid))
    principal = Principal(account.pw_name, account.pw_uid, account.pw_gid, groups)
    return Person(principal, account.pw_dir, account.pw_shell, environment)


def _ignore_signals() -> None:
    """Who ends the portal may signal all its processes (^C, systemd); this one ends when the monitor does, so that the
    session is closed. A function and not SIG_IGN, which programs that PAM starts would inherit.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    # The zygote lets the kernel forget its children; PAM's modules wait for theirs.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
