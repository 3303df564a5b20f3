"""requests, latency, bodies: plain HTTP through the portal and its peers."""

from __future__ import annotations

from collections.abc import Callable

from bench import traffic
from bench.accounts import ME, Account
from bench.proxies import Place, Portal, Proxy, apache, chp, nginx, start_nginx
from bench.report import Row, compare, interleave
from bench.traffic import Carried, Load
from tests.integration.lab.processes import free_port

_BODY = 10_000_000


def start_files(place: Place) -> int:
    """nginx as the application: /1k and /10m; says its port."""
    folder = place.folder / "files"
    folder.mkdir(exist_ok=True)
    (folder / "1k").write_bytes(b"x" * 1024)
    (folder / "10m").write_bytes(bytes(_BODY))
    folder.parent.chmod(0o755)
    port = free_port()
    start_nginx(place, f"server {{ listen 127.0.0.1:{port} backlog=1024; root {folder}; }}", port)
    return port


def start_application(place: Place, account: Account = ME) -> int:
    """bench.application; says its port."""
    return place.start_module("application", account)


def _load(proxy: Proxy, upstream: int, connections: int, seconds: int) -> Callable[[], Load]:
    url = f"https://localhost:{proxy.port}{proxy.path(upstream, '/1k')}"
    pid, headers = proxy.pid, proxy.headers
    return lambda: traffic.load(url, connections=connections, seconds=seconds, headers=headers, pid=pid)


def requests(place: Place, rounds: int) -> list[Row]:
    """1 KB responses, 16 connections."""
    upstream, portal = start_files(place), Portal(place)
    peers = [apache(place, portal, upstream), nginx(place, portal, upstream), chp(place, portal, upstream)]
    measures = {one.name: _load(one, upstream, 16, 3) for one in (portal.proxy, *peers)}
    interleave(
        1, {name: _load(one, upstream, 16, 1) for name, one in zip(measures, (portal.proxy, *peers), strict=True)}
    )
    results = interleave(rounds, measures)
    rates = {name: [one.rate for one in found] for name, found in results.items()}
    cpu = {name: [one.cpu for one in found] for name, found in results.items()}
    tails = {name: [one.p99 for one in found] for name, found in results.items()}
    said = "requests 1 KB, 16 conn."
    return [
        compare(said, "1/s", rates, "apache", must=0.8, aim=1.0),
        compare(said, "1/s", rates, "chp", must=2.5),
        compare(said, "1/s", rates, "nginx", aim=0.5),
        *(compare(said, "us CPU", cpu, name, is_more_better=False) for name in ("apache", "chp", "nginx")),
        compare(said, "us p99", tails, "apache", is_more_better=False),
    ]


def latency(place: Place, rounds: int) -> list[Row]:
    """What one request on one connection takes more than without a proxy."""
    upstream, portal = start_files(place), Portal(place)
    peers = [apache(place, portal, upstream), nginx(place, portal, upstream)]
    url = f"http://127.0.0.1:{upstream}/1k"
    direct = lambda: traffic.load(url, connections=1, seconds=2, headers={}, pid=portal.proxy.pid)  # noqa: E731
    measures = {"direct": direct, **{one.name: _load(one, upstream, 1, 2) for one in (portal.proxy, *peers)}}
    interleave(1, measures)
    results = interleave(rounds, measures)
    added = {
        name: [one.median - base.median for one, base in zip(found, results["direct"], strict=True)]
        for name, found in results.items()
        if name != "direct"
    }
    middle = sorted(one.median for one in results["direct"])[rounds // 2]
    note = f"direct, without TLS: {middle:.0f} us"
    return [
        compare("added latency, 1 conn.", "us", added, "apache", must=1.5, aim=1.0, is_more_better=False, note=note),
        compare("added latency, 1 conn.", "us", added, "nginx", is_more_better=False),
    ]


def bodies(place: Place, rounds: int) -> list[Row]:
    """10 MB each way, two connections."""
    files, sink, portal = start_files(place), start_application(place), Portal(place)
    peer = nginx(place, portal, files, uploads=sink)
    rows = []
    for what, upstream, path, upload in (("responses", files, "/10m", 0), ("uploads", sink, "/upload", _BODY)):

        def measure(proxy: Proxy, seconds: float, upstream: int = upstream, path: str = path, upload: int = upload
                    ) -> Callable[[], Carried]:  # fmt: skip
            place = proxy.path(upstream, path)
            return lambda: traffic.carry(proxy, place, upload=upload, seconds=seconds, connections=2)

        interleave(1, {one.name: measure(one, 0.7) for one in (portal.proxy, peer)})
        results = interleave(rounds, {one.name: measure(one, 2.5) for one in (portal.proxy, peer)})
        rates = {name: [one.rate / 1e6 for one in found] for name, found in results.items()}
        cpu = {name: [one.cpu for one in found] for name, found in results.items()}
        rows += [
            compare(f"10 MB {what}", "MB/s", rates, "nginx", must=0.7, aim=0.9),
            compare(f"10 MB {what}", "ns CPU/kB", cpu, "nginx", is_more_better=False),
        ]
    return rows
