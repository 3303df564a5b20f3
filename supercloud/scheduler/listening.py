"""What of the account's own listens on a job's nodes, told by a step of that job; no I/O.

The step runs programs that every node has, and what they print is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from supercloud.scheduler.interface import Listener

# Prints, for each node, a heading, the tables of TCP sockets, who holds which, and how the holders were called.
SCRIPT: Final = """
exec 2>/dev/null
{ echo "= ${SLURMD_NODENAME:-$(hostname -s)} $(id -u)"
cat /proc/net/tcp /proc/net/tcp6
ls -l /proc/[0-9]*/fd
echo =ps
ps -ww -u "$(id -u)" -o pid=,args=; } | head -c 1000000
"""
LEAST_PORT: Final = 1024
MOST: Final = 200
# What listens, and is nothing that a browser could open: SLURM's own programs, and Jupyter's kernels.
NO_APPLICATIONS: Final = frozenset({"srun", "salloc", "ipykernel_launcher", "ipykernel"})
_NODE: Final = re.compile(r"= ([A-Za-z0-9][A-Za-z0-9._-]{0,252}) (\d+)")
_SOCKET: Final = re.compile(
    r"\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ 0A \S+ \S+ \S+\s+(\d+)\s+\d+ (\d+) .*"
)
_FOLDER: Final = re.compile(r"/proc/(\d+)/fd:")
_HELD: Final = re.compile(r".* -> '?socket:\[(\d+)\]'?")
_CALLED: Final = re.compile(r"\s*(\d+) (.*)")


def read_listeners(text: str) -> list[Listener]:
    """What `SCRIPT` printed on one node or several, one after the other; by node and port."""
    found: dict[tuple[str, int], str] = {}
    for node, uid, lines in _nodes(text):
        sockets: dict[str, int] = {}
        holders: dict[str, str] = {}
        calls: dict[str, str] = {}
        pid, is_list = "", False
        for line in lines:
            if line == "=ps":
                is_list = True
            elif is_list:
                if called := _CALLED.fullmatch(line):
                    calls[called[1]] = called[2]
            elif socket := _SOCKET.fullmatch(line):
                port = int(socket[2], 16)
                if socket[3] == uid and port >= LEAST_PORT and not _is_loopback(socket[1]):
                    sockets[socket[4]] = port
            elif folder := _FOLDER.fullmatch(line):
                pid = folder[1]
            elif (held := _HELD.fullmatch(line)) and held[1] in sockets:
                holders.setdefault(held[1], pid)
        for inode, port in sockets.items():
            found.setdefault((node, port), program_name(calls.get(holders.get(inode, ""), "").split()))
    listeners = [Listener(node=node, port=port, name=name) for (node, port), name in sorted(found.items())]
    return [one for one in listeners if one.name not in NO_APPLICATIONS][:MOST]


def program_name(words: list[str]) -> str:
    """How a program is called by people: itself, or the module or script that an interpreter runs."""
    # Some write a title over their words, as in "nginx: master process …".
    program = PurePosixPath(words[0].split(" ")[0].rstrip(":")).name if words else ""
    if program.startswith("python"):
        rest = [word for word in words[1:] if word and word != "-m" and not word.startswith("-")]
        return PurePosixPath(rest[0]).name if rest else program
    return program or "a program"


def _nodes(text: str) -> Iterator[tuple[str, str, list[str]]]:
    node, uid = "", ""
    lines: list[str] = []
    for line in text.splitlines():
        if heading := _NODE.fullmatch(line):
            if node:
                yield node, uid, lines
            node, uid, lines = heading[1], heading[2], []
        else:
            lines.append(line)
    if node:
        yield node, uid, lines


def _is_loopback(address: str) -> bool:
    """As /proc/net/tcp writes it, in the host's order: nothing there can be reached from elsewhere."""
    v4 = address.removeprefix("0000000000000000FFFF0000") if len(address) == 32 else address
    return (len(v4) == 8 and v4.endswith("7F")) or address == "00000000000000000000000001000000"
