"""forwards: what a request to a named forward costs beside one by node and port, and what the first one takes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from bench import traffic
from bench.http import start_files
from bench.proxies import Place, Portal
from bench.report import Row, compare, interleave
from bench.traffic import Load

_NAME = "bench-forward"


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
        compare("1 KB by a forward, 1 conn.", "us", latencies, "by node", is_more_better=False),
        compare("1 KB by a forward, 16 conn.", "1/s", rates, "by node"),
        compare("1 KB by a forward, 16 conn.", "us CPU", cpu, "by node", is_more_better=False),
    ]
