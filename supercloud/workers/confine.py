"""What a worker gives up on its way from root to its account, and the proof that it is gone. All of it for good."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from supercloud.identity import Principal
from supercloud.workers import kernel, log
from supercloud.workers.become import StillPrivileged, become

_STANDARD_ERROR: Final = 2
_STATUS: Final = Path("/proc/self/status")
_CAPABILITIES: Final = ("CapInh", "CapPrm", "CapEff", "CapAmb")
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a worker becomes, and what it takes along.

    :ivar principal: its groups are those of the database, and those that PAM added.
    :ivar environment: PAM's additions.
    """

    principal: Principal
    home: str
    shell: str
    environment: Mapping[str, str] = field(default_factory=dict)


def confine(person: Person, *, keep: Iterable[int], umask: int | None, parent: int, is_own: bool) -> None:
    """Become a person, in a process just forked from the holder; what the account may not have is gone then.

    :param keep: descriptors that stay open; the standard ones lead nowhere.
    :param umask: None leaves what there is: PAM's.
    :param parent: pid of the holder: the process ends with it.
    :param is_own: the process belongs to that account already and has no rights of root to lose (an embedded portal;
        that of root keeps what root has). Its standard error is the account's own.
    :raises StillPrivileged: rights are left that must not be; nothing may be served.
    :raises OSError: when the kernel refuses a step, or the holder has ended already.
    """
    os.setsid()
    keep_only(keep)
    _reset_signals()
    if not is_own:
        log.leave_standard_error()
        kernel.drop_bounding_set()
        become(person.principal)
        kernel.drop_capabilities()
    kernel.forbid_new_privileges()
    kernel.forbid_inspection()
    kernel.end_with(parent)
    _set_limits()
    if umask is not None:
        os.umask(umask)
    os.environ.clear()
    os.environ.update(environment_of(person))
    go_home(person.home)
    if not is_own:
        check_status(_STATUS.read_text(encoding="ascii"), person.principal)


def keep_only(descriptors: Iterable[int]) -> None:
    """Close every descriptor but these and standard error; 0 and 1 lead to /dev/null.

    :raises ValueError: when one of these is a standard descriptor.
    """
    keep = {*descriptors, _STANDARD_ERROR}
    if {0, 1} & keep or len(keep) == 1:
        raise ValueError(f"descriptors {sorted(keep)} are to be kept")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1):
        os.dup2(null, standard)
    try:
        os.fstat(_STANDARD_ERROR)
    except OSError:
        os.dup2(null, _STANDARD_ERROR)
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if descriptor > _STANDARD_ERROR and descriptor not in keep:
            with suppress(OSError):  # the listing's own is closed already
                os.close(descriptor)


def lift_descriptor_limit() -> int:
    """Allow as many descriptors as there may be at all: the usual 1,024 are for programs that use select(2).

    :return: how many that is.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def environment_of(person: Person) -> dict[str, str]:
    """A login's environment: PAM may choose PATH and LANG, and says nothing about who it is."""
    login = person.principal.login
    own = {"HOME": person.home, "USER": login, "LOGNAME": login, "SHELL": person.shell or "/bin/sh"}
    return {"PATH": _PATH, "LANG": "C.UTF-8", **person.environment, **own}


def go_home(home: str) -> None:
    """Make home the working directory, as login programs do: whoever may not enter it stays in the root."""
    try:
        os.chdir(home if home.startswith("/") else "/")
    except OSError:
        os.chdir("/")


def check_status(status: str, principal: Principal) -> None:
    """What the kernel says about this process, against what it should be.

    :param status: text of /proc/self/status, see proc(5).
    :raises StillPrivileged: something is left, or is not said.
    """
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    expected: dict[str, list[str]] = {
        "Uid": [str(principal.uid)] * 4,  # real, effective, saved, file system
        "Gid": [str(principal.gid)] * 4,
        "NoNewPrivs": ["1"],
    }
    for name, value in expected.items():
        if fields.get(name) != value:
            raise StillPrivileged(f"{principal}: {name} is {fields.get(name)}")
    for name in _CAPABILITIES:
        if not fields.get(name) or int(fields[name][0], 16):
            raise StillPrivileged(f"{principal}: {name} is {fields.get(name)}")
    groups = {int(gid) for gid in fields.get("Groups", ())}
    if groups - {principal.gid} != principal.groups - {principal.gid}:
        raise StillPrivileged(f"{principal}: Groups is {sorted(groups)}")


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    # A peer that is gone is an error of write, and not the end of the worker.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _set_limits() -> None:
    """The rest is the session's: pam_limits, or the service's unit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lift_descriptor_limit()
