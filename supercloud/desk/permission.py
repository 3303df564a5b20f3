"""May an account write a folder? By owner, mode and access list, as the kernel would decide it (acl(5)); no I/O.

A file needs no such judgement: whoever shows a descriptor that was opened for writing was let by the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

# linux/posix_acl_xattr.h and posix_acl.h
_VERSION: Final = 2
_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_USER_OBJ: Final = 0x01
_USER: Final = 0x02
_GROUP_OBJ: Final = 0x04
_GROUP: Final = 0x08
_MASK: Final = 0x10
_OTHER: Final = 0x20
# To make and remove names: write and search.
_WANTED: Final = 0o3


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an access list.

    :ivar tag: whom it is for, as the kernel numbers it.
    :ivar number: uid or gid of a named user or group.
    """

    tag: int
    permissions: int
    number: int


def read_list(data: bytes) -> tuple[Entry, ...]:
    """The value of ``system.posix_acl_access``.

    :raises ValueError: when it is none.
    """
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _VERSION:
        raise ValueError("an access list of an unknown version")
    try:
        return tuple(Entry(*fields) for fields in _ENTRY.iter_unpack(data[_HEADER.size :]))
    except struct.error:
        raise ValueError("an access list that is cut off") from None


def may_change(uid: int, groups: Set[int], *, owner: int, group: int, mode: int, entries: tuple[Entry, ...]) -> bool:
    """Whether that account may make and remove names in a folder.

    :param groups: of the account, the primary one too.
    :param mode: of the folder; its group bits are the mask where there is a list.
    :param entries: its access list; empty for none.
    """
    if uid == 0:
        return True
    if uid == owner:
        return _allows(mode >> 6)
    # With no bit in the mask the kernel does not look at the list at all (fs/namei.c, acl_permission_check).
    if not entries or not mode & 0o070:
        return _allows(mode >> 3) if group in groups else _allows(mode)
    return _by_list(uid, groups, group, entries)


def _by_list(uid: int, groups: Set[int], group: int, entries: tuple[Entry, ...]) -> bool:
    mask = next((entry.permissions for entry in entries if entry.tag == _MASK), 0o7)
    for entry in entries:
        if entry.tag == _USER and entry.number == uid:
            return _allows(entry.permissions & mask)
    matching = [
        entry
        for entry in entries
        if (entry.tag == _GROUP_OBJ and group in groups) or (entry.tag == _GROUP and entry.number in groups)
    ]
    if matching:
        return any(_allows(entry.permissions & mask) for entry in matching)
    return any(_allows(entry.permissions) for entry in entries if entry.tag == _OTHER)


def _allows(permissions: int) -> bool:
    return permissions & _WANTED == _WANTED
