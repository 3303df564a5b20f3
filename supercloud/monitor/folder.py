"""The folder of the workers' sockets: root's own, and open to the front only."""

from __future__ import annotations

import os
import pwd
import re
import socket
from contextlib import suppress
from typing import Final

from supercloud.monitor.breach import Breach
from supercloud.monitor.wire import Task

_NAME: Final = re.compile(r"[0-9]+-[0-9]+\.sock")
_MOST: Final = 107  # bytes of a path that connect() takes (unix(7): sun_path)


class Folder:
    """``run/workers``, held by a descriptor: whoever owns ``run`` cannot put another one in its place.

    The account of the front cannot write into it, so that no name in it is a link of theirs.
    """

    def __init__(self, task: Task) -> None:
        """Make it, or take the one that is there if it is as it must be; sockets of an earlier run are removed.

        :raises Breach: it is somebody else's.
        :raises OSError: it cannot be made.
        """
        self.path = os.path.join(task.run, "workers")  # noqa: PTH118
        self._owner = None if task.only_uid is not None else task.front_uid
        with suppress(FileExistsError):
            os.mkdir(self.path, 0o700)  # noqa: PTH102
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if os.fstat(self._fd).st_uid != os.geteuid():
            raise Breach(f"{self.path} is not the monitor's own")
        if self._owner is not None:
            os.fchown(self._fd, os.geteuid(), pwd.getpwuid(self._owner).pw_gid)
        os.fchmod(self._fd, 0o700 if self._owner is None else 0o750)
        for name in os.listdir(self._fd):  # noqa: PTH208
            if _NAME.fullmatch(name):
                self.remove(name)

    def bind(self, uid: int, number: int) -> tuple[str, socket.socket]:
        """A socket for a worker; nobody listens on it yet.

        :return: its name in the folder, and itself.
        :raises OSError: it cannot be made; ValueError: its path is too long.
        """
        name = f"{uid}-{number}.sock"
        if len(os.fsencode(self.full(name))) > _MOST:
            raise ValueError(f"{self.full(name)} is longer than {_MOST} bytes")
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The mode that the name gets, at once (unix_bind in net/unix/af_unix.c).
            os.fchmod(made.fileno(), 0o600)
            made.bind(f"/proc/self/fd/{self._fd}/{name}")
            if self._owner is not None:
                os.chown(name, self._owner, -1, dir_fd=self._fd, follow_symlinks=False)
        except OSError:
            made.close()
            raise
        return name, made

    def full(self, name: str) -> str:
        """The path that the front connects to."""
        return os.path.join(self.path, name)  # noqa: PTH118

    def remove(self, name: str) -> None:
        """No socket of that name any more."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def close(self) -> None:
        """Remove all sockets."""
        for name in os.listdir(self._fd):  # noqa: PTH208
            if _NAME.fullmatch(name):
                self.remove(name)
        os.close(self._fd)
