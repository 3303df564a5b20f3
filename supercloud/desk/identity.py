"""Which file a descriptor leads to, and what it is; asked of the kernel without asking a file server (statx).

An inode number is used again for another file once the first is gone. What tells the two apart is the time of birth,
which a file system sets once (ext4, XFS, btrfs, tmpfs, Lustre, NFSv4); where there is none (NFSv3), the file handle,
which holds the inode's generation (name_to_handle_at). A file system of a user's process (FUSE) has neither that can be
relied on: there a file is told by its inode number alone.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supercloud.desk.wire import Key

# linux/stat.h, linux/fcntl.h
_BASIC: Final = 0x7FF
_BIRTH: Final = 0x800
_MOUNT: Final = 0x1000
_EMPTY_PATH: Final = 0x1000
_DONT_SYNC: Final = 0x4000
_AT_FDCWD: Final = -100
_SYMLINK_FOLLOW: Final = 0x400
# mask, attributes, nlink, uid, gid, mode, inode, birth, change, device, mount: the words of struct statx that are used.
_STATX: Final = struct.Struct("=I4xQIIIH2xQ40xqI4xqI4x16x8xIIQ")
_STATX_ROOM: Final = 256
_HANDLE_ROOM: Final = 128  # MAX_HANDLE_SZ
_NANO: Final = 10**9
# FILEID_INO64_GEN(_PARENT): FUSE's, whose numbers change when its process forgets a file. XFS has them too, and births.
_UNSTEADY: Final = frozenset({0x81, 0x82})
_O_PATH: Final = os.O_PATH

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a descriptor leads to.

    :ivar mode: kind and permission bits.
    :ivar changed: st_ctime in seconds.
    :ivar mount: the mount's number, 0 where the kernel does not tell.
    """

    key: Key
    mode: int
    uid: int
    gid: int
    links: int
    changed: float
    mount: int

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


def look(descriptor: int) -> Seen:
    """What a descriptor leads to; O_PATH is enough.

    :raises OSError: as the kernel says.
    """
    return _look(descriptor, b"", _EMPTY_PATH | _DONT_SYNC)


def look_at(path: str) -> Seen:
    """What a path leads to, links followed.

    :raises OSError: as the kernel says.
    """
    return _look(_AT_FDCWD, os.fsencode(path), _DONT_SYNC)


def is_writing(descriptor: int) -> bool:
    """Whether it was opened for writing, which the kernel allowed then."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    return not flags & _O_PATH and flags & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR)


def is_reading(descriptor: int) -> bool:
    """Whether it was opened for reading."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    return not flags & _O_PATH and flags & os.O_ACCMODE in (os.O_RDONLY, os.O_RDWR)


def path_of(descriptor: int, seen: Seen) -> str:
    """The real path; ``""`` when the descriptor lies on a mount that this process does not have.

    The kernel tells a path within the mount that the descriptor was opened on. In a mount namespace of their own
    (unshare(1)) users can mount what they like where they like, so only a mount of ours is believed.

    :raises OSError: as the kernel says.
    """
    if seen.mount not in _mounts():
        return ""
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115


def _mounts() -> frozenset[int]:
    # proc_pid_mountinfo(5): the number is the first field.
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return frozenset(int(line.partition(b" ")[0]) for line in lines)


def _look(descriptor: int, path: bytes, flags: int) -> Seen:
    buffer = ctypes.create_string_buffer(_STATX_ROOM)
    if _libc.statx(descriptor, path, flags, _BASIC | _BIRTH | _MOUNT, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path) or None)
    (mask, _attributes, links, uid, gid, mode, inode, birth, birth_nano, change, change_nano, major, minor, mount) = (
        _STATX.unpack_from(buffer)
    )
    born = birth * _NANO + birth_nano if mask & _BIRTH else 0
    if born <= 0:
        born = _handle(descriptor, path, flags)
    key = Key(os.makedev(major, minor), inode, born)
    return Seen(key, mode, uid, gid, links, change + change_nano / _NANO, mount if mask & _MOUNT else 0)


def _handle(descriptor: int, path: bytes, flags: int) -> int:
    """A number made from the file handle; 0 where there is none to rely on."""
    buffer = ctypes.create_string_buffer(8 + _HANDLE_ROOM)
    struct.pack_into("=Ii", buffer, 0, _HANDLE_ROOM, 0)
    mount = ctypes.c_int()
    wanted = (flags & _EMPTY_PATH) | _SYMLINK_FOLLOW
    if _libc.name_to_handle_at(descriptor, path, buffer, ctypes.byref(mount), wanted):
        return 0
    size, kind = struct.unpack_from("=Ii", buffer)
    if kind in _UNSTEADY:
        return 0
    digest = hashlib.sha256(buffer.raw[4 : 8 + size]).digest()
    return int.from_bytes(digest[:7], "little")
