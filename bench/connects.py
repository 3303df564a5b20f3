"""connects: new connections to a second node, each verified by that node's own responder; and to this host."""

from __future__ import annotations

import json
import os
import time
from http.client import HTTPSConnection
from statistics import median

from bench import traffic
from bench.accounts import Account, ordinary
from bench.processes import cpu_seconds
from bench.proxies import ROOT, Place, Portal, start_nginx
from bench.report import Row, Skipped, interleave
from tests.integration.lab.processes import wait_until_listening

_NODE, _ADDRESS, _PORT = "node3", "10.77.0.13", 18080
_MOST = 20_000  # connects a run
_ROUNDS = 3  # at most, so that the bound is not what a fast machine's rate is cut by

_RESPONDER = """
state = {state}
[ident2]
socket = ""
udp = "0.0.0.0:99"
peers = ["10.77.0.0/24"]
"""


def connects(place: Place, rounds: int) -> list[Row]:
    """An application that closes after each response, so that each request is a connect and a question."""
    if os.geteuid() != 0:
        raise Skipped("needs root, for network name spaces and accounts of its own")
    from lab import cluster
    from lab.sharing import shared

    with ordinary() as account, shared("cluster", lambda: cluster.make(3), cluster.remove):
        try:
            return _measure(place, account, rounds)
        finally:
            # Nothing of ours may be left in the name spaces before they go.
            place.processes.stop()


def _measure(place: Place, account: Account, rounds: int) -> list[Row]:
    from lab.processes import enter

    page = place.folder / "page"
    page.mkdir()
    (page / "1k").write_bytes(b"x" * 1024)
    place.folder.chmod(0o755)
    for address, node in ((_ADDRESS, _NODE), ("127.0.0.1", None)):
        server = f"server {{ listen {address}:{_PORT} backlog=4096; root {page}; }}"
        start_nginx(place, server, _PORT, keepalive=0, within=(*enter(node), *account.prefix), name=node or "here")
        wait_until_listening(address, _PORT, node=node)
    conf = place.folder / "node.toml"
    conf.write_text(_RESPONDER.format(state=json.dumps(str(place.folder / "node"))))
    twistd = [str(ROOT / ".venv/bin/twistd"), "-n", "--pidfile=", "supercloud-portal", "--config", str(conf)]
    responder = place.start([*enter(_NODE), *twistd], "responder", cwd=ROOT)
    portal = Portal(
        place, room={"uid": account.uid, "nodes": [_NODE], "udp": ["10.77.0.1:99"], "peers": ["10.77.0.0/24"]}
    )
    _wait_for_answers(portal)
    rounds = min(rounds, _ROUNDS)
    each = _MOST // (rounds + 1)
    there, here = _take(portal, _NODE, each), _take(portal, "localhost", each)
    interleave(1, {"there": lambda: there(1), "here": lambda: here(1)})
    used = cpu_seconds(responder.pid)
    results = interleave(rounds, {"there": lambda: there(1), "here": lambda: here(1)})
    asked = sum(one.requests for one in results["there"])
    used = (cpu_seconds(responder.pid) - used) * 1e6 / asked
    rows = []
    for name, measure, must, aim in (("there", "verified connects, 2nd node", 2000, 4000),
                                     ("here", "verified connects, this host", None, None)):  # fmt: skip
        rates = [one.rate for one in results[name]]
        note = f"{median(one.cpu for one in results[name]):.0f} us of the portal's processor time each"
        note += f", {used:.0f} us of the responder's; {asked:,} connects" if name == "there" else ""
        rows.append(Row(measure, "1/s", median(rates), must=must, aim=aim, samples={"portal": rates}, note=note))
    return rows


def _take(portal: Portal, node: str, most: int) -> traffic.Take:
    proxy = portal.proxy
    url = f"https://localhost:{proxy.port}{proxy.path(_PORT, '/1k', node)}"
    return lambda seconds: traffic.load(
        url, connections=16, seconds=seconds, headers=proxy.headers, pid=proxy.pid, most=most
    )


def _wait_for_answers(portal: Portal) -> None:
    """Until the responder on the node answers."""
    proxy, end = portal.proxy, time.monotonic() + 20
    while True:
        connection = HTTPSConnection("localhost", proxy.port, context=proxy.context, timeout=10)
        connection.request("GET", proxy.path(_PORT, "/1k", _NODE), headers=proxy.headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status == 200:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"{answer.status}: {said[:300]!r}")
        time.sleep(0.1)
