"""A job launched, followed and cancelled from an rclone mount only; and what goes wrong, told in its status."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from lab.portal import until
from lab.processes import Processes

from tests.acceptance.cluster_of import slurm_of
from tests.acceptance.lab_of import Lab, NotHeld
from tests.acceptance.mounts import mounted, rclone_of
from tests.acceptance.site_of import PasswordSite

_JOB = """#!/bin/bash
#SBATCH --time=5
echo "on $(hostname) as $(id -un) in $PWD"
until [ -e {gate} ]; do sleep 0.2; done
echo done
"""
_FOREVER = "#!/bin/sh\n#SBATCH --time=5\nsleep 300\n"


def run(lab: Lab) -> None:
    """See the module's first line."""
    processes = Processes()
    lab.at_end(processes.stop)
    slurm = slurm_of(lab, processes)
    site = PasswordSite(lab, more='[scheduler]\nkind = "slurm"\n[workers]\nidle = "3s"\n')
    home = lab.accounts["alice"].home
    with mounted(lab, rclone_of(lab, site, "alice")) as (at, _waiting):
        box = at / "portal-jobs"
        box.mkdir()
        _followed(lab, box, home)
        _cancelled(lab, box, slurm)
        _refused(lab, box)
        _controller_down(lab, box, slurm)
        _after_the_worker(lab, box, home)
    _not_hers(lab, site, home)
    site.portal.stop()


def _told(box: Path, name: str) -> dict[str, Any]:
    """What the mount shows; nothing while rclone has not seen it."""
    try:
        return dict(json.loads((box / f"{name}.status").read_text()))
    except (OSError, ValueError):
        return {}


def _comes_to(box: Path, name: str, *states: str, within: float = 60) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        told = _told(box, name)
        return told if told.get("state") in states else None

    try:
        return until(there, f"{name} {states}", within=within)  # type: ignore[return-value]
    except Exception as error:
        raise NotHeld(f"{name} does not come to {states}, but to {_told(box, name)}") from error


def _followed(lab: Lab, box: Path, home: Path) -> None:
    begin = time.monotonic()
    (box / "first.job").write_text(_JOB.format(gate=home / "gate"))
    told = _comes_to(box, "first", "running")
    lab.saw(f"saved on the mount, it runs as job {told['job']} after {time.monotonic() - begin:.1f} s")
    lab.holds(bool(told["since"]) and told["message"] == "It runs.", f"its status says {told['message']!r}")
    expected = f"on {told['node']} as alice in {home}/portal-jobs\n"
    until(lambda: _output(box, "first") == expected, "its output")
    lab.saw(f"its output is there while it runs: {expected.strip()!r}")
    (box.parent / "gate").touch()
    told = _comes_to(box, "first", "done")
    until(lambda: _output(box, "first") == f"{expected}done\n", "the rest of its output")
    lab.saw(f"it ends, and its status says so: {told['state']}, {told['message']!r}")


def _output(box: Path, name: str) -> str:
    file = box / f"{name}.out"
    return file.read_text() if file.exists() else ""


def _cancelled(lab: Lab, box: Path, slurm: Any) -> None:
    (box / "long.job").write_text(_FOREVER)
    told = _comes_to(box, "long", "running")
    (box / "long.cancel").touch()
    _comes_to(box, "long", "cancelled")
    lab.holds(slurm.state(told["job"]) == "CANCELLED", f"an empty .cancel ends it: {slurm.state(told['job'])}")
    (box / "long.job").write_text(_FOREVER + "# once more\n")
    again = _comes_to(box, "long", "running")
    lab.holds(again["job"] != told["job"], "saved again it runs again, though the old .cancel lies there")
    (box / "long.cancel").write_text("please\n")
    _comes_to(box, "long", "cancelled")


def _refused(lab: Lab, box: Path) -> None:
    for name, text, words in (
        ("no-partition", "#!/bin/sh\n#SBATCH --partition=nowhere\ntrue\n", "invalid partition"),
        ("dos", "#!/bin/sh\r\ntrue\r\n", "DOS line breaks"),
        ("no-shebang", "true\n", "batch script"),
    ):
        (box / f"{name}.job").write_bytes(text.encode())
        told = _comes_to(box, name, "refused")
        lab.holds(words in told["message"], f"{name}: {told['message']!r}")
    (box / "fails.job").write_text("#!/bin/sh\necho oops >&2\nexit 3\n")
    told = _comes_to(box, "fails", "failed")
    until(lambda: _output(box, "fails") == "oops\n", "its output")
    lab.saw(f"one that fails: {told['message']!r}, its output beside it")


def _controller_down(lab: Lab, box: Path, slurm: Any) -> None:
    slurm.stop_daemon("slurmctld")
    (box / "later.job").write_text("#!/bin/sh\necho later\n")
    until(lambda: "does not answer" in _told(box, "later").get("message", ""), "what is said", within=90)
    told = _told(box, "later")
    lab.saw(f"slurmctld is down: {told['state']}, {told['message']!r}")
    slurm.start_controller()
    _comes_to(box, "later", "done", within=120)
    lab.saw("it is up again: the job runs, once")
    jobs = subprocess.run(["squeue", "-h", "-t", "all", "-n", "later.job", "-o", "%A"], capture_output=True, text=True)
    lab.holds(len(jobs.stdout.split()) == 1, f"{jobs.stdout.split()}")


def _after_the_worker(lab: Lab, box: Path, home: Path) -> None:
    (home / "gate").unlink(missing_ok=True)
    (box / "patient.job").write_text(_JOB.format(gate=home / "gate"))
    _comes_to(box, "patient", "running")
    uid = lab.accounts["alice"].uid
    until(lambda: not _workers(uid), "the end of alice's unused worker", within=60)
    (home / "gate").touch()
    time.sleep(2)
    _comes_to(box, "patient", "done")
    lab.saw("while nobody looked her worker ended; the next one tells how the job ended")


def _workers(uid: int) -> list[str]:
    done = subprocess.run(["ps", "-o", "comm=", "-u", str(uid)], capture_output=True, text=True)
    return [one for one in done.stdout.split() if one == "sc-worker"]


def _not_hers(lab: Lab, site: PasswordSite, home: Path) -> None:
    """Somebody else puts files into a folder that she opened to everybody."""
    box = home / "portal-jobs"
    box.chmod(0o777)
    home.chmod(0o755)
    (box / "long.job").unlink()
    before = _jobs_of("alice")
    bob = rclone_of(lab, site, "bob", str(box))
    _copy(lab, bob, "p:trap.job", "#!/bin/sh\nid\n")
    _copy(lab, bob, "p:first.cancel", "x")
    hers = rclone_of(lab, site, "alice", str(box))
    listed = subprocess.run([*hers, "lsf", "p:"], capture_output=True, text=True, check=True).stdout
    lab.holds("trap.job" in listed and "trap.status" not in listed, "bob's file in alice's folder runs nothing")
    lab.holds((_jobs_of("alice"), _jobs_of("bob")) == (before, 0), "no job is there that was not: neither hers nor his")
    status = (box / "trap.job").stat()
    lab.holds(status.st_uid == lab.accounts["bob"].uid, "it was bob's worker that wrote it")
    done = subprocess.run([*hers, "moveto", "p:trap.job", "p:taken.job"], capture_output=True, text=True)
    told = json.loads((box / "taken.status").read_text()) if (box / "taken.status").exists() else {}
    lab.holds(
        done.returncode == 0 and told.get("state") == "refused" and _jobs_of("alice") == before,
        f"renamed by her it is still his, and refused: {told.get('message')!r}",
    )


def _jobs_of(login: str) -> int:
    argv = ["squeue", "-h", "-t", "all", "-u", login, "-o", "%A"]
    return len(subprocess.run(argv, capture_output=True, text=True).stdout.split())


def _copy(lab: Lab, rclone: list[str], to: str, text: str) -> None:
    file = lab.folder / "copied"
    file.write_text(text)
    subprocess.run([*rclone, "copyto", str(file), to], check=True, capture_output=True)
