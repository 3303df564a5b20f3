"""make bench: every measure, side by side with its peers; a table, and one last line of JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import connects, crowd, dav, fairness, forwards, http, memory, page, rewrite, websocket, workspace
from bench.processes import raise_descriptors
from bench.proxies import Place
from bench.report import Row, Skipped, surroundings, table
from tests.integration.lab.processes import Processes

Measure = Callable[[Place, int], list[Row]]

# Each with its number of rounds; the whole takes about ten minutes.
MEASURES: dict[str, tuple[Measure, int]] = {
    "requests": (http.requests, 5),
    "latency": (http.latency, 7),
    "bodies": (http.bodies, 5),
    "page": (page.page, 7),
    "rewrite": (rewrite.rewrite, 5),
    "websocket": (websocket.websocket, 5),
    "connects": (connects.connects, 5),
    "forwards": (forwards.forwards, 5),
    "dav": (dav.dav, 5),
    "crowd": (crowd.crowd, 1),
    "workspace": (workspace.workspace, 1),
    "fairness": (fairness.fairness, 2),
    "memory": (memory.memory, 1),
    "leaks": (memory.leaks, 1),
}


def take(name: str, rounds: int | None) -> list[Row]:
    """Take one measure, with processes of its own, which end with it.

    :raises Skipped: it cannot be taken here.
    """
    measure, usual = MEASURES[name]
    folder = Path(tempfile.mkdtemp(prefix="supercloud-bench-"))
    processes = Processes()
    try:
        return measure(Place(processes, folder), rounds or usual)
    finally:
        processes.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Exit status 1 when a measure fell below what it must reach, or failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=MEASURES, help="may be repeated")
    parser.add_argument("--rounds", type=int, help="instead of each measure's own number")
    chosen = parser.parse_args()
    report = {"before": surroundings(), "descriptors": raise_descriptors()}
    rows: list[Row] = []
    missing: dict[str, str] = {}
    for name in chosen.only or MEASURES:
        began = time.monotonic()
        try:
            found = take(name, chosen.rounds)
        except Skipped as error:
            missing[name] = f"skipped: {error}"
        except Exception as error:  # the other measures are worth having
            missing[name] = f"FAILED: {type(error).__name__}: {error}"
        else:
            rows += found
        print(f"{name}: {missing.get(name, 'done')} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    print(table(rows))
    for name, why in missing.items():
        print(f"{name}: {why}")
    report |= {"after": surroundings(), "rows": [row.as_json() for row in rows], "missing": missing}
    print(json.dumps(report))
    is_short = any(row.verdict == "NO" for row in rows) or any(why.startswith("FAILED") for why in missing.values())
    return 1 if is_short else 0


if __name__ == "__main__":
    sys.exit(main())
