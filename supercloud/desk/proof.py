"""What a descriptor that came with a request proves of who sent it: which file, and that they may write or read it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from supercloud.accounts import Offloaded
from supercloud.desk.identity import Seen, is_reading, is_writing, look, path_of
from supercloud.desk.permission import may_change, read_list
from supercloud.desk.service import Asker
from supercloud.desk.wire import Key, Refusal

_ACCESS_LIST: Final = "system.posix_acl_access"
_NO_LIST: Final = frozenset({errno.ENODATA, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Proof:
    """Made by `Prover` only.

    :ivar path: the real path as the kernel tells it, b"" where it cannot be believed.
    :ivar may_write: a file was opened for writing; a folder's names may be changed.
    :ivar may_read: it was opened for reading.
    :ivar is_own: it belongs to the account, which could close it to all others.
    :ivar is_sticky: a folder in which everybody has names of their own.
    """

    key: Key
    path: bytes
    is_folder: bool
    may_write: bool
    may_read: bool
    is_own: bool
    is_sticky: bool


class Prover:
    """Looks at descriptors beside the reactor's thread, in the share of whoever sent them."""

    def __init__(self, offload: Offloaded) -> None:
        self._offload = offload

    async def prove(self, asker: Asker, descriptors: Sequence[int], *, is_nameless: bool = False) -> Proof:
        """What the one descriptor proves.

        :param is_nameless: a file without a name will do too.
        :raises Refusal: ``no-descriptor`` for none or several; ``not-served`` for what is no file or folder, was
            deleted.
        """
        if len(descriptors) != 1:
            raise Refusal("no-descriptor", f"{len(descriptors)} descriptors")
        try:
            proof: Proof = await self._offload.run_for(
                asker.uid, _prove, descriptors[0], asker.uid, asker.groups, is_nameless
            )
        except OSError as error:
            raise Refusal("not-served", str(error)) from None
        return proof


def _prove(descriptor: int, uid: int, groups: frozenset[int], is_nameless: bool) -> Proof:
    seen = look(descriptor)
    if not (seen.is_file or seen.is_folder):
        raise Refusal("not-served", "neither a file nor a folder")
    if seen.links == 0 and not is_nameless:
        raise Refusal("not-served", "was deleted")
    writes = _may_change(descriptor, seen, uid, groups) if seen.is_folder else is_writing(descriptor)
    path = os.fsencode(path_of(descriptor, seen))
    return Proof(
        seen.key,
        path,
        seen.is_folder,
        may_write=writes,
        may_read=is_reading(descriptor),
        is_own=uid in (0, seen.uid),
        is_sticky=bool(seen.mode & stat.S_ISVTX),
    )


def _may_change(descriptor: int, seen: Seen, uid: int, groups: frozenset[int]) -> bool:
    try:
        # By this path it works for O_PATH descriptors too.
        entries = read_list(os.getxattr(f"/proc/self/fd/{descriptor}", _ACCESS_LIST))
    except OSError as error:
        if error.errno not in _NO_LIST:
            return False
        entries = ()
    except ValueError:
        return False
    return may_change(uid, groups, owner=seen.uid, group=seen.gid, mode=seen.mode, entries=entries)
