"""The home mounted as a drive: rclone mount (cp, edit, git, rsync), davfs2, and gvfs, through the portal over TLS."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.portal import ROOT, until
from lab.processes import free_port

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import PasswordSite, password_of

_GVFS = """
set -e
printf '%s\\n' "$PASSWORD" | gio mount "$URL"
gio list "$URL"
printf 'by gvfs' > "$WORK/source"
gio copy "$WORK/source" "$URL/gvfs.txt"
gio cat "$URL/gvfs.txt"
gio rename "$URL/gvfs.txt" renamed.txt
gio remove "$URL/renamed.txt"
gio mount -u "$URL"
"""


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = PasswordSite(lab)
    home = lab.accounts["alice"].home
    source = lab.folder / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    _rclone(lab, site, source, home)
    _davfs(lab, site, home)
    _gvfs(lab, site, home)


def rclone_of(lab: Lab, site: PasswordSite, login: str, path: str = "/~/") -> list[str]:
    """rclone with a remote ``p:``, somebody's home at the portal."""
    obscured = subprocess.run(
        ["rclone", "obscure", password_of(login)], capture_output=True, text=True, check=True
    ).stdout.strip()
    file = lab.folder / f"rclone-{login}.conf"
    file.write_text(
        f"[p]\ntype = webdav\nurl = {site.dav}{path}\nvendor = owncloud\nuser = {login}\npass = {obscured}\n"
    )
    return ["rclone", "--config", str(file), "--ca-cert", str(site.ca), "--cache-dir", str(lab.folder / "rclone-cache")]


@contextmanager
def mounted(lab: Lab, command: list[str]) -> Iterator[tuple[Path, Callable[[], Any]]]:
    """rclone's mount, and what it says about uploads that are still to be done."""
    at, port = lab.folder / "mnt", free_port()
    at.mkdir()
    control = ["--rc", "--rc-no-auth", "--rc-addr", f"127.0.0.1:{port}"]
    cache = ["--vfs-cache-mode", "writes", "--vfs-write-back", "1s", "--dir-cache-time", "1s"]
    process = lab.processes.start([*command, "mount", "p:", str(at), *cache, *control])

    def waiting() -> bool:
        argv = ["rclone", "rc", "--rc-addr", f"127.0.0.1:{port}", "vfs/stats"]
        told = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)["diskCache"]
        return bool(told["uploadsInProgress"] or told["uploadsQueued"])

    until(lambda: os.path.ismount(at) or process.poll() is not None, "the mount", within=20)
    try:
        yield at, waiting
    finally:
        subprocess.run(["umount", str(at)], check=False)
        process.wait(20)


def _rclone(lab: Lab, site: PasswordSite, source: Path, home: Path) -> None:
    with mounted(lab, rclone_of(lab, site, "alice")) as (at, waiting):
        copied = subprocess.run(["cp", "-a", f"{source}/supercloud", f"{at}/tree"], capture_output=True, text=True)
        # rclone answers the setting of access lists with EIO, on a local folder too; cp goes on, and says so.
        complaints = [line for line in copied.stderr.splitlines() if "preserving permissions" not in line]
        lab.holds(not complaints, f"cp -a onto the mount {complaints or ''}")
        with (at / "tree/errors.py").open("r+b") as file:
            file.seek(10)
            file.write(b"EDITED IN PLACE")
        subprocess.run(["git", "clone", "-q", str(source), str(at / "repo")], check=True)
        status = subprocess.run(["git", "status", "--short"], cwd=at / "repo", capture_output=True, check=True)
        lab.holds(not status.stdout, "git clone onto the mount; git status finds nothing changed")
        argv = ["rsync", "-r", "--times", f"{source}/tests/", f"{at}/synced/"]
        subprocess.run(argv, check=True)
        (at / "tree/renamed").mkdir()
        (at / "tree/events.py").rename(at / "tree/renamed/events.py")
        (at / "tree/accounts.py").unlink()
        until(lambda: not waiting(), "all uploads", within=120)
    lab.saw("copied, edited in place, cloned, synchronized, renamed, removed, unmounted")
    expected = lab.folder / "expected"
    shutil.copytree(source / "supercloud", expected)
    with (expected / "errors.py").open("r+b") as file:
        file.seek(10)
        file.write(b"EDITED IN PLACE")
    (expected / "renamed").mkdir()
    (expected / "events.py").rename(expected / "renamed/events.py")
    (expected / "accounts.py").unlink()
    lab.holds(_same(expected, home / "tree"), "the copied tree is what it must be, byte by byte")
    lab.holds(_same(source / "tests", home / "synced"), "the synchronized one, too")
    times = [(one, home / "synced" / one.relative_to(source / "tests")) for one in (source / "tests").rglob("*.py")]
    kept = all(int(a.stat().st_mtime) == int(b.stat().st_mtime) for a, b in times)
    lab.holds(kept, f"the times of {len(times)} files are kept")
    check = ["git", "-c", "safe.directory=*", "fsck", "--full", "--strict"]
    done = subprocess.run(check, cwd=home / "repo", capture_output=True, text=True)
    lab.holds(done.returncode == 0, "git fsck finds the clone whole, on the cluster's side")
    owners = {one.stat().st_uid for one in (home / "repo").rglob("*")}
    lab.holds(owners == {lab.accounts["alice"].uid}, "every file is alice's")


def _davfs(lab: Lab, site: PasswordSite, home: Path) -> None:
    at = lab.folder / "davfs"
    at.mkdir()
    url = f"{site.dav}/~/"
    secrets, conf = lab.folder / "davfs-secrets", lab.folder / "davfs.conf"
    secrets.write_text(f"{url} alice {password_of('alice')}\n")
    secrets.chmod(0o600)
    conf.write_text(f"secrets {secrets}\ntrust_ca_cert {site.ca}\nask_auth 0\n")
    argv = ["mount.davfs", url, str(at), "-o", f"conf={conf},uid=root,gid=root"]
    done = subprocess.run(argv, capture_output=True, text=True, input="")
    lab.holds(done.returncode == 0, f"davfs2 mounts {done.stderr}")
    try:
        (at / "davfs.txt").write_text("by davfs2")
        (at / "folder").mkdir()
        (at / "davfs.txt").rename(at / "folder/renamed.txt")
        lab.holds((at / "folder/renamed.txt").stat().st_size == 9, "davfs2: written, renamed, its size is right")
        lab.holds((at / "folder/renamed.txt").read_text() == "by davfs2", "and read again")
    finally:
        subprocess.run(["umount", str(at)], check=True, capture_output=True)
    lab.holds((home / "folder/renamed.txt").read_text() == "by davfs2", "it is there after unmounting")


def _gvfs(lab: Lab, site: PasswordSite, home: Path) -> None:
    trusted_by_the_system(lab, site.ca)
    work = lab.folder / "gvfs"
    work.mkdir()
    place = site.dav.removeprefix("https://")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(work),
        "XDG_RUNTIME_DIR": str(work),
        "URL": f"davs://alice@{place}/~",
        "PASSWORD": password_of("alice"),
        "WORK": str(work),
        "LANG": "C.UTF-8",
    }
    (home / "seen-by-gvfs").touch()
    argv = ["timeout", "60", "dbus-run-session", "--", "bash", "-c", _GVFS]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    if done.returncode:
        lab.saw(done.stderr[-800:])
    lab.holds(done.returncode == 0, "gvfs: mounted, listed, copied, read, renamed, removed")
    lab.holds("seen-by-gvfs" in done.stdout and "by gvfs" in done.stdout, "what it listed and read is right")
    lab.holds(not (home / "renamed.txt").exists(), "what it removed is gone")


def trusted_by_the_system(lab: Lab, ca: Path) -> None:
    """Some clients trust what the system trusts, so an authority is made known to it until the test ends."""
    trusted = Path("/usr/local/share/ca-certificates/supercloud-acceptance.crt")
    trusted.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ca, trusted)

    def forget() -> None:
        trusted.unlink(missing_ok=True)
        subprocess.run(["update-ca-certificates", "--fresh"], check=True, capture_output=True)

    lab.at_end(forget)
    subprocess.run(["update-ca-certificates"], check=True, capture_output=True)


def _same(left: Path, right: Path) -> bool:
    compared = filecmp.dircmp(left, right, ignore=["__pycache__"])
    return _equal(compared)


def _equal(compared: Any) -> bool:
    if compared.left_only or compared.right_only or compared.funny_files:
        return False
    _, different, wrong = filecmp.cmpfiles(compared.left, compared.right, compared.common_files, shallow=False)
    return not different and not wrong and all(map(_equal, compared.subdirs.values()))
