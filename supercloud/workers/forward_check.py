"""May the viewer execute a forward's file? Asked of the viewer's own worker, so that the kernel answers for that
account.

The question is an HTTP request with a method that no browser can send: the front's parser (llhttp) knows a fixed list
of methods, and this is none of them. Nothing is opened: a descriptor of the file itself is looked at, whatever it is.
"""

from __future__ import annotations

import os
import stat
from typing import Final

import msgspec

from supercloud.workers import kernel

METHOD: Final = "MAY-EXECUTE"


class Checked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """:ivar device, inode, ctime: tell this state of this file from all others; ctime in nanoseconds.
    :ivar regular: it is a plain file.
    :ivar allowed: and this account may execute it.
    """

    device: int
    inode: int
    ctime: int
    uid: int
    regular: bool
    allowed: bool


def check(folder: str, name: str) -> Checked | None:
    """Look at a name in the folder as whoever this process is; None when there is nothing that a forward could be.

    :param name: without a slash.
    """
    if not folder or "/" in name:
        return None
    try:
        inside = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = kernel.find_in(inside, name)
    except OSError:
        return None
    finally:
        os.close(inside)
    try:
        status = os.fstat(found)
        # The link in /proc leads to the file of the descriptor, not to whatever bears its name by now.
        regular = stat.S_ISREG(status.st_mode)
        allowed = regular and os.access(f"/proc/self/fd/{found}", os.X_OK, effective_ids=True)
        return Checked(status.st_dev, status.st_ino, status.st_ctime_ns, status.st_uid, regular, allowed)
    except OSError:
        return None
    finally:
        os.close(found)
