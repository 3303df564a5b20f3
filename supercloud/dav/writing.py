"""Replacing a file's content at once or not at all.

The new content is written into a draft: a file without a name in the target's folder (``O_TMPFILE``; with a part's
name where the file system cannot), which takes the target's name when it is complete. A broken upload, a full disk or a
killed worker leaves the old file as it was.

A file keeps its identity, and is written in place from the complete draft, where a new file under its name would not
be the same thing: it has several names (hard links), it is somebody else's, it is a mount point, its folder takes no
new files, or its group, access lists or attributes cannot be given to a new one. That is not atomic: a reader may see
the old and the new mixed, and a crash of the host in that moment leaves such a mixture. Room is taken beforehand, so a
full disk or a quota still leaves the old file whole, but for copy-on-write file systems.

Before the draft takes the name, its data is made durable (fdatasync), unless the file system keeps that order by itself
(``kernel.keeps_order``): so after a crash of the host the name leads to the old or the new content. Network file
systems report a used-up quota then too, before success is said.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from typing import Final, Self

from supercloud.dav import part
from supercloud.dav.attributes import take_over
from supercloud.dav.kernel import UNSUPPORTED, keeps_order, rename_new, reserve
from supercloud.dav.tree import Landing, Located, NotServed, Tree

_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_TMPFILE: Final = UNSUPPORTED | {errno.EISDIR, errno.ENOENT}
_ELSEWHERE: Final = ("/var/tmp", "/tmp")  # noqa: S108 - nameless files, which nobody else can open
_RESUMED: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COPY: Final = 64 * 1024 * 1024  # bytes a call


class IsFolder(IsADirectoryError):
    """The target is a folder, which has no content to replace."""


class Claim:
    """What a draft tells when it replaces a file, so that the file's locks go on (see ``locks``); this one, nobody.

    :ivar file: device and inode number of what may be replaced; None for whatever is there.
    """

    file: tuple[int, int] | None = None

    def covers(self, status: os.stat_result) -> bool:
        """Whether that may be replaced."""
        return self.file in (None, (status.st_dev, status.st_ino))

    def expect(self, draft: int) -> None:
        """The file of this descriptor is about to take the name.

        :raises DAVError: it must not.
        """

    def follow(self, landing: Landing) -> None:
        """It has the name now.

        :raises DAVError: it has, but not the locks.
        """


class Draft:
    """The content to be, of one target. Closed without ``commit``, it leaves nothing behind.

    :ivar landing: where the target lies, links followed.
    :ivar old: what the target is, None for nothing.
    :ivar handle: a descriptor for reading and writing.
    :ivar written: after ``commit``: a descriptor for writing of what the target is then.
    """

    def __init__(self, tree: Tree, located: Located, *, mode: int = 0o666, resume: str | None = None) -> None:
        """Open a draft; litter of earlier ones in that folder is removed on the way.

        :param mode: of a new file, before the umask or the folder's default access list.
        :param resume: a part's name in the target's folder, which is gone on with, and kept until ``commit``.
        :raises IsFolder: when the target is a folder.
        :raises NotServed: when it is neither file nor folder, or out of bounds.
        :raises OSError: when the kernel would not let the account write there.
        """
        self.landing = tree.followed(located)
        self._target: int | None = None
        self._name = resume
        self._is_kept = resume is not None
        self._mode = mode
        try:
            self.old = self._judged(self.landing.status())
            if self.old is not None:
                self._target = _opened_for_writing(self.landing)
            sweep(self.landing.folder)
            self.handle, self._is_beside = self._open(tree.home)
            self.written = self.handle
        except BaseException:
            self._close()
            raise

    def write(self, block: memoryview) -> None:
        """Append.

        :raises OSError: ENOSPC, EDQUOT, EFBIG and others.
        """
        while block:
            block = block[os.write(self.handle, block) :]

    def stamp(self, modified_ns: int) -> None:
        """Set the time of its last change; the last thing before ``commit``."""
        os.utime(self.handle, ns=(time.time_ns(), modified_ns))

    def commit(self, claim: Claim | None) -> os.stat_result:
        """Let the target have this content, and say what it is then.

        :param claim: on the target; None when nothing was there that could have one.
        :raises FileExistsError: there is something, on which there is no claim.
        :raises IsFolder: when it became a folder in between.
        :raises OSError: as the kernel says; the old content is whole.
        """
        self.old = self._judged(self.landing.status())
        self._reopen()
        if self.old is None:
            try:
                return self._appear()
            except FileExistsError:
                if claim is None:
                    raise
                self.old = self._judged(self.landing.status())
                self._reopen()
        if claim is None or (self.old is not None and not claim.covers(self.old)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.landing.name)
        if self.old is not None and self._keeps_identity(self.old):
            return self._fill()
        return self._replace(claim)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._close()

    def _open(self, home: str) -> tuple[int, bool]:
        """A descriptor, and whether it lies in the target's folder."""
        try:
            return self._open_beside(), True
        except OSError as error:
            if error.errno not in _DENIED or self._target is None or self._is_kept:
                raise
            failure = error
        for folder in (home, *_ELSEWHERE):
            try:
                return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), False
            except OSError:
                continue
        raise failure

    def _open_beside(self) -> int:
        folder = self.landing.folder
        # A part has a name that others see: never more open to them than what it replaces.
        mode = self._mode if self.old is None else stat.S_IMODE(self.old.st_mode) & 0o777
        if self._name is not None:
            return _ours(os.open(self._name, _RESUMED, mode, dir_fd=folder))
        try:
            return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, self._mode, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
        name = part.part_name(self.landing.name)
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC
        handle = os.open(name, flags, mode, dir_fd=folder)
        self._name = name
        return handle

    def _judged(self, status: os.stat_result | None) -> os.stat_result | None:
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise IsFolder(errno.EISDIR, os.strerror(errno.EISDIR), self.landing.name)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise NotServed(f"{self.landing.located.path} is neither a file nor a folder")
        return status

    def _reopen(self) -> None:
        """Open the target again when it came, or became another one, since the draft was opened."""
        if self._target is not None and (self.old is None or os.fstat(self._target).st_ino != self.old.st_ino):
            os.close(self._target)
            self._target = None
        if self._target is None and self.old is not None:
            self._target = _opened_for_writing(self.landing)

    def _keeps_identity(self, old: os.stat_result) -> bool:
        """Whether the target is written in place. The draft gets the target's group, lists and mode on the way."""
        draft = os.fstat(self.handle)
        if not self._is_beside or old.st_nlink > 1 or old.st_uid != draft.st_uid or old.st_dev != draft.st_dev:
            return True
        # Setting mode or attributes changes no mtime, so the stamp stays.
        return not take_over(f"/proc/self/fd/{self.landing.folder}/{self.landing.name}", old, self.handle)

    def _appear(self) -> os.stat_result:
        """Give the draft the target's name, which nothing bears.

        :raises FileExistsError: when something does.
        """
        self._settle()
        if self._name is None:
            self._link(self.landing.name)
        else:
            rename_new(self.landing.folder, self._name, self.landing.folder, self.landing.name)
            self._name = None
        return os.fstat(self.handle)

    def _replace(self, claim: Claim) -> os.stat_result:
        self._settle()
        if self._name is None:
            name = part.part_name(self.landing.name)
            self._link(name)
            self._name = name
        folder = self.landing.folder
        claim.expect(self.handle)
        os.rename(self._name, self.landing.name, src_dir_fd=folder, dst_dir_fd=folder)
        self._name = None
        claim.follow(self.landing)
        return os.fstat(self.handle)

    def _link(self, name: str) -> None:
        os.link(f"/proc/self/fd/{self.handle}", name, dst_dir_fd=self.landing.folder, follow_symlinks=True)

    def _settle(self) -> None:
        if not keeps_order(self.handle):
            os.fdatasync(self.handle)

    def _fill(self) -> os.stat_result:
        """Write the draft's content into the target itself."""
        target = self._target
        if target is None:
            raise OSError(errno.ETXTBSY, os.strerror(errno.ETXTBSY), self.landing.name)
        size = os.fstat(self.handle).st_size
        try:
            reserve(target, size)
        except OSError:
            os.ftruncate(target, os.fstat(target).st_size)  # gives back what was taken beyond its end
            raise
        copy_range(self.handle, target, size)
        os.ftruncate(target, size)
        if not keeps_order(target):
            os.fdatasync(target)
        stamped = os.fstat(self.handle).st_mtime_ns
        _stamp_if_ours(target, stamped)
        self._is_kept = False
        self.written = target
        return os.fstat(target)

    def _close(self) -> None:
        if self._name is not None and not self._is_kept:
            _forget(self._name, self.landing.folder)
            self._name = None
        for handle in (self._target, getattr(self, "handle", None)):
            if handle is not None:
                os.close(handle)
        self.landing.close()


def copy_range(source: int, target: int, size: int, at: int = 0) -> None:
    """Copy a file's first bytes into another, sharing blocks where the file system can.

    :param at: where they begin in the target.
    :raises OSError: as the kernel says.
    """
    done = 0
    while done < size:
        try:
            copied = os.copy_file_range(source, target, min(_COPY, size - done), done, at + done)
        except OSError as error:
            if error.errno not in UNSUPPORTED | {errno.EXDEV, errno.EBADF, errno.EPERM}:
                raise
            copied = _copy_block(source, target, (done, at + done), min(1024 * 1024, size - done))
        if copied == 0:  # it shrank, or the file system cannot say (some FUSE ones answer 0)
            copied = _copy_block(source, target, (done, at + done), min(1024 * 1024, size - done))
            if copied == 0:
                return
        done += copied


def sweep(folder: int) -> None:
    """Remove what dead workers of this account left in a folder, at most once an hour."""
    if part.is_due(folder, time.monotonic()):
        for name in part.litter(folder, time.time()):  # noqa: TID251 - held against the times of files
            _forget(name, folder)


def _copy_block(source: int, target: int, offsets: tuple[int, int], size: int) -> int:
    block = os.pread(source, size, offsets[0])
    view, at = memoryview(block), offsets[1]
    while view:
        written = os.pwrite(target, view, at)
        view, at = view[written:], at + written
    return len(block)


def _opened_for_writing(landing: Landing) -> int | None:
    """The target itself: who may not write it may not replace it either, as by ssh.

    :return: None for a program that runs, which may be replaced, not written.
    """
    try:
        return os.open(landing.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=landing.folder)
    except OSError as error:
        if error.errno == errno.ETXTBSY:
            return None
        raise


def _ours(handle: int) -> int:
    """The same descriptor. Others can foresee the name of a part that is resumed, and read what they have put there.

    :raises NotServed: when it is not one of a file of this account's with one name; it is closed then.
    """
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid():
        return handle
    os.close(handle)
    raise NotServed("a part is no file of this account's")


def _stamp_if_ours(target: int, modified_ns: int) -> None:
    try:
        os.utime(target, ns=(time.time_ns(), modified_ns))
    except PermissionError:
        return  # somebody else's file: its time is now, which only its owner may change


def _forget(name: str, folder: int) -> None:
    """Remove a part, as far as it can be removed."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        shutil.rmtree(f"/proc/self/fd/{folder}/{name}", ignore_errors=True)
    except OSError:
        return
