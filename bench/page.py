"""page: JupyterLab's first page in Chromium: at its own origin, under a path prefix with links rewritten, directly."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from urllib.request import urlopen

from playwright.sync_api import Browser, Request, sync_playwright

from bench.proxies import Place, Portal
from bench.report import Row, Skipped, compare, interleave
from tests.integration.lab.processes import free_port

JUPYTER = Path("/var/tmp/supercloud-jupyter")
_PYTHON = "/usr/bin/python3"  # one that every account can run
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip
_KINDS = """['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind).map(one =>
  [one.contentType || (kind === 'navigation' ? 'text/html' : ''), one.responseEnd - one.requestStart]))"""
_QUIET = 0.5  # seconds without a request after which a page is complete


@dataclass
class _Loads:
    """Requests of a page that are under way, and when the last one ended."""

    count: int = 0
    last: float = 0
    open: set[Request] = field(default_factory=set)

    def begin(self, request: Request) -> None:
        self.count += 1
        self.open.add(request)

    def end(self, request: Request) -> None:
        self.open.discard(request)
        self.last = time.monotonic()


@dataclass(frozen=True, slots=True)
class Load:
    """Milliseconds until the launcher is seen and every request has ended, and until the load event.

    :ivar kinds: milliseconds of each request, by content type.
    """

    complete: float
    event: float
    requests: int
    kinds: dict[str, list[float]]


def _start_jupyter(place: Place) -> int:
    program = JUPYTER / "bin/jupyter-lab"
    if not program.exists():
        for argv in ([_PYTHON, "-m", "venv", str(JUPYTER)], [str(JUPYTER / "bin/pip"), "-q", "install", "jupyterlab"]):
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode:
                raise Skipped(f"{' '.join(argv)}: {done.stderr.strip()[-200:]}")
    home, port = place.folder / "home", free_port()
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "config"),
                   "JUPYTER_DATA_DIR": str(home / "data"), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}  # fmt: skip
    place.start(
        [str(program), "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
         "--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={home}", "--allow-root",
         "--ServerApp.allow_remote_access=True", "--ServerApp.allow_origin=*", "--LabApp.news_url=",
         "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
        "jupyter", env=environment, cwd=home,
    )  # fmt: skip
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urlopen(f"http://localhost:{port}/api", timeout=5) as answer:
                answer.read()
            return port
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("JupyterLab does not answer")


def _load(browser: Browser, url: str, *, sign_in: Callable[[], str] | None) -> Load:
    """One cold load, in a browser profile of its own."""
    context = browser.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        if sign_in is not None:
            # The portal's cookie, then the application's own origin's; people have both before they work.
            page.goto(sign_in())
            page.goto(url.rpartition("/")[0] + "/api")
        loads = _Loads()
        page.on("request", loads.begin)
        page.on("requestfinished", loads.end)
        page.on("requestfailed", loads.end)
        began = time.monotonic()
        page.goto(url, wait_until="load", timeout=60_000)
        page.wait_for_selector(".jp-Launcher-body", timeout=60_000)
        loads.last = max(loads.last, time.monotonic())
        while loads.open or time.monotonic() - loads.last < _QUIET:
            page.wait_for_timeout(50)
            if time.monotonic() - began > 60:
                raise TimeoutError(f"never ended: {[one.url for one in loads.open]}")
        timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        kinds: dict[str, list[float]] = {}
        for kind, took in page.evaluate(_KINDS):
            kinds.setdefault(kind.partition(";")[0] or "other", []).append(took)
        return Load((loads.last - began) * 1000, page.evaluate(timing), loads.count, kinds)
    finally:
        context.close()


def page(place: Place, rounds: int) -> list[Row]:
    """Interleaved cold loads, through and directly."""
    program = shutil.which("chromium")
    if program is None:
        raise Skipped("chromium is not installed (as root: .ci/packages bench)")
    upstream, portal = _start_jupyter(place), Portal(place)
    through = f"https://localhost-{upstream}-u{os.geteuid()}.fh.localhost:{portal.port}/lab"
    under = f"https://apps.localhost:{portal.port}/fw2/localhost:{upstream}/lab"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            measures = {
                "portal": lambda: _load(browser, through, sign_in=portal.link),
                "prefix": lambda: _load(browser, under, sign_in=portal.link),
                "direct": lambda: _load(browser, f"http://localhost:{upstream}/lab", sign_in=None),
            }
            interleave(1, measures)
            results = interleave(rounds, measures)
        finally:
            browser.close()
    complete = {name: [one.complete for one in found] for name, found in results.items()}
    events = {name: [one.event for one in found] for name, found in results.items()}
    spread = {name: quantiles(found, n=4) if len(found) > 1 else found * 3 for name, found in complete.items()}
    note = ", ".join(f"{name} quartiles {low:.0f} to {high:.0f} ms" for name, (low, _, high) in spread.items())
    counts = {name: median(one.requests for one in found) for name, found in results.items()}
    note += f"; requests {counts['portal']:g} through, {counts['direct']:g} direct"
    prefixed = {"portal": complete["prefix"], "direct": complete["direct"]}
    prefix_note = f"links rewritten; requests {counts['prefix']:g}"
    return [
        compare("JupyterLab, complete", "ms", complete, "direct", must=1.15, aim=1.05, is_more_better=False, note=note),
        compare("JupyterLab, load event", "ms", events, "direct", is_more_better=False),
        compare("JupyterLab under /fw2/", "ms", prefixed, "direct", must=1.15, is_more_better=False, note=prefix_note),
        *_by_kind(results),
    ]


def _by_kind(results: Mapping[str, list[Load]]) -> list[Row]:
    """The median request of each content type, under the prefix and directly (the paper's figure 3)."""
    kinds = {name: [took for one in found for took in one.kinds] for name, found in results.items()}
    rows = []
    for kind in sorted(set(kinds["prefix"]) & set(kinds["direct"])):
        times = {
            name: [median(one.kinds[kind]) for one in results[source] if kind in one.kinds]
            for name, source in (("portal", "prefix"), ("direct", "direct"))
        }
        number = median(len(one.kinds.get(kind, ())) for one in results["prefix"])
        rows.append(
            compare(f"each {kind}", "ms", times, "direct", is_more_better=False, note=f"{number:g} requests of a load")
        )
    return rows
