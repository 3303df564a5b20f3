"""fairness: how long others wait for /healthz while one account's application and browsers are hostile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from bench.accounts import ME
from bench.attack import ATTACKS
from bench.proxies import ROOT, Place, Portal
from bench.report import Row
from bench.traffic import Client

_SAMPLES = 200
_PAUSE = 0.005  # seconds between two
_SETTLE = 2.0  # seconds until an attack is under way, and until what it left is gone
_MOST = 50.0  # milliseconds
_MOST_WORK = 10.0


@dataclass
class _Waits:
    """What others waited.

    :ivar times: milliseconds until each answer.
    :ivar works: milliseconds of the front's processor time meanwhile: what it did first, whatever else this machine
        does.
    """

    times: list[float] = field(default_factory=list)
    works: list[float] = field(default_factory=list)

    def sample(self, portal: Portal) -> None:
        """Ask as somebody who is not signed in, on a connection that is kept."""
        client = Client(portal.port, portal.proxy.context, {})
        asked = client.head("GET", "/healthz")
        try:
            for _ in range(_SAMPLES):
                used, began = _worked(portal), time.perf_counter()
                client.socket.sendall(asked)
                head, _ = client.read_head()
                self.times.append((time.perf_counter() - began) * 1000)
                self.works.append((_worked(portal) - used) / 1e6)
                if not head.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"{head[:200]!r}")
                time.sleep(_PAUSE)
        finally:
            client.close()


def _worked(portal: Portal) -> int:
    """Nanoseconds of processor time that the front's first thread, which is the reactor's, has had."""
    pid = portal.proxy.pid
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


def _tail(values: list[float]) -> float:
    return quantiles(values, n=100)[-1]


def _attack(portal: Portal, upstream: int, name: str, place: Place, waits: _Waits) -> None:
    """Take samples during an attack."""
    ca = str(portal.state / "tls/ca.pem")
    signed_in = portal.proxy.headers
    argv = ["nice", sys.executable, "-m", "bench.attack", str(portal.port), ca, signed_in["Host"], signed_in["Cookie"],
            str(upstream), name]  # fmt: skip
    attackers = place.start(argv, f"attack-{name}", cwd=ROOT)
    try:
        time.sleep(_SETTLE)
        waits.sample(portal)
    finally:
        attackers.terminate()
        attackers.wait()


def _start_hostile(place: Place) -> int:
    port = place.start_module("hostile", ME)
    for pid in subprocess.run(["pgrep", "-f", f"bench.hostile {port}"], capture_output=True, text=True).stdout.split():
        os.setpriority(os.PRIO_PROCESS, int(pid), 10)  # it must not take the measuring client's processor
    return port


def fairness(place: Place, rounds: int) -> list[Row]:
    """Each attack beside quiet moments before it."""
    portal, rows = Portal(place), []
    upstream = _start_hostile(place)
    worst, work = 0.0, 0.0
    for name, connections in ATTACKS.items():
        quiet, under = _Waits(), _Waits()
        for _ in range(rounds):
            quiet.sample(portal)
            _attack(portal, upstream, name, place, under)
            time.sleep(_SETTLE)
        worst, work = max(worst, _tail(under.times)), max(work, _tail(under.works))
        note = (
            f"{connections} connections; medians {median(under.times):.2f} and {median(quiet.times):.2f} ms; the front "
            f"worked for {_tail(under.works):.2f} and {_tail(quiet.works):.2f} ms before an answer, 99th percentile"
        )
        rows.append(
            Row(f"others under {name}", "ms p99", _tail(under.times), "quiet", _tail(quiet.times), 5, None, False,
                {"portal": under.times, "quiet": quiet.times}, note)
        )  # fmt: skip
    rows.append(Row("others under any of these", "ms p99", worst, must=_MOST, is_more_better=False))
    rows.append(Row("the front's work before an answer", "ms p99", work, must=_MOST_WORK, is_more_better=False))
    return rows
