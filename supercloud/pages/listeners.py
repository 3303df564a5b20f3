"""Programs of the person's own that listen on this host, whoever started them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_LISTEN: Final = "0A"
_LEAST: Final = 1024
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
# What localhost leads to; as /proc/net/tcp writes it, in the host's order.
_LOCAL: Final = frozenset(
    {
        *("00000000", "0100007F", "0" * 32, "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"),
    }
)
_MOST: Final = 100


class Listener(NamedTuple):
    """:ivar name: of the program."""

    port: int
    name: str


def own_listeners(leave_out: set[int]) -> list[Listener]:
    """By port.

    :param leave_out: ports that are shown elsewhere.
    """
    sockets: dict[int, int] = {}
    for table in _TABLES:
        for port, inode in _listening(table):
            if port >= _LEAST and port not in leave_out:
                sockets.setdefault(inode, port)
    if not sockets:
        return []
    found: dict[int, str] = {}
    for pid in _own_processes():
        for inode in _inodes(pid):
            if inode in sockets:
                found.setdefault(sockets[inode], _command(pid))
    return [Listener(port, found[port]) for port in sorted(found)][:_MOST]


def _listening(table: str) -> Iterator[tuple[int, int]]:
    """Port and inode of this account's sockets; see proc(5)."""
    uid = str(os.geteuid())
    with suppress(OSError):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            address, _, port = words[1].partition(":")
            if words[3] == _LISTEN and words[7] == uid and address in _LOCAL:
                yield int(port, 16), int(words[9])


def _own_processes() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        with suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == os.geteuid():
                yield int(entry.name)


def _inodes(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError, ValueError):
                target = os.readlink(entry.path)  # noqa: PTH115
                if target.startswith("socket:["):
                    yield int(target[8:-1])


def _command(pid: int) -> str:
    """How the process was called: the program, and the module or script that an interpreter runs."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "a program"
    # Some write a title over their words, as in "nginx: master process …".
    program = Path(words[0].split(" ")[0].rstrip(":")).name
    if program.startswith("python"):
        rest = [word for word in words[1:] if word and word != "-m" and not word.startswith("-")]
        return Path(rest[0]).name if rest else program
    return program or "a program"
