"""JupyterLab that nobody uses warns its owner and ends by itself; work, and whoever renews it, keeps it."""

from __future__ import annotations

import re
import subprocess
import time
from typing import Any

from playwright.sync_api import TimeoutError

from tests.acceptance import jupyterlab
from tests.acceptance.cluster_of import ClusterSite
from tests.acceptance.lab_of import Lab, NotHeld
from tests.acceptance.launch_page import launch, ready

_IDLE = 60  # seconds
_MORE = f'[scheduler]\nkind = "slurm"\n[applications]\nidle = "{_IDLE}s"\n'
_WARNED = "Nobody uses it."


def prepare() -> None:
    """Install JupyterLab from PyPI, once."""
    jupyterlab.prepare()


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    site = ClusterSite(lab, "portal.test", more=_MORE)
    with lab.browser(site.ca, *site.rules) as browser:
        context = site.context(browser, "alice", viewport={"width": 1280, "height": 900})
        page = context.new_page()
        job_id = launch(page, site, "jupyterlab", environment=str(jupyterlab.VENV), minutes="30m")
        ready(page)
        _works(lab, site, context, page)
        _renewed(lab, site, page, job_id)
        _ends(lab, site, page, job_id)
        _used_by_its_processes(lab, site, page)
        context.close()
    site.portal.stop()


def _works(lab: Lab, site: ClusterSite, context: Any, page: Any) -> None:
    """A cell that waits takes no processor, and no browser has it open: its kernel is busy all the same."""
    other = context.new_page()
    other.goto(f"{site.url}{page.get_by_role('link', name=re.compile('^Open')).get_attribute('href')}")
    other.click(".jp-LauncherCard[data-category=Notebook] >> nth=0", timeout=60_000)
    seconds = int(_IDLE * 1.5)
    # The cell may be run twice, where its output comes late.
    code = f"import time; end = globals().setdefault('end', time.time() + {seconds}); print('begins')"
    jupyterlab.run_cell(other, f"{code}; time.sleep(max(0, end - time.time()))", "begins")
    begin = time.monotonic()
    other.close()
    while time.monotonic() - begin < seconds - 5:
        _not_warned(page)
        time.sleep(1)
    lab.saw(f"while a cell sleeps for {seconds} s, with no browser there, nobody is warned")


def _renewed(lab: Lab, site: ClusterSite, page: Any, job_id: str) -> None:
    _until_warned(lab, page)
    lab.screenshot(page, "warned")
    lab.saw(f"then the page that was left open warns: {page.inner_text('.warning')!r}")
    page.goto(f"{site.url}/")
    lab.holds(page.locator(".warning").count() == 1, "so does the first page")
    begin = time.monotonic()
    page.get_by_role("button", name=re.compile("^Renew")).click()
    page.wait_for_url("**/jobs/*")
    lab.holds(_WARNED not in page.inner_text("main"), "Renew takes the warning away")
    while time.monotonic() - begin < _IDLE * 0.7:
        if site.slurm.state(job_id) != "RUNNING":
            raise NotHeld("it was renewed, and ended all the same")
        time.sleep(1)
    lab.saw("and keeps it for as long again")


def _ends(lab: Lab, site: ClusterSite, page: Any, job_id: str) -> None:
    _until_warned(lab, page)
    page.get_by_text("so it was ended").wait_for(timeout=_IDLE * 1500)
    site.slurm.wait(job_id, "COMPLETED", "FAILED", "CANCELLED")
    said = page.locator(".card .what p").first.inner_text()
    lab.saw(f"nobody renews it, and it ends: {said!r}, {site.slurm.state(job_id)}")
    lab.screenshot(page, "ended")


def _used_by_its_processes(lab: Lab, site: ClusterSite, page: Any) -> None:
    """A terminal's program that nobody looks at takes a processor."""
    job_id = launch(page, site, "jupyterlab", environment=str(jupyterlab.VENV), minutes="30m")
    ready(page)
    burn = ["srun", "--overlap", f"--jobid={job_id}", "sh", "-c", "timeout 90 sh -c 'while :; do :; done'"]
    begin = time.monotonic()
    process = lab.accounts.run_as("alice", burn)
    while time.monotonic() - begin < 80:
        _not_warned(page)
        time.sleep(1)
    process.wait(60)
    lab.saw("while a program of the job's works for 80 s, nobody is warned")
    _until_warned(lab, page)
    lab.saw("when it has ended, somebody is")
    site.slurm.run_as(lab.accounts, "alice", ["scancel", job_id])


def _until_warned(lab: Lab, page: Any) -> None:
    try:
        page.get_by_text(_WARNED).wait_for(timeout=_IDLE * 2000)
    except TimeoutError:
        folder = max((lab.accounts["alice"].home / ".local/share/supercloud/jobs").iterdir())
        judged = (folder / "idle.json").read_text() if (folder / "idle.json").exists() else "nothing"
        login = ["ps", "-u", str(lab.accounts["alice"].uid), "-o", "pid,ppid,time,args"]
        running = subprocess.run(login, capture_output=True, text=True).stdout
        raise NotHeld(f"nobody is warned at {time.time():.0f}; its judge says {judged}\n{running}") from None


def _not_warned(page: Any) -> None:
    if _WARNED in page.inner_text("main"):
        raise NotHeld("what works is taken for idle")
