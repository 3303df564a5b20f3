"""forwards: what a request to a named forward costs beside one by node and port, in a row and looked up anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

from bench import traffic
from bench.http import start_files
from bench.proxies import Place, Portal, Proxy
from bench.report import Row, compare, interleave
from bench.traffic import Client, Load

_NAME = "bench-forward"
_TIMES = 20  # requests that come when what was found about the forward is not believed any more
_PAUSE = 1.1  # seconds between them; see routing.forwards.BELIEVED


def forwards(place: Place, rounds: int) -> list[Row]:
    """1 KB, by /fw/NAME/ and by /fw2/NODE:PORT/ of one portal."""
    folder = place.folder / "portal-url-fw"
    folder.mkdir()
    upstream = start_files(place)
    file = folder / _NAME
    file.write_text(f"http://localhost:{upstream}/\n")
    file.chmod(0o700)
    portal = Portal(place, room={"forwards": str(folder)}).proxy
    paths = {"portal": f"/fw/{_NAME}/1k", "by node": portal.path(upstream, "/1k")}

    def load(path: str, connections: int) -> Callable[[], Load]:
        url = f"https://localhost:{portal.port}{path}"
        return lambda: traffic.load(url, connections=connections, seconds=2, headers=portal.headers, pid=portal.pid)

    one = {name: load(path, 1) for name, path in paths.items()}
    many = {name: load(path, 16) for name, path in paths.items()}
    interleave(1, one)
    latencies = {name: [each.median for each in found] for name, found in interleave(rounds, one).items()}
    found = interleave(rounds, many)
    rates = {name: [each.rate for each in samples] for name, samples in found.items()}
    cpu = {name: [each.cpu for each in samples] for name, samples in found.items()}
    anew = _anew(portal, paths)
    added = [by - node for by, node in zip(latencies["portal"], latencies["by node"], strict=True)]
    return [
        Row(
            "resolving a forward, warm",
            "us",
            median(added),
            must=300.0,
            is_more_better=False,
            samples={"portal": added},
        ),
        compare("1 KB by a forward, looked up anew", "us", anew, "by node", is_more_better=False),
        compare("1 KB by a forward, 1 conn.", "us", latencies, "by node", is_more_better=False),
        compare("1 KB by a forward, 16 conn.", "1/s", rates, "by node"),
        compare("1 KB by a forward, 16 conn.", "us CPU", cpu, "by node", is_more_better=False),
    ]


def _anew(portal: Proxy, paths: Mapping[str, str]) -> dict[str, list[float]]:
    """Microseconds of single requests on a kept connection, each a while after the last one."""
    clients = {name: Client.of(portal) for name in paths}

    def once(name: str) -> Callable[[], float]:
        def measure() -> float:
            time.sleep(_PAUSE / len(paths))
            began = time.perf_counter()
            clients[name].download(paths[name])
            return (time.perf_counter() - began) * 1e6

        return measure

    found = interleave(_TIMES, {name: once(name) for name in paths})
    for client in clients.values():
        client.close()
    return found
