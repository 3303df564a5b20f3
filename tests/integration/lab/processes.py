"""Processes that tests start, each ended by its id, and waiting for ports without sleeping blindly."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# One that every account can run; the tests' own may lie in somebody's home.
PYTHON = "/usr/bin/python3"
NODE_FOLDER = Path("/run/lab/uts")


def enter(node: str | None) -> list[str]:
    """What to put before a command so that it runs on ``node``; ``None`` is this host."""
    if node is None:
        return []
    return ["nsenter", f"--net=/run/netns/{node}", f"--uts={NODE_FOLDER / node}", "--"]


class Processes:
    """Starts processes and ends every one of them, with its children, at the end."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[Any]] = []

    def start(self, argv: list[str], **popen: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(argv, start_new_session=True, **popen)
        self._started.append(process)
        return process

    def stop(self) -> None:
        for process in self._started:
            _signal(process, signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self._started.clear()


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    if process.returncode is None:  # not waited for yet, so its id is still its own
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            process.send_signal(number)


class PublicCopies:
    """Copies of standalone scripts where every account can read them; the checkout may lie where it cannot.

    :ivar folder: theirs; everybody may enter it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="supercloud-scripts-", dir="/tmp"))
        self.folder.chmod(0o755)

    def of(self, script: Path) -> Path:
        copy = self.folder / script.name
        content = script.read_bytes()
        if not copy.exists() or copy.read_bytes() != content:
            copy.write_bytes(content)
            copy.chmod(0o755)
        return copy

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def free_port(address: str = "127.0.0.1", node: str | None = None) -> int:
    """A TCP port that nobody holds now; prefer port 0 and ask, where the program can."""
    if node is not None:
        family = f"socket.{_family(address).name}"
        script = f"import socket; print(socket.create_server(({address!r}, 0), family={family}).getsockname()[1])"
        return int(subprocess.check_output([*enter(node), PYTHON, "-c", script]))
    with socket.create_server((address, 0), family=_family(address)) as listener:
        return int(listener.getsockname()[1])


def wait_until_listening(
    address: str,
    port: int,
    *,
    node: str | None = None,
    process: subprocess.Popen[Any] | None = None,
    within: float = 10,
) -> None:
    """Come back once somebody listens at a numeric address; touches no listener, it reads the kernel's table.

    :param process: whose end is an early failure.
    :raises TimeoutError: when nobody does in time.
    """
    end = time.monotonic() + within
    while not _listens(address, port, node):
        if process is not None and process.poll() is not None:
            raise ChildProcessError(f"{process.args} ended with {process.returncode} and never listened on {port}")
        if time.monotonic() > end:
            raise TimeoutError(f"nobody listens on [{address}]:{port} of {node or 'this host'} after {within} s")
        time.sleep(0.01)


def _listens(address: str, port: int, node: str | None) -> bool:
    wanted = {ipaddress.ip_address(address), ipaddress.ip_address("::")}
    if ":" not in address:
        wanted.add(ipaddress.ip_address("0.0.0.0"))
    table = subprocess.check_output([*enter(node), "cat", "/proc/net/tcp", "/proc/net/tcp6"], text=True)
    for line in table.splitlines():
        words = line.split()
        if words[3] == _LISTEN:
            where, _, found = words[1].partition(":")
            if int(found, 16) == port and _address(where) in wanted:
                return True
    return False


_LISTEN = "0A"  # TCP_LISTEN of the kernel's net/tcp_states.h


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Words of 32 bits in the host's order, as /proc/net/tcp has them."""
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(words))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
