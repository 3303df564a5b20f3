"""Ending a process that hangs, together with what it started: a PAM module's programs, say."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

# Processes that are ended together. There are two or three; a worker's user could start more and more meanwhile.
_MOST: Final = 100


def kill_tree(pid: int, pidfd: int) -> None:
    """Kill a process and what it started. A group or session would not do: pam_exec(8) makes one for each program.

    Each is stopped before its children are looked up: it cannot wait for one then, so their numbers stay theirs.

    :param pidfd: of that process, which may be gone, and its number another's; what is none kills nobody.
    """
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
    except OSError:
        return
    stopped = [pid]
    for parent in stopped:
        for child in _children(parent)[: _MOST - len(stopped)]:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
                stopped.append(child)
    for one in reversed(stopped):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """proc(5), /proc/PID/task/TID/children; none where the kernel does not tell."""
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()))
    except OSError:
        return []
