"""The file by which a job announces itself to its owner's worker: ``~/.local/share/supercloud/sessions/JOBID.json``."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from supercloud.workers.session_told import Told, is_job

FOLDER: Final = ".local/share/supercloud/sessions"
MOST: Final = 64 * 1024  # bytes of a file
# A FIFO keeps nobody waiting, a link leads nowhere.
_HOW: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Announced(msgspec.Struct, frozen=True):
    """What the job wrote; it may say more."""

    node: str
    port: int
    path: str = "/"
    token: str = ""


def read_session(home: str, job: str) -> Told | None:
    """What a job announced; None when it did not, or not in a way that counts.

    :param home: of this process' account.
    """
    if not is_job(job):
        return None
    try:
        data = _read(Path(home, FOLDER, f"{job}.json"))
        said = msgspec.json.decode(data, type=_Announced)
        authorization = f"token {said.token}" if said.token else ""
        # By way of the types, which tell what is well-formed.
        return msgspec.convert(
            {"node": said.node, "port": said.port, "path": said.path, "authorization": authorization}, Told
        )
    except (OSError, ValueError):  # msgspec's are
        return None


def _read(path: Path) -> bytes:
    """:raises ValueError: it is no plain file that only this account may read and write."""
    opened = os.open(path, _HOW)
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise ValueError("not a file of this account's alone")
        data = b""
        while len(data) <= MOST and (more := os.read(opened, MOST + 1 - len(data))):
            data += more
    finally:
        os.close(opened)
    if len(data) > MOST:
        raise ValueError("too long")
    return data
