"""Scripts as people write them: SLURM jobs that announce a forward, opened in Chromium by its name and by its path."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.portal import until
from lab.processes import PYTHON

from tests.acceptance.cluster_of import ClusterSite
from tests.acceptance.lab_of import Lab, NotHeld

# Where people's scripts expect it.
FOLDER = Path("/home/gridsan/portal-url-fw")
# Not under a home: other accounts run it. Kept from run to run.
TENSORBOARD = Path("/var/tmp/supercloud-tensorboard")
_SUPERCLOUD = Path(sys.executable).with_name("supercloud")
_SERVE = "python3 -m http.server --directory ~/www"


@dataclass(frozen=True)
class Script:
    """:ivar step: what srun runs on the node; ``{app}`` becomes a plain web server on port ``$PORT``.
    :ivar path: of the page, behind the forward's address.
    :ivar ports: that are reserved.
    """

    what: str
    name: str
    step: str
    path: str = ""
    ports: int = 1
    shows: str = "page of alice"


_FILE = f'PORTAL_FWFILE="{FOLDER}/$PORTAL_FWNAME"\n'
SCRIPTS = (
    Script(
        "the documentation's, with TensorBoard",
        "alice-tensorboard",
        "PORTAL_FWNAME=\"$(id -un | tr '[A-Z]' '[a-z]')-tensorboard\"\n"
        f'PORTAL_FWFILE="{FOLDER}/${{PORTAL_FWNAME}}"\n'
        'echo "http://$(hostname -s):${SLURM_STEP_RESV_PORTS}/" >> $PORTAL_FWFILE\n'
        "chmod u+x ${PORTAL_FWFILE}\n"
        f'{TENSORBOARD}/bin/tensorboard --logdir ~/runs --host "$(hostname -s)" --port ${{SLURM_STEP_RESV_PORTS}}\n',
        shows="TensorBoard",
    ),
    Script(
        "no slash at the end",
        "alice-noslash",
        f'PORTAL_FWNAME=alice-noslash\n{_FILE}echo "http://$(hostname -s):$SLURM_STEP_RESV_PORTS" > $PORTAL_FWFILE\n'
        f"chmod u+x $PORTAL_FWFILE\n{_SERVE} $SLURM_STEP_RESV_PORTS\n",
    ),
    Script(
        "a path behind the port",
        "alice-playground",
        f'PORTAL_FWNAME=alice-playground\n{_FILE}'
        'echo "http://$(hostname -s):$SLURM_STEP_RESV_PORTS/playground/" > $PORTAL_FWFILE\n'
        f"chmod u+x $PORTAL_FWFILE\n{_SERVE} $SLURM_STEP_RESV_PORTS\n",
        shows="playground of alice",
    ),
    Script(
        "a range of ports, written as it is",
        "alice-range",
        f"PORTAL_FWNAME=alice-range\n{_FILE}"
        'echo "http://$(hostname -s):${SLURM_STEP_RESV_PORTS}/" >> $PORTAL_FWFILE\n'
        f'chmod u+x $PORTAL_FWFILE\n{_SERVE} "${{SLURM_STEP_RESV_PORTS%%-*}}"\n',
        ports=4,
    ),
    Script(
        "a port of its own choice, on all addresses",
        "alice-fixed",
        f'PORTAL_FWNAME=alice-fixed\n{_FILE}echo "http://$(hostname -s):18263/" > $PORTAL_FWFILE\n'
        f"chmod u+x $PORTAL_FWFILE\n{_SERVE} --bind 0.0.0.0 18263\n",
        ports=0,
    ),
    Script(
        "capitals in the name",
        "Alice.Demo_1",
        f'PORTAL_FWNAME=Alice.Demo_1\n{_FILE}echo "http://$(hostname -s):$SLURM_STEP_RESV_PORTS/" > $PORTAL_FWFILE\n'
        f"chmod 700 $PORTAL_FWFILE\n{_SERVE} $SLURM_STEP_RESV_PORTS\n",
    ),
    Script(
        "the name of the host in a variable, and a query",
        "alice-vars",
        f'export MASTER_HOST=$(hostname) LC_PORT=$SLURM_STEP_RESV_PORTS PORTAL_FWNAME=alice-vars\n{_FILE}'
        "rm -f $PORTAL_FWFILE; touch $PORTAL_FWFILE; chmod 0700 $PORTAL_FWFILE\n"
        f'printf "http://$MASTER_HOST:$LC_PORT" >> $PORTAL_FWFILE\n{_SERVE} $LC_PORT\n',
    ),
    Script(
        "supercloud forward run, one line",
        "alice-run",
        f"{_SUPERCLOUD} forward run alice-run -- {_SERVE} {{port}}\n",
    ),
)  # fmt: skip


def prepare() -> None:
    """Install TensorBoard from PyPI, once."""
    if (TENSORBOARD / "bin" / "tensorboard").exists():
        return
    subprocess.run([PYTHON, "-m", "venv", str(TENSORBOARD)], check=True)
    pip = [str(TENSORBOARD / "bin" / "pip"), "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, "tensorboard", "setuptools<81"], check=True)


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    _make_folder(lab)
    site = ClusterSite(lab, "portal.test", more=f'[forwards]\ndirectory = "{FOLDER}"\n[scheduler]\nkind = "slurm"\n')
    lab.saw(f"SLURM with {len(site.cluster.nodes)} nodes; forwards in {FOLDER}")
    _fill_home(lab)
    with lab.browser(site.ca, *site.rules) as browser:
        context = site.context(browser, "alice")
        page = context.new_page()
        for script in SCRIPTS:
            _script(lab, site, page, script)
        _twice(lab, site, page)
        _kept(lab, site, page)
        _told(lab, site, page)
        _opens_by_itself(lab, site, page)
        context.close()
    site.portal.stop()


def _script(lab: Lab, site: ClusterSite, page: Any, script: Script) -> None:
    job_id = site.submit("alice", _batch(script))
    file = FOLDER / script.name

    def is_made() -> bool:
        return file.exists() and bool(file.read_text().strip()) and bool(file.stat().st_mode & 0o100)

    until(is_made, f"the forward {script.name}", within=30)
    addresses = [f"{site.url}/fw/{script.name}/"]
    if script.name == script.name.lower() and "." not in script.name:
        addresses.append(f"{site.forward(script.name)}/")
    for address in addresses:
        _shows(page, address, script.shows)
    lab.saw(f"{script.what}: {file.read_text().strip()!r} shows {script.shows!r} at {' and '.join(addresses)}")
    answer = site.of("bob")(addresses[0])
    lab.holds(answer.status == 404 and "alice" not in answer.text, f"    bob is told {answer.status}")
    site.slurm.run_as(lab.accounts, "alice", ["scancel", job_id])
    site.slurm.wait(job_id, "CANCELLED", "COMPLETED", "FAILED")
    if "forward run" in script.step:
        until(lambda: not file.exists(), "the forward's end with its job")
        lab.saw("    the forward went with its job")


def _twice(lab: Lab, site: ClusterSite, page: Any) -> None:
    """The documentation's script appends, so that a second run leaves two lines."""
    script = SCRIPTS[3]
    job_id = site.submit("alice", _batch(script))
    file = FOLDER / script.name
    until(lambda: len(file.read_text().split()) > 1, "a second line")
    _shows(page, f"{site.url}/fw/{script.name}/", script.shows)
    lab.holds(len(file.read_text().split()) == 2, f"run twice: {file.read_text().split()}: the last one is used")
    site.slurm.run_as(lab.accounts, "alice", ["scancel", job_id])
    site.slurm.wait(job_id, "CANCELLED")
    said = _said(page, f"{site.url}/fw/{script.name}/")
    words = ("several lines", "nothing listens", f"Your job {job_id} there ended")
    lab.holds(all(one in said for one in words), f"and when the job is over: {said!r}")


def _kept(lab: Lab, site: ClusterSite, page: Any) -> None:
    """What one does with a name on the command line, and what others then see."""
    job_id = site.submit("alice", f"#!/bin/bash\nexec srun {_SERVE} 18266\n", "-w", "node1")
    name = "alice-kept"
    path = f"{site.url}/fw/{name}/"

    def do(login: str, *words: str) -> str:
        return site.slurm.run_as(lab.accounts, login, [str(_SUPERCLOUD), "forward", *words]).strip()

    do("alice", "add", name, "http://node1:18266/")
    _shows(page, path, "page of alice")
    try:
        do("bob", "add", name, "http://node1:18266/")
    except RuntimeError as error:
        lab.saw(f"add: it opens; bob, who wants the name too, is told {str(error).splitlines()[-1]!r}")
    else:
        raise NotHeld("bob took the name")
    listed = next(line for line in do("alice", "list").splitlines() if line.startswith(f"{name} "))
    lab.holds(listed.endswith("on") and not do("bob", "list").count(name), f"list: {listed!r}, for alice only")
    lab.holds(site.of("bob")(path).status == 404, "bob is told 404")
    do("alice", "share", name, "proj")
    answer = site.of("bob")(path)
    lab.holds("page of alice" in answer.text, "share: bob, who is in the group, sees it")
    lab.holds(site.of("carol")(path).status == 404, "    carol, who is not, is told 404")
    do("alice", "disable", name)
    until(lambda: site.of("bob")(path).status == 404, "bob's end", within=3)
    lab.holds("chmod u+x" in _said(page, path), "disable: bob is told 404, alice how to switch it on")
    do("alice", "remove", name)
    until(lambda: site.of("alice")(path).status == 404, "the name's end", within=3)
    do("bob", "add", name, "http://node1:18266/")
    lab.holds((FOLDER / name).owner() == "bob", "remove: the name is bob's, who asked next")
    lab.holds(site.of("bob")(path).status == 404, "    and leads him to nobody's application but his own")
    site.slurm.run_as(lab.accounts, "alice", ["scancel", job_id])


def _told(lab: Lab, site: ClusterSite, page: Any) -> None:
    """What the owner is told; what is there at all is nobody else's business."""
    alice = lab.accounts["alice"]
    cases = (
        ("not executable", "http://node1:12001/", 0o600, "chmod u+x"),
        ("empty", "", 0o700, "is empty"),
        ("no URL", "hello", 0o700, "cannot be used"),
        ("a node that there is not", "http://elsewhere.example:12001/", 0o700, "no node and port of this cluster"),
        ("a port of the system's", "http://node1:22/", 0o700, "no node and port of this cluster"),
        ("nobody listens", "http://node1:12999/", 0o700, "nothing listens yet"),
    )
    for number, (what, text, mode, words) in enumerate(cases):
        file = FOLDER / f"alice-told-{number}"
        _write(file, text, mode, alice)
        said = _said(page, f"{site.url}/fw/{file.name}/")
        lab.holds(words in said, f"{what}: alice is told {said!r}")
        status = site.of("bob")(f"{site.url}/fw/{file.name}/").status
        lab.holds(status == 404, f"    bob is told {status}")
    job_id = site.submit(
        "bob", f"#!/bin/bash\nexec srun {_SERVE.replace('~/www', '/usr/share')} 18264\n", "-w", "node1"
    )
    file = FOLDER / "alice-others"
    _write(file, "http://node1:18264/", 0o700, alice)
    until(lambda: site.of("alice")(f"{site.url}/fw/{file.name}/").status == 404, "bob's listener", within=20)
    said = _said(page, f"{site.url}/fw/{file.name}/")
    lab.holds("is not yours" in said and "bob" not in said, f"somebody else's listener: alice is told {said!r}")
    site.slurm.run_as(lab.accounts, "bob", ["scancel", job_id])


def _opens_by_itself(lab: Lab, site: ClusterSite, page: Any) -> None:
    file = FOLDER / "alice-later"
    _write(file, "http://node2:18265/", 0o700, lab.accounts["alice"])
    said = _said(page, f"{site.forward('alice-later')}/")
    lab.screenshot(page, "waiting")
    site.submit("alice", f"#!/bin/bash\nsrun {_SERVE} 18265\n", "-w", "node2")
    begin = time.monotonic()
    page.get_by_text("page of alice").wait_for(timeout=30_000)
    waited = time.monotonic() - begin
    lab.saw(f"a page that said {said!r} opened by itself {waited:.1f} s after the job started")


def _batch(script: Script) -> str:
    ports = f"--resv-ports={script.ports} " if script.ports else ""
    return f"#!/bin/bash\n#SBATCH --time=10\nsrun {ports}bash -c '{_quoted(script.step)}'\n"


def _quoted(step: str) -> str:
    return step.replace("'", "'\\''")


def _shows(page: Any, address: str, text: str, within: float = 40) -> None:
    """Go there as a person does; the portal's waiting page opens by itself."""
    end = time.monotonic() + within
    page.goto(address)
    while text not in page.title() + page.locator("html").inner_text():
        if time.monotonic() > end:
            raise NotHeld(f"{address} shows {page.title()!r}, {page.locator('html').inner_text()[:200]!r}")
        page.wait_for_timeout(200)


def _said(page: Any, address: str) -> str:
    """What the portal's own page there says; a job that was ended a moment ago may still answer."""

    def looked() -> bool:
        page.goto(address)
        return page.locator("main p").count() > 0

    until(looked, f"the portal's own page at {address}")
    return str(page.locator("main p").first.inner_text())


def _write(file: Path, text: str, mode: int, account: Any) -> None:
    file.write_text(text)
    os.chown(file, account.uid, account.gid)
    file.chmod(mode)


def _fill_home(lab: Lab) -> None:
    alice = lab.accounts["alice"]
    script = 'mkdir -p www/playground runs; cd www; echo "page of alice" >index.html; cd playground; '
    script += 'echo "playground of alice" >index.html'
    lab.accounts.run_as("alice", ["sh", "-ec", script], cwd=alice.home).wait()


def _make_folder(lab: Lab) -> None:
    """The folder where scripts expect it, for this run."""
    if FOLDER.exists():
        raise NotHeld(f"{FOLDER} is there already: this is no machine for this test")
    made = [path for path in (FOLDER.parent, FOLDER) if not path.exists()]
    FOLDER.mkdir(parents=True)
    FOLDER.chmod(0o1777)

    def remove() -> None:
        for file in FOLDER.iterdir():
            file.unlink()
        for path in reversed(made):
            path.rmdir()

    lab.at_end(remove)
