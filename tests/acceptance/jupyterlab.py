"""JupyterLab at its own origin and under /node/: a cell runs, a terminal echoes, a restart is survived."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from lab.processes import PYTHON, free_port, wait_until_listening
from playwright.sync_api import TimeoutError as NotInTime

from tests.acceptance.browsers import KINDS
from tests.acceptance.lab_of import Lab, NotHeld

BROWSERS = KINDS
# Not under a home: other accounts run it. Kept from run to run, since it takes half a minute to install.
VENV = Path("/var/tmp/supercloud-jupyter")
_TOKEN = "sesame"
# What the page's WebSockets receive once they have sent something, by address.
_LISTEN = """() => {
  self.heard = {};
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (!(this.url in self.heard)) {
      self.heard[this.url] = '';
      this.addEventListener('message', (event) => { self.heard[this.url] += event.data; });
    }
    return send.call(this, data);
  };
}"""


def prepare() -> None:
    """Install JupyterLab from PyPI, once."""
    if (VENV / "bin" / "jupyter-lab").exists():
        return
    subprocess.run([PYTHON, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "pip"), "--disable-pip-version-check", "--quiet", "install", "jupyterlab"]
    subprocess.run(pip, check=True)


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    portal = lab.embedded()
    with lab.browser(portal.ca) as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(portal.fresh_link())
        lab.saw(f"signed in by the printed link: {page.title()!r}")
        for way in ("own-origin", "node-path"):
            port = free_port()
            base = f"/node/localhost/{port}/" if way == "node-path" else "/"
            _start_jupyter(lab, port, base)
            address = (portal.url if way == "node-path" else portal.own(port)) + base
            _work(lab, context, f"{address}lab?token={_TOKEN}", way, portal)
        context.close()


def _start_jupyter(lab: Lab, port: int, base: str) -> None:
    start, home = lab.person()
    # A home of its own: JupyterLab keeps what was open there.
    argv = ["env", f"HOME={home}/jupyter-{port}", "sh", "-c", 'mkdir "$HOME"; cd; exec "$@"', "sh"]
    argv += [str(VENV / "bin" / "jupyter"), "lab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    argv += [f"--IdentityProvider.token={_TOKEN}", f"--ServerApp.base_url={base}"]
    argv += ["--allow-root", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    log = (lab.folder / f"jupyter-{port}.log").open("wb")
    process = start(argv, stdout=log, stderr=subprocess.STDOUT)
    log.close()
    wait_until_listening("127.0.0.1", port, process=process, within=60)


def _work(lab: Lab, context: Any, url: str, way: str, portal: Any) -> None:
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".jp-Launcher", timeout=60_000)
    lab.screenshot(page, f"{way}-launcher")
    lab.saw(f"{way}: the launcher is seen at {page.url.partition('?')[0]}")
    page.evaluate(_LISTEN)
    page.click('.jp-LauncherCard[data-category="Notebook"]')
    run_cell(page, "print('product', 123456 * 7)", "product 864192")
    kernels = [one for one in page.evaluate("self.heard") if "/channels" in one]
    is_secure = kernels and all(one.startswith("wss://") for one in kernels)
    lab.holds(is_secure, f"{way}: a cell ran over the kernel's WebSocket, its output is seen")
    lab.screenshot(page, f"{way}-cell")
    page.click('.jp-FileBrowser [data-command="launcher:create"]')
    page.click('.jp-LauncherCard[data-category="Other"]:has-text("Terminal"):visible')
    page.wait_for_selector(".jp-Terminal .xterm-screen", timeout=30_000)
    _until(page, lambda: _terminal(page) is not None, "the terminal's WebSocket")
    page.click(".jp-Terminal .xterm-screen")
    page.keyboard.type("echo $((111 * 1001))\n")
    _until(page, lambda: "111111" in _terminal(page), "the terminal's echo")
    lab.saw(f"{way}: a terminal echoed 111111")
    lab.screenshot(page, f"{way}-terminal")
    portal.restart()
    page.reload()
    page.wait_for_selector(".jp-Notebook", state="attached", timeout=60_000)
    lab.holds("/login" not in page.url, f"{way}: after the portal's restart the page opens without signing in again")
    page.click('.lm-TabBar-tab:has-text(".ipynb")')
    run_cell(page, "print('again', 1111 * 9)", "again 9999")
    lab.saw(f"{way}: a cell ran after the restart")
    lab.screenshot(page, f"{way}-restarted")
    page.close()


def run_cell(page: Any, code: str, output: str, within: float = 6) -> None:
    """Run code in the last cell of the notebook that is open, until its output is seen.

    :param within: seconds that it may take.
    """
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").last
    cell.wait_for(timeout=30_000)
    # The kernel must be there before a cell can run.
    page.wait_for_selector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=60_000)
    cell.click()
    page.keyboard.type(code)
    # On a busy machine JupyterLab says "idle" a little before it would send a cell, and drops it: press again.
    for _ in range(5):
        page.keyboard.press("Control+Enter")
        try:
            page.wait_for_selector(f'.jp-OutputArea-output:has-text("{output}")', timeout=within * 1000)
        except (NotInTime, TimeoutError):
            continue
        page.keyboard.press("Shift+Enter")
        return
    raise NotHeld(f"no output {output!r} is seen")


def _terminal(page: Any) -> Any:
    """What came from it; null until something was sent to it."""
    return page.evaluate("() => { for (const one in self.heard) if (/[/]terminals[/]/.test(one)) return heard[one]; }")


def _until(page: Any, find: Any, what: str) -> None:
    for _ in range(300):
        if find():
            return
        page.wait_for_timeout(100)
    raise NotHeld(f"{what}: not after 30 s")
