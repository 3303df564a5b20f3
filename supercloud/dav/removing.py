"""Removing trees: what can be removed goes, what cannot stays with the folders above it (RFC 4918 section 9.6.1)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from supercloud.dav.tree import NotServed

Failure = tuple[str, Exception]  # a path below what was asked for ("" is itself), and what happened
MAX_DEPTH: Final = 200  # folders in folders; each holds a descriptor open while its members are worked on
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: int, name: str, kernel_devices: frozenset[int], path: str = "", depth: int = 0) -> Iterator[Failure]:
    """Remove a name and everything below it, following no link. It runs as the failures are asked for.

    :param folder: an O_PATH descriptor of where the name is.
    :param kernel_devices: file systems that are never entered.
    :return: what could not be removed, members first; a folder above a failed member is not named (section 9.6.1).
    """
    try:
        try:
            os.unlink(name, dir_fd=folder)
            return
        except IsADirectoryError:
            opened = open_folder(folder, name, kernel_devices, depth)
    except (OSError, NotServed) as error:
        yield path, error
        return
    failed = False
    try:
        for member in _names(opened):
            for failure in remove(opened, member, kernel_devices, f"{path}/{member}", depth + 1):
                failed = True
                yield failure
    finally:
        os.close(opened)
    if not failed:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            yield path, error


def hindrances(
    folder: int, name: str, kernel_devices: frozenset[int], path: str = "", depth: int = 0
) -> Iterator[Failure]:
    """What would keep a tree from being removed whole, as far as permissions tell; nothing is changed."""
    try:
        opened = open_folder(folder, name, kernel_devices, depth)
    except NotADirectoryError:
        return
    except (OSError, NotServed) as error:
        if getattr(error, "errno", None) != errno.ELOOP:  # a link, which is removed itself
            yield path, error
        return
    try:
        names = _names(opened)
        if names and not os.access(".", os.W_OK | os.X_OK, dir_fd=opened, effective_ids=True):
            yield path, PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
            return
        for member in _folders(opened):
            yield from hindrances(opened, member, kernel_devices, f"{path}/{member}", depth + 1)
    finally:
        os.close(opened)


def open_folder(folder: int, name: str, kernel_devices: frozenset[int], depth: int) -> int:
    """A folder that is no link, not the kernel's, and not too deep.

    :raises NotServed: for one of the kernel's.
    :raises OSError: as the kernel says; ELOOP or ENOTDIR for a link, ENAMETOOLONG for one that is too deep.
    """
    if depth >= MAX_DEPTH:
        raise OSError(errno.ENAMETOOLONG, "folders in folders too deep", name)
    opened = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    if os.fstat(opened).st_dev in kernel_devices:
        os.close(opened)
        raise NotServed(f"{name} is the kernel's")
    return opened


def _folders(opened: int) -> list[str]:
    with os.scandir(opened) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _names(opened: int) -> list[str]:
    with os.scandir(opened) as entries:
        return [entry.name for entry in entries]
