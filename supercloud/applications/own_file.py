"""Files of the account's own that any program of its may have written: each is read as if it came from a stranger."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_own_file(file: Path, *, most: int, closed: int) -> tuple[bytes, os.stat_result] | None:
    """A regular file of this account's, opened through no link and without waiting for anybody.

    :param most: bytes; a longer one is not read.
    :param closed: mode bits that it must not have.
    :returns: what it holds, and what it is; None where there is no such file.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        is_fit = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & closed
        if not is_fit or status.st_size > most:
            return None
        return os.read(descriptor, most), status
    except OSError:
        return None
    finally:
        os.close(descriptor)
