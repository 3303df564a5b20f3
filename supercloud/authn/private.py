"""Files that nobody else may read: looked at through the descriptor that is then used, never by name twice."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from supercloud.config import WrongSettings

_MADE_ANEW: Final = "move it away, and the portal makes a new one (everybody signs in again)"


class Exposed(WrongSettings):
    """A secret file is open to others, or belongs to somebody else; the text says what to do."""


def open_private(path: Path, flags: int, *, owner: int | None = None, remedy: str = _MADE_ANEW) -> int:
    """Open a file of mode 0600 and return its descriptor; blocks. What ``flags`` creates has that mode.

    :param owner: uid that may own it beside root and this process, for a portal that has not dropped its rights yet.
    :param remedy: what mends a file that is refused.
    :raises Exposed: says what to do.
    :raises OSError: as `os.open` does.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        _refuse_exposed(path, os.fstat(descriptor), {0, os.geteuid(), owner}, remedy)
    except Exposed:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_exposed(path: Path, status: os.stat_result, owners: set[int | None], remedy: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Exposed(f"{path}: is not a regular file; {remedy}")
    if status.st_uid not in owners:
        raise Exposed(f"{path}: belongs to uid {status.st_uid}, who could have written it; {remedy}")
    if mode := stat.S_IMODE(status.st_mode) & 0o077:
        raise Exposed(f"{path}: others have rights to it (mode {mode:03o}), so they may know what is in it; {remedy}")
