"""Applications as SLURM jobs from the page in Chromium: started, watched, opened, used, stopped; and all that fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from typing import Any

from lab.portal import until

from tests.acceptance import jupyterlab
from tests.acceptance.cluster_of import ClusterSite
from tests.acceptance.lab_of import Lab
from tests.acceptance.launch_page import STARTS, launch, ready, stop

_SCHEDULER = '[scheduler]\nkind = "slurm"\n'
# What was typed for the GPUs is there the next time.
_SMALL = {
    "partition": "normal",
    "gpus": "0",
    "gpu_kind": "",
    "cpus": "1",
    "minutes": "30m",
    "features": "",
    "options": "",
}
_NAMED = "Läufe 1 'bis' $(id) \"12\" ☃"


def prepare() -> None:
    """Install JupyterLab from PyPI, once."""
    jupyterlab.prepare()


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    site = ClusterSite(lab, "portal.test", more=_SCHEDULER)
    with lab.browser(site.ca, *site.rules) as browser:
        context = site.context(browser, "alice", viewport={"width": 1280, "height": 900})
        page = context.new_page()
        job_id = _jupyter(lab, site, context, page)
        _others(lab, site, browser, job_id)
        _stop(lab, site, page, job_id)
        _two_at_once(lab, site, page)
        _options(lab, site, page)
        _hostile(lab, site, page)
        _refused(lab, site, page)
        _broken_startup(lab, site, page)
        _ends(lab, site, page)
        _by_hand(lab, site, page)
        _controller_down(lab, site, page)
        context.close()
    site.portal.stop()


def _jupyter(lab: Lab, site: ClusterSite, context: Any, page: Any) -> str:
    page.goto(f"{site.url}/")
    lab.screenshot(page, "home")
    begin = time.monotonic()
    job_id = launch(page, site, "jupyterlab", environment=str(jupyterlab.VENV), minutes="30m")
    lab.screenshot(page, "starting")
    lab.saw(f"alice starts JupyterLab from its form: job {job_id}, {page.locator('.stage').first.inner_text()!r}")
    ready(page)
    lab.saw(f"the page that was left open says Open after {time.monotonic() - begin:.1f} s")
    lab.screenshot(page, "ready")
    link = page.get_by_role("link", name=re.compile("^Open"))
    lab.holds("token" not in str(link.get_attribute("href")), f"its link has no token: {link.get_attribute('href')}")
    link.click()
    page.wait_for_selector(".jp-Launcher", timeout=STARTS)
    where = page.url.partition("/lab")[0]
    lab.holds(
        re.fullmatch(r"https://node\d-\d+-u\d+\.fh\.portal\.test:\d+", where), f"it opens at its own origin, {where}"
    )
    token, seen = _token(lab, job_id), [*context.cookies(), {"value": page.url}]
    lab.holds(not [one for one in seen if token in one["value"]], "no cookie and no address bears the token")
    page.click(".jp-LauncherCard[data-category=Notebook] >> nth=0")
    jupyterlab.run_cell(page, "import os; print('uid', os.getuid(), 6 * 7, os.uname().nodename)", "uid 20001 42 node")
    lab.saw(f"a cell runs on the node as alice: {page.inner_text('.jp-OutputArea-output pre').strip()!r}")
    lab.screenshot(page, "jupyterlab")
    return job_id


def _token(lab: Lab, job_id: str) -> str:
    file = lab.accounts["alice"].home / f".local/share/supercloud/sessions/{job_id}.json"
    lab.holds(file.stat().st_mode & 0o077 == 0, f"{file} is alice's alone")
    return str(json.loads(file.read_text())["token"])


def _others(lab: Lab, site: ClusterSite, browser: Any, job_id: str) -> None:
    context = site.context(browser, "bob")
    page = context.new_page()
    page.goto(f"{site.url}/jobs")
    lab.holds("You have no jobs" in page.inner_text("main"), "bob sees none of it")
    for path in (f"/jobs/{job_id}", f"/open/{job_id}"):
        answer = page.goto(f"{site.url}{path}")
        lab.holds(answer.status in (404, 503) and "alice" not in page.content(), f"bob at {path}: {answer.status}")
    bob = site.of("bob")
    same = ["-H", "Sec-Fetch-Site: same-origin", "-H", f"Origin: {site.url}"]
    status = bob(f"{site.url}/jobs/{job_id}/stop", "-X", "POST", *same).status
    also = bob(f"{site.url}/api/jobs/{job_id}", "-X", "DELETE", *same).status
    lab.holds(
        (status, also, site.slurm.state(job_id)) == (404, 404, "RUNNING"), f"bob cannot stop it: {status}, {also}"
    )
    context.close()


def _stop(lab: Lab, site: ClusterSite, page: Any, job_id: str) -> None:
    page.goto(f"{site.url}/jobs/{job_id}")
    stop(page)
    site.slurm.wait(job_id, "CANCELLED")
    lab.saw(f"alice stops it from the page: {site.slurm.state(job_id)}")


def _two_at_once(lab: Lab, site: ClusterSite, page: Any) -> None:
    command = "python3 -m http.server {port}"
    jobs = [launch(page, site, "web", command=command, partition="normal") for _ in range(2)]
    for job_id in jobs:
        page.goto(f"{site.url}/jobs/{job_id}")
        ready(page)
    ports = [site.slurm.ports(job_id) for job_id in jobs]
    lab.holds(len(set(ports)) == 2 and all(ports), f"two at once have different reserved ports: {ports}")
    page.goto(f"{site.url}/")
    lab.screenshot(page, "running")
    _listening(lab, site, page, jobs[0])
    for job_id in jobs:
        page.goto(f"{site.url}/jobs/{job_id}")
        stop(page)


def _listening(lab: Lab, site: ClusterSite, page: Any, job_id: str) -> None:
    """A program that somebody started by hand within a job is found on its node, and opens by one click."""
    hand = ["srun", "--overlap", f"--jobid={job_id}", "python3", "-m", "http.server", "18123"]
    process = lab.accounts.run_as("alice", hand)
    found = page.get_by_role("link", name="http.server", exact=True)
    for _ in range(20):
        page.goto(f"{site.url}/")
        page.get_by_role("link", name=re.compile("^Look")).click()
        page.wait_for_load_state()
        if found.count():
            break
        time.sleep(2)
    lab.screenshot(page, "listening")
    found.first.click()
    page.wait_for_load_state()
    lab.holds(
        re.search(r"-18123-u\d+\.fh\.", page.url) and "Directory listing" in page.content(),
        f"one click opens it: {page.url}",
    )
    process.terminate()
    process.wait(20)


def _options(lab: Lab, site: ClusterSite, page: Any) -> None:
    job_id = launch(
        page, site, "jupyterlab", partition="gpu", gpus="2", gpu_kind="a100", cpus="4", memory="1G", minutes="1h 30m",
        features="fast", options="--nice=7 --contiguous", environment=str(jupyterlab.VENV), job_name=_NAMED,
    )  # fmt: skip
    lab.holds(page.inner_text("h1") == _NAMED, f"the page calls it what it was called: {page.inner_text('h1')}")
    said = subprocess.run(["scontrol", "show", "job", job_id, "-o"], capture_output=True, text=True).stdout
    wanted = (
        f"JobName={_NAMED} ",
        "Partition=gpu",
        "gres:gpu:a100:2",
        "NumCPUs=4",
        "TimeLimit=01:30:00",
        "Features=fast",
        "MinMemoryNode=1G",
        "Nice=7",
        "Contiguous=1",
    )
    missing = [words for words in wanted if words not in said]
    lab.holds(
        not missing,
        f"all that was asked for arrives in scontrol show job {missing or ''}",
    )
    site.slurm.run_as(lab.accounts, "alice", ["scancel", job_id])


def _hostile(lab: Lab, site: ClusterSite, page: Any) -> None:
    trap = lab.accounts["alice"].home / "trap"
    attack = f'/x\'; touch {trap}; $(touch {trap}) `touch {trap}` ";touch {trap}"'
    job_id = launch(page, site, "jupyterlab", **_SMALL, start_in=attack, environment=attack)
    page.locator(".card").get_by_text("There is no environment at").wait_for(timeout=STARTS)
    lab.holds(not trap.exists(), f"quotes, $(…) and backquotes in fields run nothing: {_words(page)!r}")
    lab.screenshot(page, "failed")
    answer = site.of("alice")(
        f"{site.url}/launch/web", "-X", "POST", "-H", "Sec-Fetch-Site: same-origin", "--data-urlencode",
        "command=x\ny", "--data-urlencode", "partition=normal\n--uid=0",
    )  # fmt: skip
    lab.holds(answer.status == 422, f"a newline in a field is refused: {answer.status}")
    site.slurm.wait(job_id, "FAILED")


def _refused(lab: Lab, site: ClusterSite, page: Any) -> None:
    page.goto(f"{site.url}/launch/web")
    page.fill("#f-command", "true")
    page.select_option("#f-partition", "gpu")
    page.fill("#f-minutes", "1d")
    page.fill("#f-cpus", "8")
    page.click("button.primary")
    page.wait_for_load_state()
    said = page.inner_text(".wrong")
    lab.holds("2h at most" in said, f"more time than the partition gives is refused on the form: {said!r}")
    lab.screenshot(page, "refused")
    subprocess.run(["scontrol", "update", "PartitionName=normal", "AllowGroups=root"], check=True)
    try:
        page.goto(f"{site.url}/launch/web")
        page.fill("#f-command", "true")
        page.select_option("#f-partition", "normal")
        page.click("button.primary")
        page.wait_for_load_state()
        said = page.inner_text("[role=alert]")
        lab.holds("refused" in said, f"what SLURM refuses is on the form: {said!r}")
    finally:
        subprocess.run(["scontrol", "update", "PartitionName=normal", "AllowGroups=ALL"], check=True)


def _broken_startup(lab: Lab, site: ClusterSite, page: Any) -> None:
    alice = lab.accounts["alice"]
    file = alice.home / ".jupyter" / "supercloud.sh"
    file.parent.mkdir(exist_ok=True)
    for text, words in (("if then\n", "cannot be read"), ("ls /nothing-such\n", "No such file")):
        file.write_text(text)
        for path in (file.parent, file):
            os.chown(path, alice.uid, alice.gid)
        launch(page, site, "jupyterlab", **_SMALL, environment=str(jupyterlab.VENV), start_in="~")
        page.locator(".card").get_by_text(words).wait_for(timeout=STARTS)
        lab.saw(f"a broken ~/.jupyter/supercloud.sh says so: {_words(page)!r}")
    file.unlink()


def _ends(lab: Lab, site: ClusterSite, page: Any) -> None:
    """A job that is killed, one whose time is up, one whose node goes down."""
    command = "python3 -m http.server {port}"
    job_id = launch(page, site, "web", command=command, partition="normal")
    ready(page)
    subprocess.run(["scancel", "--signal=KILL", "--full", job_id], check=True)
    page.get_by_text("It failed").or_(page.get_by_text("It was stopped")).first.wait_for(timeout=30_000)
    lab.saw(f"killed: {_words(page)!r}")
    job_id = launch(page, site, "web", command=command, partition="normal", minutes="1m")
    ready(page)
    subprocess.run(["scontrol", "update", f"JobId={job_id}", "TimeLimit=0"], check=True, capture_output=True)
    page.get_by_text("Its time was up").wait_for(timeout=90_000)
    lab.saw(f"its time is up: {_words(page)!r}")
    job_id = launch(page, site, "web", command=command, partition="gpu")
    ready(page)
    node = site.cluster.nodes[-1]
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"], check=True)
    page.get_by_text("went down").wait_for(timeout=30_000)
    lab.saw(f"its node goes down: {_words(page)!r}")
    # It came back by itself where slurmd has answered since.
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], capture_output=True)


def _by_hand(lab: Lab, site: ClusterSite, page: Any) -> None:
    script = (
        f"#!/bin/bash\nexport JUPYTER_TOKEN=by-hand-secret\nexec {jupyterlab.VENV}/bin/jupyter-lab --no-browser "
        "--ip=0.0.0.0 --port=18888 --ServerApp.port_retries=0\n"
    )
    job_id = site.submit("alice", script, "-w", "node2")
    page.goto(f"{site.url}/")
    found = page.get_by_role("link", name="Open Jupyter")
    found.wait_for(timeout=STARTS)
    found.click()
    page.wait_for_selector("#jp-top-panel, .jp-Launcher, #jupyterlab-splash", timeout=STARTS)
    lab.saw(f"a server that sbatch started (job {job_id}) is found and opens, without its token: {page.url}")
    site.slurm.run_as(lab.accounts, "alice", ["scancel", job_id])


def _controller_down(lab: Lab, site: ClusterSite, page: Any) -> None:
    job_id = launch(page, site, "web", command="python3 -m http.server {port}", partition="normal")
    ready(page)
    href = page.get_by_role("link", name=re.compile("^Open")).get_attribute("href")
    page.goto(f"{site.url}{href}")
    where = page.url
    site.slurm.stop_daemon("slurmctld")
    page.goto(f"{site.url}/")
    page.get_by_text("SLURM does not answer").first.wait_for(timeout=60_000)
    lab.saw(f"slurmctld is down: {page.inner_text('[role=alert]')!r}; the rest of the page is there")
    lab.screenshot(page, "controller-down")
    answer = page.goto(where)
    lab.holds(answer.status == 200, f"what runs goes on: {where} answers {answer.status}")
    site.slurm.start_controller()
    until(lambda: site.slurm.state(job_id) == "RUNNING", "slurmctld", within=30)
    page.goto(f"{site.url}/jobs/{job_id}")
    ready(page)
    lab.saw("it is up again, and the job is found")
    site.slurm.run_as(lab.accounts, "alice", ["scancel", job_id])


def _words(page: Any) -> str:
    return str(page.locator(".card .what p").first.inner_text())
