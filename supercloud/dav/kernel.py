"""What Python's os does not offer: kinds of file systems, room in advance, renames that swap or never replace."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

KERNEL_FOLDERS: Final = ("/proc", "/sys", "/dev")
# linux/magic.h: what is made by the kernel and is nobody's data.
KERNEL_MAGIC: Final = frozenset(
    {
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x0027E0EB,  # cgroup
        0x63677270,  # cgroup2
        0xCAFE4A11,  # bpf
        0x1CD1,  # devpts
        0x19800202,  # mqueue
        0x6165676C,  # pstore
        0xDE5E81E4,  # efivarfs
        0xF97CFF8C,  # selinux
        0x62656570,  # configfs
        0x65735543,  # fusectl
        0x42494E4D,  # binfmt_misc
        0x6E736673,  # nsfs
        0x07655821,  # resctrl
    }
)
# A rename there never becomes durable before the data of the file that it renames, so after a crash of the host a
# replaced file is the old or the new one: ext4 (auto_da_alloc), btrfs (flushes at a rename that replaces), ZFS (one
# transaction after the other). tmpfs has nothing to keep.
_ORDERED: Final = frozenset({0xEF53, 0x9123683E, 0x2FC12FC1, 0x01021994})
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_KEEP_SIZE: Final = 1
# A file system that cannot do it says one of these.
UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY})


class _StatFs(ctypes.Structure):
    """struct statfs, of which the first word is wanted; more room than any architecture takes."""

    _fields_ = [("type", ctypes.c_long), ("rest", ctypes.c_long * 31)]


_libc = ctypes.CDLL(None, use_errno=True)
_at_once = ctypes.PyDLL(None)  # keeps the interpreter's lock: for calls that never wait


def magic(handle: int) -> int:
    """The file system's magic number (statfs(2)).

    :raises OSError: when the kernel does not say.
    """
    answer = _StatFs()
    if _libc.fstatfs(handle, ctypes.byref(answer)):
        raise _failure()
    return int(answer.type) & 0xFFFFFFFF


def close_read(handle: int) -> None:
    """Close a descriptor that nothing was written to, which never waits.

    os.close lets other threads run first, and getting the interpreter back from them costs more than the call.
    """
    _at_once.close(handle)


def keeps_order(handle: int) -> bool:
    """Whether a rename on this file system waits for the data by itself; if not, fdatasync must come first."""
    return magic(handle) in _ORDERED


def reserve(handle: int, size: int) -> None:
    """Take the room for ``size`` bytes without changing what is read; nothing where the file system cannot.

    :raises OSError: ENOSPC, EDQUOT, EFBIG.
    """
    if _libc.fallocate(handle, _KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(size)):
        error = _failure()
        if error.errno not in UNSUPPORTED:
            raise error


def exchange(from_folder: int, from_name: str, to_folder: int, to_name: str) -> None:
    """Swap two names at once (renameat2).

    :raises OSError: one of ``UNSUPPORTED`` where the file system cannot, ENOENT when one of them is not there.
    """
    _renameat2(from_folder, from_name, to_folder, to_name, _RENAME_EXCHANGE)


def rename_new(from_folder: int, from_name: str, to_folder: int, to_name: str) -> None:
    """Rename to a name that nothing bears.

    Where the file system cannot promise that, it is looked up first.

    :raises FileExistsError: when something bears it.
    :raises OSError: as the kernel says.
    """
    try:
        _renameat2(from_folder, from_name, to_folder, to_name, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        try:
            os.stat(to_name, dir_fd=to_folder, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(from_name, to_name, src_dir_fd=from_folder, dst_dir_fd=to_folder)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), to_name) from None


def kernel_devices() -> frozenset[int]:
    """Device numbers of what is mounted at and below /proc, /sys and /dev, and nowhere else.

    The magic number does not tell them all: devtmpfs and /dev/shm have tmpfs's. Something that is mounted elsewhere too
    (a container's /dev/termination-log may lie on the disk of everything) is no file system of the kernel's.
    """
    inside: set[int] = set()
    outside = {Path("/").stat().st_dev}
    # proc_pid_mountinfo(5): id, parent, major:minor, root, mount point, ...
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        major, _, minor = fields[2].partition(":")
        (inside if is_kernels(fields[4]) else outside).add(os.makedev(int(major), int(minor)))
    return frozenset(inside - outside)


def is_kernels(path: str) -> bool:
    """Whether an absolute path is one of the kernel's folders or in one."""
    return path.startswith(KERNEL_FOLDERS) and any(is_within(path, folder) for folder in KERNEL_FOLDERS)


def is_within(path: str, folder: str) -> bool:
    """Whether an absolute path is that folder or in it."""
    return folder == "/" or path == folder or path.startswith(folder + "/")


def _renameat2(from_folder: int, from_name: str, to_folder: int, to_name: str, flags: int) -> None:
    names = os.fsencode(from_name), os.fsencode(to_name)
    if _libc.renameat2(from_folder, names[0], to_folder, names[1], ctypes.c_uint(flags)):
        raise _failure(from_name)


def _failure(name: str | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)
