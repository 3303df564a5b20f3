"""memory and leaks: what the portal holds while much passes, while many wait, and after many broke."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

from bench.accounts import Account, ordinary
from bench.http import start_application
from bench.processes import MB, Watch, descriptors, rss, settle
from bench.proxies import Place, Portal, Proxy, chp
from bench.report import Row, Skipped
from bench.traffic import Client
from bench.websocket import opened, start_echo

_STREAMED = 2_000_000_000
_SOCKETS = 3000
_DEATHS = 20_000
_WARM_DEATHS = 4_000


def memory(place: Place, rounds: int) -> list[Row]:
    """2 GB each way, and 3,000 idle WebSockets."""
    with ordinary() as account:
        try:
            return [*_streams(place), *_idle(place, account)]
        finally:
            place.processes.stop()


def _streams(place: Place) -> list[Row]:
    upstream, portal = start_application(place), Portal(place)
    proxy = portal.proxy
    stream, sink = proxy.path(upstream, "/stream/"), proxy.path(upstream, "/sink")
    client = Client.of(proxy)
    for _ in range(3):
        client.download(f"{stream}100000000")
        client.upload(sink, 100_000_000)

    def growth(what: str, carry: Callable[[], object]) -> Row:
        with Watch(proxy.pid) as watch:
            carry()
        grown = (watch.most - watch.before) / MB
        note = f"from {watch.before / MB:.0f} MB; the reader sleeps for 2 s in the middle"
        return Row(f"growth, 2 GB {what}", "MB", grown, must=32, is_more_better=False, note=note)

    rows = [
        growth("down", lambda: client.download(f"{stream}{_STREAMED}", pause=2)),
        growth("up", lambda: client.upload(sink, _STREAMED)),
    ]
    client.close()
    return rows


def _idle(place: Place, account: Account) -> list[Row]:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * _SOCKETS + 500:
        raise Skipped(f"only {most} descriptors are allowed; {2 * _SOCKETS + 500} are needed")
    upstream = start_echo(place, account)
    room = {"uid": account.uid, "connections": _SOCKETS + 1000, "streams": _SOCKETS + 1000}
    portal = Portal(place, room=room)
    found = {
        one.name: _each(one, one.path(upstream, "/echo/32")) for one in (portal.proxy, chp(place, portal, upstream))
    }
    ours, peer = found["portal"], found["chp"]
    note = f"configurable-http-proxy takes {peer:.0f} KB each"
    return [Row("idle WebSocket", "KB each", ours, must=150, aim=90, is_more_better=False, note=note)]


def _each(proxy: Proxy, path: str) -> float:
    clients = [opened(proxy, path) for _ in range(100)]
    time.sleep(1)
    before = rss(proxy.pid)
    clients += [opened(proxy, path) for _ in range(_SOCKETS)]
    time.sleep(3)
    used = rss(proxy.pid) - before
    for client in clients:
        client.close()
    return used / _SOCKETS / 1000


def leaks(place: Place, rounds: int) -> list[Row]:
    """20,000 applications that die in the middle of a response, after a warm-up of 4,000."""
    with ordinary() as account:
        try:
            return _leaks(place, account)
        finally:
            place.processes.stop()


def _leaks(place: Place, account: Account) -> list[Row]:
    upstream, portal = start_application(place, account), Portal(place, room={"uid": account.uid})
    proxy = portal.proxy
    fds: list[int] = []
    size: list[float] = []
    for count in (_WARM_DEATHS, _WARM_DEATHS + _DEATHS):
        _deaths(proxy, upstream, count)
        settle(proxy.pid, descriptors_at_most=min(fds, default=0), within=5)
        _collect(proxy, upstream)
        fds.append(descriptors(proxy.pid))
        size.append(rss(proxy.pid) / MB)
    note = (
        f"{fds[0]} descriptors and {size[0]:.1f} MB after {_WARM_DEATHS:,} deaths, {fds[1]} and {size[1]:.1f} MB after"
    )
    return [
        Row("descriptors after 20,000 deaths", "more", fds[1] - fds[0], must=0, is_more_better=False, note=note),
        Row("memory after 20,000 deaths", "MB more", size[1] - size[0], must=5, is_more_better=False),
    ]


def _deaths(proxy: Proxy, upstream: int, until: int) -> None:
    program = shutil.which("wrk")
    if program is None:
        raise Skipped("wrk is not installed (as root: .ci/packages bench)")
    url = f"https://localhost:{proxy.port}{proxy.path(upstream, '/die')}"
    argv = [
        program,
        "-t1",
        "-c8",
        "-d180s",
        *(word for name, value in proxy.headers.items() for word in ("-H", f"{name}: {value}")),
        url,
    ]
    wrk = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    counter = Client(upstream, None, {})
    try:
        while (seen := _seen(counter)) < until and wrk.poll() is None:
            time.sleep(0.05)
    finally:
        if wrk.poll() is None:
            os.kill(wrk.pid, signal.SIGINT)
        wrk.wait(10)
        counter.close()
    if seen < until:
        raise RuntimeError(f"only {seen} died in time")


def _seen(counter: Client) -> int:
    counter.socket.sendall(counter.head("GET", "/deaths"))
    _, rest = counter.read_head()
    return int(rest)


def _collect(proxy: Proxy, upstream: int) -> None:
    """Make Python's collector run as it would by itself: by ordinary work."""
    client = Client.of(proxy)
    for _ in range(2000):
        client.download(proxy.path(upstream, "/stream/100"))
    client.close()
