"""A person's own forward files, as whoever this process is: made, changed and removed with what the kernel permits."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supercloud.monitor.wire import MOST_FORWARD
from supercloud.routing.forward_url import ForwardUrl, Unreadable, read_forward
from supercloud.target import is_forward_name

_EXECUTE: Final = 0o111
_OTHERS_EXECUTE: Final = 0o011  # the mask of an access list, too
_OPEN: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NotDone(Exception):
    """It was not done; the text says why and what would be right."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One of the account's forwards.

    :ivar url: where it leads, without a login; empty for nowhere.
    :ivar state: in words.
    """

    name: str
    url: str
    state: str


def is_there(folder: str) -> bool:
    """Whether a site has this folder of forwards; "" is none."""
    return bool(folder) and Path(folder).is_dir()


class ForwardFiles:
    """The forwards of the account that this process is.

    :param folder: the site's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, url: str) -> int:
        """Have a name lead to a URL: a new one, or one's own.

        Until all is written nobody can execute the file, so that nobody is led by a half of it.

        :returns: the file's inode.
        :raises NotDone: the name is somebody else's, or cannot be one, or the URL leads nowhere.
        """
        data = url.encode("utf-8", "surrogateescape") + b"\n"
        try:
            if read_forward(data) is None or len(data) > MOST_FORWARD:
                raise NotDone("write a URL of at most 1,024 bytes, as http://NODE:PORT/")
        except Unreadable as error:
            raise NotDone(str(error)) from None
        with self._own(name, os.O_WRONLY, make=True) as opened:
            mode = stat.S_IMODE(os.fstat(opened).st_mode)
            os.fchmod(opened, mode & ~_EXECUTE)
            os.ftruncate(opened, 0)
            os.write(opened, data)
            os.fchmod(opened, mode | stat.S_IXUSR)
            return os.fstat(opened).st_ino

    def remove(self, name: str, inode: int | None = None) -> None:
        """Give the name up; anybody may take it then.

        :param inode: only while it is this file.
        :raises NotDone: it is none of one's own.
        """
        with self._look(name) as status:
            if inode is None or inode == status.st_ino:
                self._path(name).unlink()

    def disable(self, name: str) -> None:
        """Keep the name, and lead nobody.

        :raises NotDone: it is none of one's own.
        """
        with self._own(name, os.O_RDONLY) as opened:
            os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) & ~_EXECUTE)

    def share(self, name: str, group: str) -> None:
        """Let the members of a group in.

        :raises NotDone: it is none of one's own, or one is not in that group.
        """
        try:
            gid = grp.getgrnam(group).gr_gid
        except (KeyError, ValueError):  # no name has a zero byte or half of a surrogate pair
            raise NotDone(f"there is no group {group[:80]!r}") from None
        with self._own(name, os.O_RDONLY) as opened:
            mode = stat.S_IMODE(os.fstat(opened).st_mode)
            try:
                os.fchown(opened, -1, gid)
            except PermissionError:
                raise NotDone(f"you are not in the group {group}") from None
            os.fchmod(opened, mode & ~0o022 | stat.S_IXGRP)

    def unshare(self, name: str) -> None:
        """Let nobody else in any more.

        :raises NotDone: it is none of one's own.
        """
        with self._own(name, os.O_RDONLY) as opened:
            os.fchmod(opened, stat.S_IMODE(os.fstat(opened).st_mode) & ~_OTHERS_EXECUTE)

    def list(self) -> list[Kept]:
        """One's own, by name.

        :raises NotDone: there is no such folder.
        """
        try:
            entries = sorted(os.scandir(self._folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            raise NotDone(self._none()) from None
        except OSError as error:
            raise NotDone(f"{self._folder}: {error.strerror}") from None
        mine = [entry.name for entry in entries if _uid(entry) == os.geteuid() and is_forward_name(entry.name)]
        return [self._kept(name) for name in mine]

    def _kept(self, name: str) -> Kept:
        try:
            with self._own(name, os.O_RDONLY) as opened:
                data, is_on = os.read(opened, MOST_FORWARD + 1), os.access(f"/proc/self/fd/{opened}", os.X_OK)
                status = os.fstat(opened)
            url = read_forward(data[: MOST_FORWARD + 1]) if len(data) <= MOST_FORWARD else None
        except NotDone as error:
            return Kept(name, "", str(error))
        except Unreadable as error:
            return Kept(name, "", f"cannot be used: {error}")
        if len(data) > MOST_FORWARD:
            return Kept(name, "", "cannot be used: it is longer than 1,024 bytes")
        if url is None:
            return Kept(name, "", "empty: the name is kept, nothing is forwarded")
        state = f"on{_shared(status)}" if is_on else f"off; to switch it on: chmod u+x {self._path(name)}"
        return Kept(name, _shown(url), state + (f" ({url.lines} lines; the last one is used)" if url.lines > 1 else ""))

    def _none(self) -> str:
        return f"there are no forwards on this host: there is no folder {self._folder}"

    def _path(self, name: str) -> Path:
        if not is_forward_name(name):
            raise NotDone(f"{name!r} cannot be a forward's name; use letters, digits, dots, dashes and underscores")
        return self._folder / name

    @contextmanager
    def _look(self, name: str) -> Iterator[os.stat_result]:
        """What bears a name, if it is one's own."""
        path = self._path(name)
        try:
            status = path.lstat()
            if status.st_uid != os.geteuid():
                raise NotDone(f"{name} is somebody else's")
            yield status
        except FileNotFoundError:
            raise NotDone(f"you have no forward {name}") from None
        except OSError as error:
            raise NotDone(f"{path}: {error.strerror}") from None

    @contextmanager
    def _own(self, name: str, flags: int, *, make: bool = False) -> Iterator[int]:
        """A descriptor of one's own forward file.

        :param make: make it when nothing bears the name: whoever is first has it.
        """
        path = self._path(name)
        try:
            try:
                opened = os.open(path, flags | _OPEN | (os.O_CREAT | os.O_EXCL if make else 0), 0o600)
            except FileExistsError:
                opened = os.open(path, flags | _OPEN)
        except FileNotFoundError:
            missing = self._none() if make else f"you have no forward {name}"
            raise NotDone(missing) from None
        except PermissionError:
            raise NotDone(f"{name} is somebody else's, or you may not write it") from None
        except OSError:
            raise NotDone(f"{name} is not a plain file; if it is yours: rm {path}") from None
        try:
            status = os.fstat(opened)
            if status.st_uid != os.geteuid():
                raise NotDone(f"{name} is somebody else's")
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise NotDone(f"{name} is not a plain file of one name; remove it: rm {path}")
            yield opened
        finally:
            os.close(opened)


def _uid(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_uid
    except OSError:
        return -1  # it has just gone


def _shared(status: os.stat_result) -> str:
    """Who else is let in, in words."""
    if status.st_mode & stat.S_IXOTH:
        return ", shared with everybody"
    if not status.st_mode & stat.S_IXGRP:
        return ""
    try:
        return f", shared with {grp.getgrgid(status.st_gid).gr_name}"
    except KeyError:
        return f", shared with group {status.st_gid}"


def _shown(url: ForwardUrl) -> str:
    scheme = "https" if url.is_tls else "http"
    return f"{scheme}://{url.application}{url.base.decode('ascii')}/"
