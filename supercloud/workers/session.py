"""A PAM session: credentials and session in one handle, in a process of its own that stays root until the end. (The
account is judged in another one, see `supercloud.workers.admission`.)

Modules set limits, umask, namespaces, keyrings and the audit id of the process that calls them, and the worker that is
forked from it inherits them. Imported only where PAM is used: importing it loads libpam.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import POINTER, cast, sizeof
from typing import Any, Final

import pamela

from supercloud.workers.admission import NoWorkerFor
from supercloud.workers.become import enter_groups

# Seconds for modules to open a session, and to close it: then the kernel ends the process (SIGALRM). The monitor's own
# deadline is shorter; this one holds when the monitor is gone.
OPEN_WITHIN: Final = 20
CLOSE_WITHIN: Final = 20

# What rules of pam_access, pam_group and pam_time call the portal, as cron calls itself "cron".
_TTY: Final = "supercloud"
# security/_pam_types.h
_SUCCESS: Final = 0
_CONVERSATION_ERROR: Final = 19


@contextmanager
def opened(service: str, login: str, gid: int) -> Iterator[dict[str, str]]:
    """Hold a session while the block runs; its value is PAM's environment. The process has the account's groups then,
    and those that PAM added.

    :param service: name of the file in /etc/pam.d.
    :raises NoWorkerFor: PAM fails.
    """
    signal.alarm(OPEN_WITHIN)
    try:
        handle = pamela.pam_start(service, login, conv_func=_converse)
        handle.set_item(pamela.PAM_TTY, _TTY)
    except pamela.PAMError as error:
        raise NoWorkerFor("broken", f"PAM service {service}: {error}") from None
    with ExitStack() as ending:
        ending.callback(pamela.PAM_END, handle, _SUCCESS)
        enter_groups(login, gid)
        _check(pamela.PAM_SETCRED(handle, pamela.PAM_ESTABLISH_CRED), "setcred")
        ending.callback(pamela.PAM_SETCRED, handle, pamela.PAM_DELETE_CRED)
        _check(pamela.PAM_OPEN_SESSION(handle, 0), "open_session")
        ending.callback(pamela.PAM_CLOSE_SESSION, handle, 0)
        signal.alarm(0)
        ending.callback(signal.alarm, CLOSE_WITHIN)
        yield _environment(handle)


def _check(code: int, step: str) -> None:
    if code != _SUCCESS:
        raise NoWorkerFor("broken", f"PAM {step}: {pamela.PAMError(errno=code)}")


def _environment(handle: Any) -> dict[str, str]:
    variables: dict[str, str] = {}
    for entry in pamela.PAM_GETENVLIST(handle):
        if entry is None:  # the list's end
            break
        name, _, value = os.fsdecode(entry).partition("=")
        variables[name] = value
    return variables


@pamela.CONV_FUNC  # type: ignore[untyped-decorator]
def _converse(count: int, messages: Any, responses: Any, _: object) -> int:
    """Nobody is there to be asked anything; what PAM only wants to say is dropped."""
    for index in range(count):
        if messages[index].contents.msg_style in (pamela.PAM_PROMPT_ECHO_OFF, pamela.PAM_PROMPT_ECHO_ON):
            return _CONVERSATION_ERROR
    # libpam frees them.
    responses[0] = cast(pamela.CALLOC(count, sizeof(pamela.PamResponse)), POINTER(pamela.PamResponse))
    return _SUCCESS
