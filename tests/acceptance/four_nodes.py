"""A notebook in which Octave works on four nodes: as a job of four nodes, and as a job of one that asks for four."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

from tests.acceptance import jupyterlab, programs_of
from tests.acceptance.cluster_of import ClusterSite
from tests.acceptance.lab_of import Lab
from tests.acceptance.launch_page import STARTS, launch, ready, stop

_NODES = 4
# Each process blurs the rows that are its own, and says where; the notebook puts them together.
_PROGRAM = """
me = str2double(getenv('SLURM_PROCID')); all = str2double(getenv('SLURM_NTASKS'));
picture = magic(128); rows = 128 / all; first = me * rows;
around = max(1, first):min(128, first + rows + 1);
blurred = conv2(picture(around, :), ones(3) / 9, 'same')(first - around(1) + (2:rows + 1), :);
save('-text', sprintf('part-%d.txt', me), 'blurred');
printf('rows %d to %d on %s\\n', first + 1, first + rows, gethostname());
"""
_TOGETHER = "p = []; for k = 0:3, load(sprintf('part-%d.txt', k)); p = [p; blurred]; end, "
_TOGETHER += "if max(max(abs(p - conv2(magic(128), ones(3) / 9, 'same')))) < 1e-9, disp('as on one'), end"


def prepare() -> None:
    """Install JupyterLab and Octave's kernel, once."""
    programs_of.jupyter()
    programs_of.octave()


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    site = ClusterSite(lab, "portal.test", nodes=_NODES + 1, more='[scheduler]\nkind = "slurm"\n')
    programs_of.add_octave_kernel(lab)
    alice = lab.accounts["alice"]
    for name, text in (("pblur.m", _PROGRAM), ("four.sh", "#!/bin/bash\nsrun octave-cli -qf pblur.m\n")):
        (alice.home / name).write_text(text)
        os.chown(alice.home / name, alice.uid, alice.gid)
    with lab.browser(site.ca, *site.rules) as browser:
        context = site.context(browser, "alice", viewport={"width": 1280, "height": 900})
        page = context.new_page()
        _usual_is_one(lab, site, page)
        _work(lab, site, page, "four", 4, "system('srun octave-cli -qf pblur.m');")
        page.goto(f"{site.url}/launch/jupyterlab")
        lab.holds(page.locator("#f-nodes").is_visible(), "four nodes that were asked for are seen the next time")
        asks = "system('salloc -QN4 srun octave-cli -qf pblur.m');"
        _work(lab, site, page, "one-salloc", 1, asks)
        asks = "system('sbatch -QW -N4 -o four.out four.sh; cat four.out');"
        _work(lab, site, page, "one-sbatch", 1, asks)
        context.close()
    site.portal.stop()


def _usual_is_one(lab: Lab, site: ClusterSite, page: Any) -> None:
    page.goto(f"{site.url}/launch/jupyterlab")
    nodes = page.locator("#f-nodes")
    is_out_of_sight = not nodes.is_visible() and nodes.input_value() == "1"
    lab.holds(is_out_of_sight, "the form asks for one node, and for their number under More only")


def _work(lab: Lab, site: ClusterSite, page: Any, what: str, nodes: int, code: str) -> None:
    """A JupyterLab on so many nodes, in which Octave's ``code`` makes four of them work."""
    home = lab.accounts["alice"].home
    for part in home.glob("part-*.txt"):
        part.unlink()
    # JupyterLab would open what was open the last time.
    shutil.rmtree(home / ".jupyter/lab/workspaces", ignore_errors=True)
    environment = str(programs_of.jupyter())
    job_id = launch(page, site, "jupyterlab", environment=environment, minutes="30m", cpus="1", nodes=str(nodes))
    ready(page)
    page.get_by_role("link", name=re.compile("^Open")).click()
    page.wait_for_selector(".jp-Launcher", timeout=STARTS)
    page.locator('.jp-LauncherCard[data-category="Notebook"]', has_text="Octave").click()
    jupyterlab.run_cell(page, code, "rows 97 to 128 on node", within=30)
    jupyterlab.run_cell(page, _TOGETHER, "as on one")
    said = page.locator(".jp-OutputArea-output").first.inner_text()
    lab.screenshot(page, what)
    found = re.findall(r"rows (\d+) to (\d+) on (node\d)", said)
    is_all = sorted(one[2] for one in found) == [f"node{number}" for number in range(1, _NODES + 1)]
    lab.holds(is_all and len({one[0] for one in found}) == _NODES, f"{code} in a notebook on {nodes}: {found}")
    page.goto(f"{site.url}/jobs/{job_id}")
    stop(page)
    site.slurm.wait(job_id, "CANCELLED")
