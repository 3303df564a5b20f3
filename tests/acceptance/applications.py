"""Every shipped application, and one written from the documentation: launched as SLURM jobs, opened, used, stopped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

from lab.portal import ROOT

from tests.acceptance import jupyterlab, programs_of
from tests.acceptance.cluster_of import ClusterSite
from tests.acceptance.lab_of import Lab
from tests.acceptance.launch_page import STARTS, launch, ready, stop

_SCHEDULER = '[scheduler]\nkind = "slurm"\n'
_SHIPPED = ROOT / "conf" / "apps"
# What somebody may type as a greeting, and must see again letter by letter.
_GREETING = (
    'It\'s "7" $(touch {trap}) `touch {trap}`; touch {trap} & \\ ${{HOME}}\n<b>two</b> lines\n{{{{ 7 * 7 }}}} %s'
)


def prepare() -> None:
    """Install what the applications start, once."""
    programs_of.jupyter()
    programs_of.tensorboard()
    programs_of.octave()
    programs_of.editor()


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    site = ClusterSite(lab, "portal.test", more=_SCHEDULER)
    shown = {
        "jupyterlab": _jupyterlab,
        "notebook": _notebook,
        "tensorboard": _tensorboard,
        "code-server": _editor,
        "web": _web,
    }
    shipped = {folder.name for folder in _SHIPPED.iterdir() if folder.is_dir()}
    lab.holds(shipped == set(shown), f"all that is shipped is tried: {', '.join(sorted(shipped))}")
    programs_of.add_octave_kernel(lab)
    with lab.browser(site.ca, *site.rules) as browser:
        context = site.context(browser, "alice", viewport={"width": 1280, "height": 900})
        page = context.new_page()
        for name, show in shown.items():
            _try(lab, site, page, name, show)
        _try(lab, site, page, "hello", _hello)
        context.close()
    site.portal.stop()


def _try(lab: Lab, site: ClusterSite, page: Any, name: str, show: Callable[..., Any]) -> None:
    """Start an application, open it with one click, see it, stop it.

    :param show: given the lab and site, tells what is typed; then, with the application's page, looks at it.
    """
    typed, look = show(lab, site)
    job_id = launch(page, site, name, **typed)
    ready(page)
    link = page.get_by_role("link", name=re.compile("^Open"))
    where = f"{site.url}/jobs/{job_id}"
    link.click()
    page.wait_for_url(re.compile(r"^https://node\d-\d+-u\d+\.fh\.portal\.test:"), timeout=STARTS)
    look(page)
    lab.screenshot(page, name)
    _closed_to_others(lab, site, job_id, name)
    page.goto(where)
    stop(page)
    site.slurm.wait(job_id, "CANCELLED")
    lab.saw(f"{name}: stopped from its page, job {job_id} is CANCELLED")


def _jupyterlab(lab: Lab, site: ClusterSite) -> Any:
    def look(page: Any) -> None:
        page.wait_for_selector(".jp-Launcher", timeout=STARTS)
        card = page.locator('.jp-LauncherCard[data-category="Notebook"]', has_text="Octave")
        card.wait_for(timeout=STARTS)
        lab.screenshot(page, "jupyterlab-launcher")
        lab.saw(f"jupyterlab: the launcher has the kernel of {programs_of.OCTAVE_KERNEL}")
        card.click()
        jupyterlab.run_cell(page, "disp(6*7)", "42")
        jupyterlab.run_cell(page, "printf('%s %d\\n', version(), getpid() > 0)", "7.")
        lab.saw("jupyterlab: an Octave notebook's disp(6*7) shows 42")

    return {"environment": str(programs_of.jupyter()), "minutes": "30m", "start_in": "~"}, look


def _notebook(lab: Lab, site: ClusterSite) -> Any:
    def look(page: Any) -> None:
        page.wait_for_selector(".jp-FileBrowser, .jp-DirListing", timeout=STARTS)
        lab.saw(f"notebook: the list of files is seen at {page.url}")

    return {"environment": str(programs_of.jupyter()), "minutes": "30m", "start_in": "~"}, look


def _tensorboard(lab: Lab, site: ClusterSite) -> Any:
    alice = lab.accounts["alice"]
    runs = alice.home / "runs"
    program = (
        "import sys; from tensorboard.summary import Writer; w = Writer(sys.argv[1])\n"
        "for step in range(50): w.add_scalar('loss of the lab', 1 / (1 + step), step)\n"
        "w.close()\n"
    )
    python = str(programs_of.tensorboard() / "bin" / "python")
    site.slurm.run_as(lab.accounts, "alice", [python, "-W", "ignore", "-c", program, str(runs)])
    lab.holds(list(runs.glob("events.out.tfevents.*")), "tensorboard: a training has left an event file")

    def look(page: Any) -> None:
        page.get_by_text("loss of the lab").first.wait_for(timeout=STARTS)
        lab.saw("tensorboard: the chart of the event file is seen")

    return {"environment": str(programs_of.tensorboard()), "logs": "~/runs"}, look


def _editor(lab: Lab, site: ClusterSite) -> Any:
    project = lab.accounts["alice"].home / "project"
    project.mkdir()
    (project / "of-the-lab.py").write_text("print('seen in the editor')\n")
    for path in (project, *project.iterdir()):
        os.chown(path, lab.accounts["alice"].uid, lab.accounts["alice"].gid)

    def look(page: Any) -> None:
        page.wait_for_selector(".monaco-workbench", timeout=STARTS)
        page.get_by_role("button", name=re.compile("^Yes, I trust")).click(timeout=STARTS)
        page.locator(".explorer-viewlet").get_by_text("of-the-lab.py").dblclick(timeout=STARTS)
        page.locator(".view-lines").get_by_text("seen in the editor").wait_for(timeout=STARTS)
        page.keyboard.press("Control+Backquote")
        page.locator(".terminal.xterm").wait_for(timeout=STARTS)
        page.locator(".terminal.xterm").click()
        page.keyboard.type("id -un > said; echo $((6 * 7)) >> said\n")
        _until(lambda: (project / "said").exists() and "42" in (project / "said").read_text(), page)
        lab.saw(f"code-server: a file is open in it, and its terminal is {(project / 'said').read_text().split()[0]}'s")
        lab.holds("token" not in page.url, f"code-server: at {page.url}")

    return {"environment": str(programs_of.editor()), "start_in": "~/project"}, look


def _web(lab: Lab, site: ClusterSite) -> Any:
    def look(page: Any) -> None:
        page.get_by_text("of-the-lab.py").wait_for(timeout=STARTS)
        lab.saw(f"web: python3 -m http.server lists the folder at {page.url}")

    return {"command": "python3 -m http.server {port}", "start_in": "~/project"}, look


def _hello(lab: Lab, site: ClusterSite) -> Any:
    """An application of alice's own: the two blocks of the documentation, letter by letter."""
    alice = lab.accounts["alice"]
    blocks = re.findall(r"```\w+\n# ~/([^\n]+)\n(.*?)```", (_SHIPPED / "README.md").read_text(), re.DOTALL)
    lab.holds(len(blocks) == 2, f"conf/apps/README.md has the files of an example: {[name for name, _ in blocks]}")
    for name, text in blocks:
        file = alice.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for path in (alice.home / ".config").rglob("*"):
        os.chown(path, alice.uid, alice.gid)
    os.chown(alice.home / ".config", alice.uid, alice.gid)
    trap = alice.home / "trap"
    greeting = _GREETING.format(trap=trap)

    def look(page: Any) -> None:
        said = page.locator("pre").inner_text()
        lab.holds(said == greeting and not trap.exists(), f"hello: what was typed is seen letter by letter: {said!r}")

    return {"greeting": greeting}, look


def _closed_to_others(lab: Lab, site: ClusterSite, job_id: str, name: str) -> None:
    """Bob, through the portal and past it."""
    announced = lab.accounts["alice"].home / f".local/share/supercloud/sessions/{job_id}.json"
    place = json.loads(announced.read_text())
    label = f"{place['node']}-{place['port']}"
    bob = site.of("bob")
    statuses = [bob(url).status for url in (f"{site.url}/open/{job_id}", f"{site.own(label)}/")]
    lab.holds(all(one >= 400 for one in statuses), f"{name}: closed to bob, {statuses}")
    if name != "code-server":
        return
    past = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{place['node']}:{place['port']}/"]
    process = lab.accounts.run_as("bob", past, node=place["node"], stdout=-1, text=True)
    said = process.communicate(timeout=20)[0]
    lab.holds(said == "401", f"{name}: on the node itself bob is told {said}")


def _until(condition: Callable[[], bool], page: Any) -> None:
    for _ in range(300):
        if condition():
            return
        page.wait_for_timeout(100)
    raise TimeoutError("not within 30 s")
