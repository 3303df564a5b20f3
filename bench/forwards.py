"""forwards: a request to a named forward beside the same to its node and port."""

from __future__ import annotations

import time
from statistics import median

from bench import traffic
from bench.http import start_files
from bench.proxies import Place, Portal, Proxy
from bench.report import Row, interleave
from bench.traffic import Client

_NAME = "bench"
_ANEW = 20  # requests a round that come when what was found about the forward is not believed any more
_PAUSE = 1.1  # seconds; see routing.forwards.BELIEVED


def forwards(place: Place, rounds: int) -> list[Row]:
    """What the forward adds: to requests in a row, and to one for which its file is looked at anew."""
    upstream, folder = start_files(place), place.folder / "forwards"
    folder.mkdir()
    file = folder / _NAME
    file.write_text(f"http://localhost:{upstream}/\n")
    file.chmod(0o700)
    portal = Portal(place, room={"forwards": str(folder)})
    paths = {"forward": f"/fw/{_NAME}/1k", "node": portal.proxy.path(upstream, "/1k")}
    loads = {name: lambda path=path: _load(portal.proxy, path) for name, path in paths.items()}
    interleave(1, loads)
    warm = interleave(rounds, loads)
    clients = {name: Client.of(portal.proxy) for name in paths}
    anew = interleave(_ANEW, {name: lambda name=name: _once(clients[name], paths[name]) for name in paths})
    for client in clients.values():
        client.close()
    return [
        _added("a forward adds, in a row", warm, "medians of each round", must=300),
        _added("a forward adds, looked at anew", anew, "its file was asked about"),
    ]


def _added(measure: str, times: dict[str, list[float]], note: str, *, must: float | None = None) -> Row:
    ours, node = median(times["forward"]), median(times["node"])
    note = f"{note}; {ours:.0f} us by name, {node:.0f} by node and port, on kept connections"
    return Row(measure, "us", ours - node, must=must, is_more_better=False, samples=times, note=note)


def _load(proxy: Proxy, path: str) -> float:
    url = f"https://localhost:{proxy.port}{path}"
    return traffic.load(url, connections=1, seconds=2, headers=proxy.headers, pid=proxy.pid).median


def _once(client: Client, path: str) -> float:
    """Microseconds of one request, after a pause."""
    time.sleep(_PAUSE / 2)  # the other one's pause is the rest
    began = time.perf_counter()
    client.download(path)
    return (time.perf_counter() - began) * 1e6
