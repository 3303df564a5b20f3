"""May an account have a worker? Asked right before one is forked: nobody's word counts but the database's."""

from __future__ import annotations

import os
import pwd
import signal
from contextlib import suppress
from typing import Final, get_args

from supercloud.monitor.accounts import AccountCheck, read_state
from supercloud.monitor.wire import AccountState, Task
from supercloud.workers import kernel

# Seconds for NSS and PAM to judge; then the kernel ends the process that asks them (SIGALRM), also when the monitor,
# which has a shorter deadline, is gone.
_WITHIN: Final = 20
_STATES: Final[tuple[AccountState, ...]] = get_args(AccountState)


class NoWorkerFor(Exception):
    """The account gets no worker.

    :ivar state: what is wrong with the account; ``good`` when the reason is another.
    """

    def __init__(self, state: AccountState, reason: str) -> None:
        super().__init__(reason)
        self.state: AccountState = state


def uses_pam(task: Task) -> bool:
    """The embedded portal runs as its account already: nobody signs in."""
    return task.only_uid is None and bool(task.pam_service)


def admit(task: Task, uid: int, login: str) -> pwd.struct_passwd:
    """The account, as the database has it now; blocks.

    :param login: under which it signed in.
    :raises NoWorkerFor: it may have no worker.
    """
    state = _judged(task, uid, login)
    if state != "good":
        raise NoWorkerFor(state, f"{login!r}, uid {uid}: {state}")
    if task.only_uid is not None and set(os.getresuid()) != {task.only_uid}:
        raise NoWorkerFor("unknown", f"this runs as {os.getresuid()} and not as uid {task.only_uid}")
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise NoWorkerFor("unknown", f"uid {uid} is gone") from None
    if entry.pw_name != login:
        raise NoWorkerFor("renamed", f"uid {uid} is {entry.pw_name!r} by now")
    return entry


def _judged(task: Task, uid: int, login: str) -> AccountState:
    """Asked in a child of its own: what is read for it, other accounts' lines of the shadow file among it, stays in
    the memory of whoever reads it, and a worker that is forked later would have it (measured).
    """
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        code = _STATES.index("broken")
        with suppress(BaseException):
            kernel.end_with(parent)
            signal.alarm(_WITHIN)
            code = _STATES.index(read_state(task, uid, login, pam=_pam(task)))
        os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return _STATES[code] if code >= 0 else "broken"


def _pam(task: Task) -> AccountCheck | None:
    if not uses_pam(task):
        return None
    from supercloud.monitor.pam import Pam  # loads libpam; the zygote has imported it already

    return Pam(task.pam_service)
