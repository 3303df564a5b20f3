"""websocket: messages a second and round trips, through the portal and configurable-http-proxy."""

from __future__ import annotations

import base64
import secrets
import selectors
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.accounts import ME, Account
from bench.frames import Counter, frame, pong
from bench.processes import cpu_seconds
from bench.proxies import Place, Portal, Proxy, chp
from bench.report import Row, compare, interleave
from bench.traffic import Client

_KEY = b"\x5a\xc3\x99\x17"
# Bytes of payload under way on one connection: more than all the buffers on the way, so that nobody waits for it.
_WINDOW = 4 << 20
_CHUNK = 256 << 10
_CONNECTIONS = 4


def start_echo(place: Place, account: Account = ME) -> int:
    """bench.echo; says its port."""
    return place.start_module("echo", account)


def opened(proxy: Proxy, path: str) -> Client:
    """A client whose connection is a WebSocket now."""
    client = Client.of(proxy)
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    client.socket.sendall(
        client.head("GET", path, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                    f"Sec-WebSocket-Key: {key}", f"Origin: https://localhost:{proxy.port}")
    )  # fmt: skip
    head, rest = client.read_head()
    if not head.startswith(b"HTTP/1.1 101") or rest:
        raise RuntimeError(f"{proxy.name}: {head[:300]!r} {rest[:300]!r}")
    return client


class _Pump:
    """Keeps one connection full of messages, and counts what comes back."""

    def __init__(self, client: Client, size: int) -> None:
        self._socket = client.socket
        self._socket.setblocking(False)
        one = frame(b"x" * size, key=_KEY)
        self._per_chunk = max(1, _CHUNK // size)
        self._chunk = memoryview(one * self._per_chunk)
        self._size = size
        self._at = 0
        self._sent = 0
        self._counter = Counter()
        self.received = 0

    def turn(self) -> bool:
        """Read and write what can be; says whether it wants to write more."""
        try:
            while True:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise ConnectionError("closed in the middle")
                self.received += self._counter.feed(data)
                if self._counter.pings and self._at == 0:
                    self._socket.send(b"".join(pong(one, _KEY) for one in self._counter.pings))
                    self._counter.pings.clear()
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        try:
            while self._sent - self.received < _WINDOW:
                self._at += self._socket.send(self._chunk[self._at : self._at + 65536])
                if self._at == len(self._chunk):
                    self._at = 0
                    self._sent += self._per_chunk * self._size
        except (ssl.SSLWantWriteError, BlockingIOError):
            return True
        return False


@dataclass(frozen=True, slots=True)
class Pumped:
    """Messages a second, there and back; microseconds of the proxy's processor time for each."""

    rate: float
    cpu: float


def _pump(proxy: Proxy, path: str, size: int, seconds: float) -> Pumped:
    clients = [opened(proxy, path) for _ in range(_CONNECTIONS)]
    pumps = {one.socket.fileno(): _Pump(one, size) for one in clients}
    selector = selectors.DefaultSelector()
    for fd in pumps:
        selector.register(fd, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def run(until: float) -> None:
        while time.monotonic() < until:
            for key, _ in selector.select(1):
                wants = selectors.EVENT_WRITE if pumps[key.fd].turn() else 0
                selector.modify(key.fd, selectors.EVENT_READ | wants)

    run(time.monotonic() + 0.4)
    before, used, began = sum(one.received for one in pumps.values()), cpu_seconds(proxy.pid), time.monotonic()
    run(began + seconds)
    took, used = time.monotonic() - began, cpu_seconds(proxy.pid) - used
    count = (sum(one.received for one in pumps.values()) - before) / size
    for client in clients:
        client.close()
    if count < 1:
        raise RuntimeError(f"{proxy.name} carried no message")
    return Pumped(count / took, used * 1e6 / count)


def _round_trip(proxy: Proxy, path: str, count: int) -> float:
    """Median of microseconds."""
    client, message, counter = opened(proxy, path), frame(b"x" * 32, key=_KEY), Counter()
    times = []
    for _ in range(count):
        began, came = time.perf_counter_ns(), 0
        client.socket.sendall(message)
        while came < 32:
            data = client.socket.recv(4096)
            if not data:
                raise ConnectionError("closed in the middle")
            came += counter.feed(data)
        times.append((time.perf_counter_ns() - began) / 1000)
    client.close()
    return median(times)


def websocket(place: Place, rounds: int) -> list[Row]:
    """1 KB and 64 KB messages on four connections; the round trip of 32 bytes on one."""
    upstream, portal = start_echo(place), Portal(place)
    both = (portal.proxy, chp(place, portal, upstream))
    rows = []
    for size, name in ((1024, "1 KB"), (65536, "64 KB")):

        def measure(proxy: Proxy, seconds: float, size: int = size) -> Callable[[], Pumped]:
            path = proxy.path(upstream, f"/echo/{size}")
            return lambda: _pump(proxy, path, size, seconds)

        interleave(1, {one.name: measure(one, 0.5) for one in both})
        results = interleave(rounds, {one.name: measure(one, 2) for one in both})
        rates = {who: [one.rate for one in found] for who, found in results.items()}
        cpu = {who: [one.cpu for one in found] for who, found in results.items()}
        rows += [
            compare(f"WebSocket {name}", "msg/s", rates, "chp", must=0.9, aim=1.0),
            compare(f"WebSocket {name}", "us CPU", cpu, "chp", is_more_better=False),
        ]
    paths = {one.name: one.path(upstream, "/echo/32") for one in both}
    trips = {one.name: (lambda one=one: _round_trip(one, paths[one.name], 3000)) for one in both}
    interleave(1, trips)
    times = interleave(rounds, trips)
    rows.append(compare("WebSocket round trip", "us", times, "chp", must=1.3, aim=1.0, is_more_better=False))
    return rows
