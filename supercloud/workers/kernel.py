"""What Linux offers a process to give up rights with, and Python does not."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from typing import Final

# linux/prctl.h
_SET_DEATH_SIGNAL: Final = 1
_SET_DUMPABLE: Final = 4
_SET_NAME: Final = 15
_READ_BOUNDING: Final = 23
_DROP_BOUNDING: Final = 24
_SET_NO_NEW_PRIVS: Final = 38
_AMBIENT: Final = 47
_AMBIENT_CLEAR_ALL: Final = 4
# linux/capability.h: two words for each of three sets.
_CAPABILITY_VERSION_3: Final = 0x20080522
# linux/keyctl.h, and its system call's number by machine (glibc has no function for it).
_JOIN_SESSION_KEYRING: Final = 1
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219, "ppc64le": 271, "s390x": 280}

# linux/openat2.h; its system call has one number on all machines.
_OPENAT2: Final = 437
_NO_XDEV_NO_LINKS_BENEATH: Final = 0x01 | 0x02 | 0x04 | 0x08
_FIND: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# A kernel before 5.6, or a container's filter of system calls.
_NOT_OFFERED: Final = frozenset({errno.ENOSYS, errno.EPERM})

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def find_in(folder: int, name: str) -> int:
    """A descriptor (O_PATH) of what bears a name in a folder, whatever it is: nothing is opened, no link is followed.

    What is mounted there is not looked at: a file system of a user's own (FUSE) could keep whoever asks waiting.

    :raises OSError: as the kernel says; EXDEV when something is mounted there.
    """
    how = _How(_FIND, 0, _NO_XDEV_NO_LINKS_BENEATH)
    found = _libc.syscall(
        ctypes.c_long(_OPENAT2), ctypes.c_int(folder), os.fsencode(name), ctypes.byref(how), ctypes.sizeof(how)
    )
    if found >= 0:
        return int(found)
    number = ctypes.get_errno()
    if number in _NOT_OFFERED:
        return os.open(name, _FIND, dir_fd=folder)
    raise OSError(number, os.strerror(number), name)


def name_process(name: str) -> None:
    """What ``ps -o comm`` shows; at most 15 letters."""
    _prctl(_SET_NAME, ctypes.c_char_p(name.encode("ascii")))


def forbid_new_privileges() -> None:
    """No program that this process or its children start gains rights (setuid, file capabilities), for good."""
    _prctl(_SET_NO_NEW_PRIVS, 1)


def forbid_inspection() -> None:
    """Processes of the same account may not trace this one nor read its memory; it leaves no core. A change of ids does
    that too, but the site can switch that off (fs.suid_dumpable).
    """
    _prctl(_SET_DUMPABLE, 0)


def end_with(parent: int) -> None:
    """SIGKILL when the parent ends. A change of ids undoes this, so it comes after.

    :param parent: its id as it was before the fork.
    :raises ProcessLookupError: it has ended already.
    """
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError(errno.ESRCH, "the parent has ended")


def drop_bounding_set() -> None:
    """No capability can be gained by starting a program, for good. Without CAP_SETPCAP (a container's root) it stays,
    and `forbid_new_privileges` has to do.
    """
    number = 0
    while _libc.prctl(_READ_BOUNDING, ctypes.c_ulong(number), 0, 0, 0) >= 0:
        try:
            _prctl(_DROP_BOUNDING, number)
        except PermissionError:
            return
        number += 1


def drop_capabilities() -> None:
    """Empty the effective, permitted, inheritable and ambient sets. Inheritable ones survive a change of ids."""
    _prctl(_AMBIENT, _AMBIENT_CLEAR_ALL)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(ctypes.byref(header), (ctypes.c_uint32 * 6)()))


def leave_session_keyring() -> None:
    """Take an empty session keyring: who holds root's, by descent, can read root's keys whatever their own uid is
    (keyrings(7), possession). PAM may give another one later.

    :raises OSError: when it cannot be left; not when the kernel has no keyrings or forbids all use of them.
    """
    call = _KEYCTL.get(platform.machine())
    if call is None:
        raise OSError(errno.ENOSYS, f"keyctl has no known number on {platform.machine()}")
    try:
        _check(_libc.syscall(ctypes.c_long(call), ctypes.c_long(_JOIN_SESSION_KEYRING), None))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    word = ctypes.c_ulong(value) if isinstance(value, int) else value
    _check(_libc.prctl(ctypes.c_int(option), word, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def _check(result: int) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
