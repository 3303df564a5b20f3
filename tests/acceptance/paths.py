"""Applications without a base URL of their own, under path prefixes in Chromium; untouched at their own origins."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.processes import PYTHON, free_port, wait_until_listening

from tests.acceptance import jupyterlab
from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

_HERE = Path(__file__).parent
# Not under a home: other accounts run it. Kept from run to run.
VENV = Path("/var/tmp/supercloud-paths")
_SCALARS = """
import sys, time
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer = EventFileWriter(sys.argv[1])
for step in range(20):
    value = Summary.Value(tag="loss", simple_value=1 / (step + 1))
    writer.add_event(Event(step=step, wall_time=time.time(), summary=Summary(value=[value])))
writer.close()
"""


@dataclass
class Seen:
    """What a page asked for.

    :ivar away: addresses that were led back under the prefix, by what asked for them beside it.
    """

    root: str
    inside: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url.replace("wss:", "https:")))
        page.on("response", lambda answer: answer.status == 307 and self.away.append(answer.url))

    def _asked(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")):
            (self.inside if url.startswith(self.root) else self.beside).append(url)

    @property
    def escaped(self) -> list[str]:
        return sorted(set(self.beside) - set(self.away))


def prepare() -> None:
    """Install what is shown, once."""
    jupyterlab.prepare()
    if not (VENV / "bin" / "tensorboard").exists():
        subprocess.run([PYTHON, "-m", "venv", str(VENV)], check=True)
        wanted = ["tensorboard", "flask", "setuptools<81"]
        subprocess.run([str(VENV / "bin" / "pip"), "--quiet", "install", *wanted], check=True)


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    folder = lab.folder / "forwards"
    folder.mkdir()
    folder.chmod(0o1777)
    site = LocalSite(lab, "portal.test", more=f'[forwards]\ndirectory = "{folder}"\n')
    with lab.browser(site.ca, *site.rules) as browser:
        for name, (start, use, paths) in _APPLICATIONS.items():
            port = free_port()
            start(lab, name, port)
            _forward(lab, folder / f"alice-{name}", port)
            own = site.own(f"localhost-{port}-u{lab.accounts['alice'].uid}")
            for root in (f"{site.together}/fw2/localhost:{port}/", f"{site.together}/fw/alice-{name}/", f"{own}/"):
                _use(lab, site, browser, root, lambda page, root, use=use: use(lab, page, root))
            _same(lab, site, port, paths)


def _use(lab: Lab, site: LocalSite, browser: Any, root: str, use: Callable[[Any, str], None]) -> None:
    context = site.context(browser, "alice")
    page = context.new_page()
    page.goto(root)  # a session of the origin's own
    page.wait_for_url(f"{root}**")  # past the page that clears what others left
    seen = Seen(root)
    seen.watch(page)
    use(page, root)
    page.wait_for_timeout(300)
    lab.holds(
        not seen.escaped, f"{root}: {len(seen.inside)} requests under it, none ended beside it {seen.escaped or ''}"
    )
    if seen.away:
        lab.saw(
            f"{root}: brought home by their Referer: {sorted({url.removeprefix(site.together) for url in seen.away})}"
        )
    context.close()


def _same(lab: Lab, site: LocalSite, port: int, paths: tuple[str, ...]) -> None:
    for path in paths:
        direct = subprocess.run(
            ["curl", "-sS", f"http://localhost:{port}{path}"], capture_output=True, check=True
        ).stdout
        through = site.of("alice")(f"{site.own(f'localhost-{port}')}{path}")
        lab.holds(direct and direct == through.body, f"at its own origin {path} has the very same {len(direct)} bytes")


def _forward(lab: Lab, file: Path, port: int) -> None:
    script = f'echo "http://localhost:{port}/" > {file}; chmod u+x,go-rwx {file}'
    lab.accounts.run_as("alice", ["sh", "-c", script]).wait()


def _start(lab: Lab, argv: list[str], port: int) -> None:
    log = (lab.folder / f"application-{port}.log").open("wb")
    process = lab.accounts.run_as("alice", argv, stdout=log, stderr=subprocess.STDOUT)
    log.close()
    wait_until_listening("127.0.0.1", port, process=process, within=60)


def _start_flask(lab: Lab, kind: str, port: int) -> None:
    program = lab.copies.of(_HERE / "paths_application.py")
    _start(lab, [str(VENV / "bin/python"), str(program), kind, str(port)], port)


def _start_tensorboard(lab: Lab, name: str, port: int) -> None:
    logs = lab.accounts["alice"].home / "scalars"
    argv = [str(VENV / "bin/python"), "-c", _SCALARS, str(logs)]
    lab.holds(lab.accounts.run_as("alice", argv).wait() == 0, "scalars were written")
    argv = [str(VENV / "bin/tensorboard"), "--logdir", str(logs), "--host", "127.0.0.1", "--port", str(port)]
    _start(lab, argv, port)


def _start_jupyter(lab: Lab, name: str, port: int) -> None:
    argv = ["sh", "-c", 'cd "$HOME" && exec "$@"', "sh", str(jupyterlab.VENV / "bin/jupyter"), "lab", "--no-browser"]
    argv += [f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=sesame"]
    argv += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url="]
    _start(lab, argv, port)


def _use_flask(lab: Lab, page: Any, root: str) -> None:
    page.goto(root)
    page.wait_for_function("document.getElementById('said').textContent.startsWith('data for')")
    is_loaded = page.evaluate("document.getElementById('dot').naturalWidth === 1")
    lab.holds(is_loaded and _color(page) == "rgb(1, 2, 3)", f"{root}: picture, style sheet and script are there")
    page.click("#items")
    lab.holds("page 1 by name" in page.inner_text("body"), f"{root}: a link with a query leads to {page.url}")
    page.click("#go")
    lab.holds("page 9" in page.inner_text("body") and page.url.startswith(root), f"{root}: a redirect, to {page.url}")
    if "/fw" in root:
        page.click("#absolute")
    else:
        page.goto(f"{root}items")  # nothing is rewritten at an own origin, this neither
    lab.holds(page.url == f"{root}items", f"{root}: a link with the application's own host, to {page.url}")
    page.fill("[name=word]", "sesame")
    page.click("#save")
    page.wait_for_function("document.getElementById('said').textContent === 'data for sesame'")
    lab.holds("the word is sesame" in page.inner_text("body"), f"{root}: a form was sent, its cookie came back")
    page.click("#home")
    lab.holds(page.url == root, f"{root}: and home again")


def _color(page: Any) -> str:
    return str(page.evaluate("getComputedStyle(document.querySelector('h1')).color"))


def _use_spa(lab: Lab, page: Any, root: str) -> None:
    def shows(text: str) -> None:
        page.wait_for_function("text => document.querySelector('main').textContent.startsWith(text)", arg=text)

    page.goto(root)
    shows("route start")
    page.click("#one")
    shows("route one")
    page.click("#two")
    shows("route two/three")
    page.reload()
    shows("route two/three")
    page.go_back()
    shows("route one")
    lab.holds(page.url == f"{root}one", f"{root}: routes, a reload of a route, and back to {page.url}")


def _use_listing(lab: Lab, page: Any, root: str) -> None:
    page.goto(root)
    page.click("text=below/")
    page.click("text=file.txt")
    is_there = page.inner_text("body") == "content of below/file.txt"
    lab.holds(is_there and page.url == f"{root}below/file.txt", f"{root}: down to {page.url}")
    page.go_back()
    page.click("text=Parent Directory")
    lab.holds(page.url == root, f"{root}: and up again")


def _use_tensorboard(lab: Lab, page: Any, root: str) -> None:
    page.goto(root)
    page.wait_for_selector("text=loss", timeout=60_000)
    page.wait_for_selector("scalar-card, tf-scalar-card, line-chart", timeout=60_000)
    lab.holds(True, f"{root}: TensorBoard shows the chart of loss")
    lab.screenshot(page, f"tensorboard-{'own' if 'fh.' in root else root.split('/')[3]}")


def _use_jupyter(lab: Lab, page: Any, root: str) -> None:
    page.goto(f"{root}lab?reset&token=sesame")
    page.wait_for_selector(".jp-Launcher", timeout=60_000)
    page.click('.jp-LauncherCard[data-category="Notebook"]')
    jupyterlab.run_cell(page, "print('product', 123456 * 7)", "product 864192")
    lab.holds(page.url.startswith(root), f"{root}: a notebook's cell ran, at {page.url.partition('?')[0]}")


_PATHS = ("/", "/items?page=1", "/static/site.css", "/site.webmanifest", "/api/data")
_APPLICATIONS: dict[str, tuple[Callable[..., None], Callable[..., None], tuple[str, ...]]] = {
    "flask": (_start_flask, _use_flask, _PATHS),
    "gzip": (_start_flask, _use_flask, _PATHS),
    "spa": (_start_flask, _use_spa, ("/", "/two/three", "/static/spa.js")),
    "listing": (_start_flask, _use_listing, ("/", "/below/", "/below/file.txt")),
    "tensorboard": (_start_tensorboard, _use_tensorboard, ("/", "/index.js")),
    "jupyterlab": (_start_jupyter, _use_jupyter, ("/static/favicons/favicon.ico",)),
}
