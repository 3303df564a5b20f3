"""Copying trees, and moving them, also from one file system to another (RFC 4918 sections 9.8 and 9.9).

A copy keeps the time of the last change and the permission bits, as file managers do whose users these are. Links
within a tree are copied as links: following them could copy without end. A tree is put together under a part's name and
gets its own when it is complete, as far as it could be read: nobody sees half of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from supercloud.dav import part
from supercloud.dav.failures import NO_SPACE
from supercloud.dav.kernel import KERNEL_MAGIC, UNSUPPORTED, exchange, magic, rename_new
from supercloud.dav.removing import Failure, open_folder, remove
from supercloud.dav.tree import Landing, NotServed
from supercloud.dav.writing import copy_range, sweep

_FICLONE: Final = 0x40049409  # linux/fs.h: share all blocks (btrfs, XFS, overlay on them)
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


Carry = Callable[[int, int], None]  # from an open file or folder to its copy


class Full(OSError):
    """There is no room for the rest of a copy; what was copied is removed."""


def copy_content(source: int, target: int) -> None:
    """All bytes of a file, by sharing blocks where the file system can.

    :raises OSError: as the kernel says; EIO when the file became shorter meanwhile.
    """
    size = os.fstat(source).st_size
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EXDEV, errno.EPERM, errno.EISDIR, errno.ETXTBSY}:
            raise
        copy_range(source, target, size)
    if os.fstat(target).st_size < size:
        raise OSError(errno.EIO, "the file became shorter while it was copied")


def copy_tree(
    source: Landing, target: Landing, kernel_devices: frozenset[int], carry: Carry, *, members: bool
) -> list[Failure]:
    """Copy a folder to a name that nothing bears, or in place of what bears it.

    :param carry: see `copy_file`.
    :param members: whether its members are copied too (Depth: infinity).
    :return: the members that could not be copied.
    :raises OSError: when nothing was copied, ENOSPC and EDQUOT among the reasons; the target is as it was.
    """
    sweep(target.folder)
    name = part.part_name(target.name)
    copier = _Copier(kernel_devices, carry, members=members)
    try:
        failed = list(copier.copy_folder(source.folder, source.name, target.folder, name, "", 0))
        if failed and failed[0][0] == "":
            raise failed[0][1]
        put(target, name, kernel_devices)
    except BaseException:
        _drop(target.folder, name, kernel_devices)
        raise
    return failed


def put(target: Landing, name: str, kernel_devices: frozenset[int]) -> None:
    """Give what bears a part's name in the target's folder the target's name; what bore that is removed.

    :raises OSError: as the kernel says; the target is as it was.
    """
    folder = target.folder
    try:
        rename_new(folder, name, folder, target.name)
        return
    except FileExistsError:
        pass
    swap(folder, name, target)
    _drop(folder, name, kernel_devices)


def swap(folder: int, name: str, target: Landing) -> None:
    """Exchange two names; in two steps where the file system cannot at once.

    :raises OSError: as the kernel says; nothing was changed then.
    """
    try:
        exchange(folder, name, target.folder, target.name)
        return
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    aside = part.part_name(target.name)
    os.rename(target.name, aside, src_dir_fd=target.folder, dst_dir_fd=target.folder)
    try:
        os.rename(name, target.name, src_dir_fd=folder, dst_dir_fd=target.folder)
    except OSError:
        os.rename(aside, target.name, src_dir_fd=target.folder, dst_dir_fd=target.folder)
        raise
    os.rename(aside, name, src_dir_fd=target.folder, dst_dir_fd=folder)


class _Copier:
    """Copies one tree, never entering a file system of the kernel's, opening nothing but files and folders."""

    def __init__(self, kernel_devices: frozenset[int], carry: Carry, *, members: bool) -> None:
        self._kernel_devices = kernel_devices
        self._carry = carry
        self._members = members

    def copy_folder(
        self, from_folder: int, name: str, to_folder: int, to_name: str, path: str, depth: int
    ) -> Iterator[Failure]:
        """Copy a folder under a new name.

        :return: what could not be copied; its own path stands for all of it.
        :raises Full: when there is no room for more.
        """
        try:
            source = self._open(from_folder, name, depth)
        except (OSError, NotServed) as error:
            yield path, error
            return
        try:
            # For now the account may work in it, whatever the source's own bits say.
            os.mkdir(to_name, os.fstat(source).st_mode & 0o777 | 0o700, dir_fd=to_folder)
            target = os.open(to_name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=to_folder)
        except OSError as error:
            os.close(source)
            _raise_if_full(error)
            yield path, error
            return
        try:
            if self._members:
                yield from self._copy_members(source, target, path, depth)
            _finish_folder(source, target, self._carry)
        finally:
            os.close(source)
            os.close(target)

    def _open(self, folder: int, name: str, depth: int) -> int:
        opened = open_folder(folder, name, self._kernel_devices, depth)
        if os.major(os.fstat(opened).st_dev) == 0 and magic(opened) in KERNEL_MAGIC:
            os.close(opened)
            raise NotServed(f"{name} is the kernel's")
        return opened

    def _copy_members(self, source: int, target: int, path: str, depth: int) -> Iterator[Failure]:
        try:
            with os.scandir(source) as found:
                entries = [entry for entry in found if not part.is_part_name(entry.name)]
        except OSError as error:
            yield path, error
            return
        for entry in entries:
            below = f"{path}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self.copy_folder(source, entry.name, target, entry.name, below, depth + 1)
                continue
            try:
                _copy_member(source, target, entry, self._carry)
            except (OSError, NotServed) as error:
                _raise_if_full(error)
                yield below, error


def copy_file(source: int, folder: int, name: str, carry: Carry) -> None:
    """Copy an open file under a new name.

    :param carry: gives the copy what the file is besides its bytes.
    :raises OSError: as the kernel says; then nothing bears the name.
    """
    status = os.fstat(source)
    target = os.open(name, _NEW_FLAGS, status.st_mode & 0o777, dir_fd=folder)
    try:
        copy_content(source, target)
        carry(source, target)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    except BaseException:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(target)


def _copy_member(from_folder: int, to_folder: int, entry: os.DirEntry[str], carry: Carry) -> None:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.name, dir_fd=from_folder), entry.name, dir_fd=to_folder)
        return
    if not entry.is_file(follow_symlinks=False):
        raise NotServed(f"{entry.name} is neither a file nor a folder")
    source = os.open(entry.name, _FILE_FLAGS, dir_fd=from_folder)
    try:
        copy_file(source, to_folder, entry.name, carry)
    finally:
        os.close(source)


def _finish_folder(source: int, target: int, carry: Carry) -> None:
    status = os.fstat(source)
    carry(source, target)
    os.fchmod(target, stat.S_IMODE(os.fstat(target).st_mode) & ~(0o700 & ~status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _raise_if_full(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        raise Full(error.errno, error.strerror) from error


def _drop(folder: int, name: str, kernel_devices: frozenset[int]) -> None:
    """Remove a part, as far as that goes."""
    for _failure in remove(folder, name, kernel_devices):
        continue
