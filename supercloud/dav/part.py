"""Names of what is not finished: ``.NAME.supercloud-XXXX.part`` beside NAME, hidden from listings, and their litter.

Most uploads have no name at all until they are complete (``O_TMPFILE``), so nothing is left of them when a worker is
killed. Where a file system needs a name for them, the name says which process of which host writes there.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import stat
import threading
from pathlib import Path
from typing import Final

_MAX_NAME: Final = 255  # bytes, NAME_MAX of every file system that matters
ABANDONED: Final = 24 * 3600  # seconds after its last change until a part whose writer is not known to live is litter
_SWEEP_AGAIN: Final = 3600  # seconds until a folder is looked through again
_MAX_SWEPT: Final = 4096  # folders that are remembered
_PART: Final = re.compile(r"\..*\.supercloud-(?:t([0-9a-f]{6})([0-9a-f]{6})[0-9a-f]{8}|r[0-9a-f]{20})\.part", re.DOTALL)

_swept: dict[tuple[int, int], float] = {}
_swept_lock = threading.Lock()


def part_name(name: str) -> str:
    """A new name for what will become ``name``; only this process knows it."""
    return _fitting(name, f"t{_host()}{os.getpid():06x}{secrets.token_hex(4)}")


def resumable_name(name: str, total: int) -> str:
    """The name of the parts of an upload that may be resumed: always the same for a file name and a whole length."""
    return _fitting(name, "r" + hashlib.sha256(os.fsencode(f"{total} {name}")).hexdigest()[:20])


def is_part_name(name: str) -> bool:
    """Whether this module made such a name."""
    return name.endswith(".part") and _PART.fullmatch(name) is not None


def is_due(folder: int, now: float) -> bool:
    """Whether a folder was not looked through for litter lately; True once an hour.

    :param now: seconds on a clock that only goes forward.
    """
    status = os.fstat(folder)
    key = status.st_dev, status.st_ino
    with _swept_lock:
        last = _swept.get(key)
        if last is not None and now - last < _SWEEP_AGAIN:
            return False
        if len(_swept) >= _MAX_SWEPT:
            _swept.clear()
        _swept[key] = now
    return True


def litter(folder: int, wall: float) -> list[str]:
    """Names of parts in a folder that nobody writes any more: this account's own only.

    Whoever may write a folder can give such a name to a folder of somebody else's, which they could not empty: folders
    count only where nobody else can.

    :param folder: an O_PATH descriptor will do.
    :param wall: the time of day, which files are stamped with.
    """
    try:
        reading = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return []  # a folder that one may write into but not list
    try:
        may_be_folders = _is_ours_alone(os.fstat(reading))
        with os.scandir(reading) as entries:
            return [
                entry.name
                for entry in entries
                if is_part_name(entry.name)
                and (may_be_folders or not entry.is_dir(follow_symlinks=False))
                and _is_abandoned(entry.name, entry.stat(follow_symlinks=False), wall)
            ]
    except OSError:
        return []
    finally:
        os.close(reading)


def _is_ours_alone(folder: os.stat_result) -> bool:
    """Whether no other account can give a name in it to what is ours; the group's bits are those of an access list."""
    return folder.st_uid == os.geteuid() and bool(folder.st_mode & stat.S_ISVTX or not folder.st_mode & 0o022)


def _is_abandoned(name: str, status: os.stat_result, wall: float) -> bool:
    """Whether its writer is known to be gone, or nothing happened to it for a day."""
    if status.st_uid != os.geteuid() or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False
    found = _PART.fullmatch(name)
    if found is not None and found[1] == _host() and not _is_alive(int(found[2], 16)):
        return True
    # ctime: nobody can set it back, and a client may give a file any mtime.
    return wall - status.st_ctime > ABANDONED


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@functools.cache
def _host() -> str:
    """Names this host, this boot, and this name space of process numbers."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    return hashlib.sha256(boot + os.fsencode(Path("/proc/self/ns/pid").readlink())).hexdigest()[:6]


def _fitting(name: str, token: str) -> str:
    tail = f".supercloud-{token}.part"
    kept = os.fsencode(name)[: _MAX_NAME - len(tail) - 1]
    return "." + os.fsdecode(kept) + tail
