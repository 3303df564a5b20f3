"""connects: new connections to a second node, each verified by that node's own responder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from statistics import median

from bench import traffic
from bench.proxies import ROOT, Place, Portal, start_nginx
from bench.report import Row, Skipped, interleave
from tests.integration.lab.processes import wait_until_listening

_NODE = "node3"
_PORT = 18080
_MOST = 20_000  # connects a run

_RESPONDER = """
state = "{state}"
[ident2]
socket = ""
udp = "0.0.0.0:99"
peers = ["10.77.0.0/24"]
"""


def connects(place: Place, rounds: int) -> list[Row]:
    """An application that closes after each response, so that each request is a connect and a question."""
    if os.geteuid() != 0:
        raise Skipped("needs root, for network name spaces of its own")
    # The cluster's modules know each other by this name.
    sys.path.insert(0, str(ROOT / "tests/integration"))
    from lab import cluster
    from lab.processes import enter
    from lab.sharing import shared

    with shared("cluster", lambda: cluster.make(3), cluster.remove):
        address = "10.77.0.13"
        page = place.folder / "page"
        page.mkdir()
        (page / "1k").write_bytes(b"x" * 1024)
        place.folder.chmod(0o755)
        server = f"server {{ listen {address}:{_PORT} backlog=4096; root {page}; }}"
        start_nginx(place, server, _PORT, keepalive=0, node=enter(_NODE))
        conf: Path = place.folder / "node.toml"
        conf.write_text(_RESPONDER.format(state=place.folder / "node"))
        argv = [str(ROOT / ".venv/bin/twistd"), "-n", "--pidfile=", "supercloud-portal", "--config", str(conf)]
        responder = place.start([*enter(_NODE), *argv], "responder", cwd=ROOT)
        portal = Portal(place, room={"nodes": [_NODE], "peers": ["10.77.0.0/24"]})
        wait_until_listening(address, _PORT, node=_NODE)
        try:
            return _measure(portal, rounds)
        finally:
            if responder.poll() is not None:
                raise RuntimeError((place.folder / "responder.log").read_text()[-500:])
            # Nothing of ours may be left in the name spaces before they go.
            place.processes.stop()


def _measure(portal: Portal, rounds: int) -> list[Row]:
    proxy = portal.proxy
    url = f"https://localhost:{proxy.port}{proxy.path(_PORT, '/1k', _NODE)}"

    def take(seconds: float, most: int) -> traffic.Load:
        return traffic.load(url, connections=16, seconds=seconds, headers=proxy.headers, pid=proxy.pid, most=most)

    each = _MOST // (rounds + 1)
    take(1, each)
    results = interleave(rounds, {"portal": lambda: take(3, each)})["portal"]
    rates, cpu = [one.rate for one in results], [one.cpu for one in results]
    note = f"{median(cpu):.0f} us of the portal's processor time each; {sum(one.requests for one in results)} connects"
    return [Row("verified connects, 2nd node", "1/s", median(rates), must=2000, aim=4000, samples={"portal": rates},
                note=note)]  # fmt: skip
