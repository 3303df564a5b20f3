"""Clients that are not the bottleneck: wrk for many small requests, a plain socket for large bodies."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.processes import cpu_seconds
from bench.proxies import Proxy
from bench.report import Skipped

_SCRIPT = Path(__file__).with_name("wrk.lua")
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw.

    :ivar median: microseconds.
    :ivar cpu: microseconds of the proxy's processor time for each request.
    """

    requests: int
    seconds: float
    median: float
    p99: float
    cpu: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


Take = Callable[[int], Load]


def load(url: str, *, connections: int, seconds: int, headers: dict[str, str], pid: int, most: int = 0) -> Load:
    """Send requests for a while.

    :param pid: whose processor time counts.
    :param most: never send more; 0 for no such bound.
    :raises RuntimeError: something was refused or broken.
    """
    program = shutil.which("wrk")
    if program is None:
        raise Skipped("wrk is not installed (as root: .ci/packages bench)")
    argv = [program, "-t1", f"-c{connections}", f"-d{seconds:d}s", "--latency", "--timeout", "10s"]
    argv += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    argv += ["-s", str(_SCRIPT), url, *(["--", str(most)] if most else [])]
    used = cpu_seconds(pid)
    said = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
    used = cpu_seconds(pid) - used
    lines = [line for line in said.stdout.splitlines() if line.startswith("JSON ")]
    if not lines:
        raise RuntimeError(f"wrk said {said.stdout} {said.stderr}")
    found = json.loads(lines[-1].removeprefix("JSON "))
    if found["broken"] or found["refused"] or not found["requests"]:
        raise RuntimeError(f"{url}: {found}")
    if most and found["requests"] >= most:
        raise RuntimeError(f"{url}: {most} requests were over before the time; its rate would be a rate of the bound")
    micro = used * 1e6 / found["requests"]
    return Load(found["requests"], found["microseconds"] / 1e6, found["median"], found["p99"], micro)


class Client:
    """One kept connection to a proxy, or without TLS to an application."""

    def __init__(self, port: int, context: ssl.SSLContext | None, headers: dict[str, str]) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if context is None else context.wrap_socket(plain, server_hostname="localhost")
        self._fields = "".join(
            f"{name}: {value}\r\n" for name, value in {"Host": f"localhost:{port}", **headers}.items()
        )
        self._buffer = memoryview(bytearray(BLOCK))

    @classmethod
    def of(cls, proxy: Proxy) -> Client:
        """One that is signed in."""
        return cls(proxy.port, proxy.context, proxy.headers)

    def head(self, method: str, path: str, *more: str) -> bytes:
        """A request's head."""
        return "".join(
            (f"{method} {path} HTTP/1.1\r\n", self._fields, *(f"{one}\r\n" for one in more), "\r\n")
        ).encode()

    def read_head(self) -> tuple[bytes, bytes]:
        """A response's head, and what came with it."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError(f"closed after {data[:200]!r}")
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    def _read_ok(self) -> tuple[bytes, bytes]:
        head, rest = self.read_head()
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head[:300]!r} {rest[:300]!r}")
        return head, rest

    def download(self, path: str, *, pause: float = 0) -> int:
        """Bytes of the body, which is thrown away.

        :param pause: seconds of not reading, in the middle.
        """
        self.socket.sendall(self.head("GET", path))
        head, rest = self._read_ok()
        size = _length(head)
        left = size - len(rest)
        while left:
            count = self.socket.recv_into(self._buffer[: min(left, BLOCK)])
            if not count:
                raise ConnectionError(f"closed {left} bytes before the end")
            if pause and left < size // 2:
                time.sleep(pause)
                pause = 0
            left -= count
        return size

    def upload(self, path: str, size: int, *, pause: float = 0) -> int:
        """Send a body; its size comes back."""
        self.socket.sendall(self.head("PUT", path, f"Content-Length: {size}"))
        left, block = size, self._buffer
        while left:
            self.socket.sendall(block[: min(left, BLOCK)])
            left -= min(left, BLOCK)
            if pause and left < size // 2:
                time.sleep(pause)
                pause = 0
        head, rest = self._read_ok()
        while len(rest) < _length(head):
            rest += self.socket.recv(65536)
        if int(rest) != size:
            raise RuntimeError(f"{rest!r} bytes arrived of {size}")
        return size

    def close(self) -> None:
        """Be done with it."""
        self.socket.close()


@dataclass(frozen=True, slots=True)
class Carried:
    """Bytes a second, and nanoseconds of the proxy's processor time for each 1,000 bytes."""

    rate: float
    cpu: float


def carry(proxy: Proxy, path: str, *, upload: int, seconds: float, connections: int) -> Carried:
    """Carry bodies on several connections for a while.

    :param upload: bytes to send with each request; 0 to download.
    """
    counts = [0] * connections
    clients = [Client.of(proxy) for _ in range(connections)]
    end = time.monotonic() + seconds

    def run(index: int) -> None:
        client = clients[index]
        while time.monotonic() < end:
            counts[index] += client.upload(path, upload) if upload else client.download(path)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(connections)]
    used, began = cpu_seconds(proxy.pid), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.monotonic() - began, cpu_seconds(proxy.pid) - used
    for client in clients:
        client.close()
    if not all(counts):
        raise RuntimeError(f"{proxy.name} carried {counts}")
    return Carried(sum(counts) / took, used * 1e12 / sum(counts))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"no length in {head!r}")
