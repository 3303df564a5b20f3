"""MOVE: a rename where that is possible, else a copy and a removal (RFC 4918 section 9.9)."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from supercloud.dav import part
from supercloud.dav.copying import Carry, copy_file, copy_tree, put, swap
from supercloud.dav.kernel import rename_new
from supercloud.dav.removing import Failure, hindrances, open_folder, remove
from supercloud.dav.tree import Landing, NotServed

_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def move(source: Landing, target: Landing, kernel_devices: frozenset[int], carry: Carry) -> list[Failure]:
    """Give the source the target's name; what bears that is replaced.

    Nothing is lost when it fails half-way: if a member could not be copied to another file system, all of the source
    stays.

    :param carry: see `copy_file`; a rename needs none.
    :return: failed members of the source.
    :raises OSError: as the kernel says; nothing was changed then.
    """
    there = target.status()
    try:
        if there is None:
            rename_new(source.folder, source.name, target.folder, target.name)
        else:
            _rename_over(source, target, there, kernel_devices)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        failed = _move_across(source, target, kernel_devices, carry)
        if failed:
            return failed
    _adopt_group(target, kernel_devices)
    return []


def _rename_over(source: Landing, target: Landing, there: os.stat_result, kernel_devices: frozenset[int]) -> None:
    here = os.stat(source.name, dir_fd=source.folder, follow_symlinks=False)
    if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
        _rename_to_itself(source, target, here)
    elif stat.S_ISDIR(here.st_mode) or stat.S_ISDIR(there.st_mode):
        for _path, error in hindrances(target.folder, target.name, kernel_devices):
            raise error
        if here.st_dev != there.st_dev:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source.name)
        # Swapped first, removed then: at any moment both trees are there.
        swap(source.folder, source.name, target)
        for _path, error in remove(source.folder, source.name, kernel_devices):
            raise error
    else:
        os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


def _rename_to_itself(source: Landing, target: Landing, here: os.stat_result) -> None:
    """Two names of one file: hard links, of which rename(2) would leave both, or spellings that differ in case only."""
    same_folder = os.path.samestat(os.fstat(source.folder), os.fstat(target.folder))
    if here.st_nlink > 1 and not (same_folder and source.name.casefold() == target.name.casefold()):
        os.unlink(source.name, dir_fd=source.folder)
    else:
        os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


def _move_across(source: Landing, target: Landing, kernel_devices: frozenset[int], carry: Carry) -> list[Failure]:
    here = os.stat(source.name, dir_fd=source.folder, follow_symlinks=False)
    if stat.S_ISDIR(here.st_mode):
        for _path, error in hindrances(source.folder, source.name, kernel_devices):
            raise error
        failed = copy_tree(source, target, kernel_devices, carry, members=True)
        if failed:
            return failed
    else:
        _copy_single(source, target, here, kernel_devices, carry)
    return list(remove(source.folder, source.name, kernel_devices))


def _copy_single(
    source: Landing, target: Landing, here: os.stat_result, kernel_devices: frozenset[int], carry: Carry
) -> None:
    name = part.part_name(target.name)
    if stat.S_ISLNK(here.st_mode):
        os.symlink(os.readlink(source.name, dir_fd=source.folder), name, dir_fd=target.folder)
    else:
        handle = os.open(source.name, _FILE_FLAGS, dir_fd=source.folder)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise NotServed(f"{source.name} is neither a file nor a folder")
            copy_file(handle, target.folder, name, carry)
        finally:
            os.close(handle)
    try:
        put(target, name, kernel_devices)
    except BaseException:
        os.unlink(name, dir_fd=target.folder)
        raise


def _adopt_group(target: Landing, kernel_devices: frozenset[int]) -> None:
    """In a folder that hands its group on (setgid), what came by a rename gets it too, as a new file would.

    A file that keeps its own group is one that the others of the group cannot use.
    """
    folder = os.fstat(target.folder)
    if folder.st_mode & stat.S_ISGID:
        _give_group(target.folder, target.name, folder.st_gid, kernel_devices, 0)


def _give_group(folder: int, name: str, gid: int, kernel_devices: frozenset[int], depth: int) -> None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if status.st_gid != gid:
            os.chown(name, -1, gid, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            return
        opened = open_folder(folder, name, kernel_devices, depth)
    except (OSError, NotServed):
        return  # somebody else's: it stays as it is, as after mv
    try:
        os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) | stat.S_ISGID)
        with os.scandir(opened) as entries:
            for entry in entries:
                _give_group(opened, entry.name, gid, kernel_devices, depth + 1)
    except OSError:
        return
    finally:
        os.close(opened)
