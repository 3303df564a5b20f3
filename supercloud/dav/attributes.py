"""What a file is besides its bytes: mode, group, access lists, extended attributes."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

_ACCESS_LIST: Final = "system.posix_acl_access"
_LISTS: Final = frozenset({_ACCESS_LIST, "system.nfs4_acl", "system.richacl"})
_USERS: Final = "user."
# What writing into a file takes from it anyway (the kernel's file_remove_privs), so a replaced file has it no more.
_NOT_KEPT: Final = stat.S_ISUID | stat.S_ISGID
_NONE: Final = frozenset({errno.ENODATA, errno.EOPNOTSUPP})


def take_over(old: str, status: os.stat_result, new: int) -> bool:
    """Give a new file the group, access lists, extended attributes and mode of the one that it replaces.

    :param old: a path of the old one, not followed when it is a link.
    :param status: what the old one is.
    :param new: a descriptor of the new one.
    :return: whether all of them could be given; if not, the new file is not a fit replacement.
    """
    try:
        if os.fstat(new).st_gid != status.st_gid:
            os.chown(new, -1, status.st_gid)
        _copy_attributes(old, new)
        os.fchmod(new, stat.S_IMODE(status.st_mode) & ~_NOT_KEPT)
    except OSError:
        return False
    # A file system may drop bits without a word (a mandatory umask), so what came of it is looked at.
    now = os.fstat(new)
    wanted = stat.S_IMODE(status.st_mode) & ~_NOT_KEPT
    return stat.S_IMODE(now.st_mode) == wanted and now.st_gid == status.st_gid


def copy_users(old: int, new: int) -> None:
    """Copy extended attributes that users set, as far as the file system of the new one takes them.

    :param old: a descriptor that was opened for reading.
    """
    for name in _listed(old):
        if name.startswith(_USERS):
            try:
                os.setxattr(new, name, os.getxattr(old, name))
            except OSError:
                continue


def _copy_attributes(old: str, new: int) -> None:
    """Make the attributes of the new one those of the old one: what its folder gave it by itself goes.

    :raises OSError: for the first that cannot be copied.
    """
    wanted = {name for name in _listed(old) if name in _LISTS or name.startswith(_USERS)}
    for name in sorted(wanted):
        os.setxattr(new, name, os.getxattr(old, name, follow_symlinks=False))
    if _ACCESS_LIST not in wanted and _ACCESS_LIST in _listed(new):
        os.removexattr(new, _ACCESS_LIST)


def _listed(file: int | str) -> list[str]:
    """Names of extended attributes; none where the file system has none.

    :raises OSError: when they cannot be listed.
    """
    try:
        return os.listxattr(file) if isinstance(file, int) else os.listxattr(file, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NONE:
            return []
        raise
