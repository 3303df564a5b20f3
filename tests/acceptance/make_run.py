"""``make run`` on a fresh clone, no root: JupyterLab from the page, a portal restart, the job found and stopped.

The clone is installed by an account that is no one's, since only that can reach the package index.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.portal import ROOT, Twistd, until
from lab.processes import free_port
from playwright.sync_api import Error

from tests.acceptance import jupyterlab
from tests.acceptance.lab_of import Lab, NotHeld

_CLONE = Path("/var/tmp/supercloud-make-run")
_NOBODY = 65534
_STARTS = 60_000  # milliseconds


def prepare() -> None:
    """Clone what is committed, and install it as `make run` does at first."""
    jupyterlab.prepare()
    shutil.rmtree(_CLONE, ignore_errors=True)
    _CLONE.mkdir(mode=0o755)
    os.chown(_CLONE, _NOBODY, _NOBODY)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(_CLONE / "portal")], check=True)
    subprocess.run(["chown", "-R", f"{_NOBODY}:{_NOBODY}", str(_CLONE / "portal")], check=True)
    _as_nobody(["make", "-C", str(_CLONE / "portal"), ".venv/.run"])


def run(lab: Lab) -> None:
    """See the module's first line."""
    begin = time.monotonic()
    account = lab.accounts["alice"]
    port = free_port()
    portal = _start(lab, port)
    link = portal.link()
    lab.saw(
        f"make run as {account.login} prints Open {link.partition('=')[0]}=… after {time.monotonic() - begin:.1f} s"
    )
    state = account.home / ".local/state/supercloud"
    ca = lab.folder / "make-run-ca.pem"
    ca.write_bytes((state / "tls" / "ca.pem").read_bytes())
    with lab.browser(ca) as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(link)
        url = f"https://localhost:{port}"
        job = _launch(page, url)
        page.get_by_role("link", name=re.compile("^Open")).wait_for(timeout=_STARTS)
        lab.saw(f"JupyterLab is ready: job {job}")
        page.get_by_role("link", name=re.compile("^Open")).click()
        page.wait_for_selector(".jp-Launcher", timeout=_STARTS)
        page.click(".jp-LauncherCard[data-category=Notebook] >> nth=0")
        jupyterlab.run_cell(page, "import os; x = 6 * 7; print('uid', os.getuid())", f"uid {account.uid}")
        lab.saw(f"a cell runs as {account.login}, opened without a token: {page.url.partition('?')[0]}")
        # What JupyterLab says when one of its questions finds the portal away.
        lost = page.locator("dialog.jp-Dialog", has_text="Server Connection Error")
        page.add_locator_handler(lost, _dismiss, no_wait_after=True)
        _stop(portal)
        lab.saw("the portal is stopped")
        portal = _start(lab, port)
        portal.link()
        _run_again(page, "print('still', x)", "still 42")
        lab.saw("started again: the same page goes on, its kernel was never gone")
        page.goto(f"{url}/jobs/{job}")
        lab.holds("/login" not in page.url, "nobody has to sign in again, and the job is found")
        page.get_by_role("link", name=re.compile("^Open")).wait_for(timeout=_STARTS)
        page.get_by_role("button", name=re.compile("^Stop")).click()
        page.get_by_text("It was stopped").wait_for(timeout=_STARTS)
        until(lambda: not _jupyters(account.uid), "the end of all of its processes")
        lab.saw("stopped from the page; none of its processes is left")
        lab.screenshot(page, "stopped")
    _stop(portal)


def _start(lab: Lab, port: int) -> Twistd:
    argv = ["make", "--silent", "-C", str(_CLONE / "portal"), "run", f"PORT={port}"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return Twistd(lab.accounts.run_as("alice", argv, **pipes))


def _stop(portal: Twistd) -> None:
    """As Ctrl-C in its terminal does: make hands it on."""
    group = os.getpgid(portal.process.pid)
    if group == os.getpgrp():
        raise NotHeld("it runs in a process group of this test's")
    os.killpg(group, 2)
    with suppress(subprocess.TimeoutExpired):
        portal.process.wait(20)
    if not any("Server Shut Down" in line for line in portal.printed):
        raise NotHeld("it has not stopped after 20 s:\n" + "\n".join(portal.printed[-20:]))


def _dismiss(dialog: Any) -> None:
    """As people do; it may go by itself meanwhile."""
    with suppress(Error):
        dialog.get_by_role("button", name="Close").last.click(timeout=2000)


def _launch(page: Any, url: str) -> str:
    page.goto(f"{url}/launch/jupyterlab")
    page.locator("details").evaluate("details => { details.open = true }")
    page.fill("#f-environment", str(jupyterlab.VENV))
    page.click("button.primary")
    page.wait_for_url("**/jobs/*")
    return str(page.url.rpartition("/")[2])


def _run_again(page: Any, code: str, output: str) -> None:
    """Until JupyterLab has connected again; what it says of its kernel then is "unknown" until a cell is run."""
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.type(code)
    for _ in range(12):
        page.keyboard.press("Control+Enter")
        if page.locator(f'.jp-OutputArea-output:has-text("{output}")').count():
            return
        page.wait_for_timeout(5_000)
    raise NotHeld(f"no output {output!r} is seen")


def _jupyters(uid: int) -> str:
    done = subprocess.run(["pgrep", "-u", str(uid), "-f", "jupyter|ipykernel"], capture_output=True, text=True)
    return done.stdout


def _as_nobody(argv: list[str]) -> None:
    home = _CLONE / "home"
    home.mkdir(exist_ok=True)
    os.chown(home, _NOBODY, _NOBODY)
    identity = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--no-new-privs"]
    environment = {**os.environ, "HOME": str(home), "PIP_CACHE_DIR": str(home / "pip")}
    subprocess.run([*identity, *argv], env=environment, check=True)
