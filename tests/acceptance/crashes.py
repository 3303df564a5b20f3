"""Worker, front or monitor killed in the middle of an upload, a disk full, a quota used up: the old file is whole."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.portal import Curl, until

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

_SIZE = 1 << 30


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = LocalSite(lab, "localhost")
    big = lab.folder / "big"
    with big.open("wb") as file:
        file.truncate(_SIZE)
    _killed(lab, site, big)
    _full(lab, site)


def _killed(lab: Lab, site: LocalSite, big: Path) -> None:
    alice = lab.accounts["alice"]
    target = alice.home / "results.bin"
    target.write_bytes(b"the old results")
    os.chown(target, alice.uid, alice.gid)
    for what, name in (("worker", "sc-worker"), ("front", ""), ("monitor", "sc-monitor")):
        upload = site.of("alice").start(
            f"{site.url}/dav/~/results.bin", "--upload-file", str(big), "--limit-rate", "80M", "-w", "%{http_code}"
        )
        worker = until(lambda: _below(site.portal.process.pid).get("sc-worker"), "the worker")
        until(lambda at=worker: _written(at) > _SIZE // 8, "an eighth of it", within=60)
        victim = site.portal.process.pid if not name else _below(site.portal.process.pid)[name]
        os.kill(victim, signal.SIGKILL)
        said, _ = upload.communicate(timeout=60)
        saw = said[-3:].decode() if said[-3:] >= b"500" else f"the connection's end ({upload.returncode})"
        lab.holds(said[-3:] >= b"500" or upload.returncode, f"{what} killed in the middle of 1 GB: curl sees {saw}")
        lab.holds(target.read_bytes() == b"the old results", "the old file is whole")
        if what != "worker":
            site.portal.process.wait(20)
            until(lambda at=worker: not _is_alive(at), "the worker's end")
            site.begin()
        read = site.of("alice")(f"{site.url}/dav/~/results.bin", follow=False)
        lab.holds(read.status == 200 and read.body == b"the old results", "and read through the portal again")
        written = site.of("alice")(f"{site.url}/dav/~/after-{what}", "--request", "PUT", data=b"x", follow=False)
        lab.holds(written.status == 201, "which takes uploads again")
        left = [one.name for one in alice.home.iterdir() if "results" in one.name]
        lab.holds(left == ["results.bin"], "nothing is left beside it")


def _full(lab: Lab, site: LocalSite) -> None:
    curl = site.of("alice")
    with _mounted(lab, ["mount", "-t", "tmpfs", "-o", "size=8m,mode=1777", "tmpfs"]) as folder:
        _overfull(lab, site, curl, folder, "a full disk")
    image = lab.folder / "btrfs"
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, capture_output=True)

    def limit(at: Path) -> Path:
        home = at / "limited"
        for argv in (
            ["quota", "enable", str(at)],
            ["subvolume", "create", str(home)],
            ["qgroup", "limit", "8M", str(home)],
        ):
            subprocess.run(["btrfs", *argv], check=True, capture_output=True)
        home.chmod(0o1777)
        return home

    with _mounted(lab, ["mount", "-o", "loop", str(image)]) as at:
        _overfull(lab, site, curl, limit(at), "a used-up quota")


def _overfull(lab: Lab, site: LocalSite, curl: Curl, folder: Path, what: str) -> None:
    """16 MB into a place for 8, announced and not."""
    url, data = f"{site.url}/dav{folder}/kept.bin", os.urandom(16 << 20)
    lab.holds(curl(url, "--request", "PUT", data=b"the old", follow=False).status == 201, f"{what}: a small file fits")
    for how in ([], ["-H", "Transfer-Encoding: chunked"]):
        answer = curl(url, "--request", "PUT", *how, data=data, follow=False)
        text = answer.text.strip().splitlines()[0] if answer.body else ""
        lab.holds(answer.status == 507, f"16 MB{' in chunks' if how else ''}: 507, {text!r}")
        lab.holds((folder / "kept.bin").read_bytes() == b"the old", "the old file is whole")
        lab.holds([one.name for one in folder.iterdir()] == ["kept.bin"], "nothing is left beside it")


@contextmanager
def _mounted(lab: Lab, argv: list[str]) -> Iterator[Path]:
    at = lab.folder / f"full-{len(list(lab.folder.glob('full-*')))}"
    at.mkdir()
    subprocess.run([*argv, str(at)], check=True, capture_output=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def _below(pid: int) -> dict[str, int]:
    """Descendants by name; each name is there once."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            found[Path(f"/proc/{child}/comm").read_text().strip()] = int(child)
            found |= _below(int(child))
        except FileNotFoundError:
            continue
    return found


def _written(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
