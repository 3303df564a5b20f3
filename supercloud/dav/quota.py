"""How much room an account has (RFC 4331): its own quota where the kernel knows one, else that of the file system.

The kernel knows the quotas of local file systems (ext4, XFS; btrfs has none of accounts). A network file system's are
its server's; most servers show them in ``statvfs``, as XFS does for project quotas.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Final, Self

# quotactl_fd(2), Linux 5.14; the number is the same on every architecture.
_QUOTACTL_FD: Final = 443
_GET_USER_QUOTA: Final = 0x800007 << 8
_BLOCK: Final = 1024  # bytes, QIF_DQBLKSIZE: limits are in such blocks, the room in use in bytes
_HAS_BLOCKS: Final = 3  # QIF_BLIMITS | QIF_SPACE


class _Dqblk(ctypes.Structure):
    """struct if_dqblk of linux/quota.h."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("hard", "soft", "space", "ihard", "isoft", "inodes", "btime", "itime")),
        ("valid", ctypes.c_uint32),
    ]


_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes in use and bytes that may still be written."""

    used: int
    available: int

    @classmethod
    def of(cls, handle: int) -> Self:
        """The room where a descriptor leads.

        :raises OSError: when the file system does not tell.
        """
        told = os.fstatvfs(handle)
        available = told.f_bavail * told.f_frsize
        own = _own(handle)
        if own is None:
            return cls((told.f_blocks - told.f_bfree) * told.f_frsize, available)
        limit, used = own
        return cls(used, max(0, min(available, limit - used)))


def _own(handle: int) -> tuple[int, int] | None:
    """The account's own limit and use in bytes; None where it has no limit, or the kernel knows of none."""
    answer = _Dqblk()
    # An O_PATH descriptor is refused, so its file is opened; a folder that cannot be listed has no quota to tell.
    try:
        opened = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _libc.syscall(_QUOTACTL_FD, opened, ctypes.c_uint(_GET_USER_QUOTA), os.geteuid(), ctypes.byref(answer)):
            return None
    finally:
        os.close(opened)
    limits = [limit for limit in (answer.soft, answer.hard) if limit]
    if answer.valid & _HAS_BLOCKS != _HAS_BLOCKS or not limits:
        return None
    return min(limits) * _BLOCK, int(answer.space)
