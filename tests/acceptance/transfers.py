"""Transfers: rclone syncs both ways with checks and times, 2 GB interrupted and resumed, ownCloud's chunks, cadaver."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from lab.portal import ROOT, until

from tests.acceptance.lab_of import Lab
from tests.acceptance.mounts import rclone_of, trusted_by_the_system
from tests.acceptance.site_of import PasswordSite, password_of

_LARGE = 2 * 1024**3
_CADAVER = """
mkcol made
cd made
put {file} one.txt
copy one.txt two.txt
move two.txt three.txt
ls
lock three.txt
unlock three.txt
propset one.txt colour green
propget one.txt colour
get one.txt {folder}/got.txt
delete one.txt
delete three.txt
cd ..
rmcol made
quit
"""


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = PasswordSite(lab)
    home = lab.accounts["alice"].home
    _sync(lab, site, home)
    _resume(lab, site, home)
    _chunks(lab, site, home)
    _cadaver(lab, site)


def _sync(lab: Lab, site: PasswordSite, home: Path) -> None:
    source, back = lab.folder / "source", lab.folder / "back"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    shutil.rmtree(source / ".git")
    (source / "names").mkdir()
    for name in ("a b.txt", "é.txt", "100%.txt", "#hash.txt", "?ask.txt", "plus+and&.txt", "日本.txt"):
        (source / "names" / name).write_text(name)
    rclone = rclone_of(lab, site, "alice")

    def do(*words: str) -> str:
        done = subprocess.run([*rclone, *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"rclone {words}: {done.stderr[-800:]}")
        return done.stdout + done.stderr

    do("sync", str(source), "p:rclone")
    do("check", str(source), "p:rclone")
    do("check", "--download", str(source), "p:rclone")
    lab.saw("rclone sync to the portal; check by hashes, check by content")
    said = do("check", "--combined", "-", str(source), "p:rclone")
    lab.holds("* " not in said and "ERROR" not in said, "nothing differs")
    files = [one for one in source.rglob("*") if one.is_file()]
    theirs = [home / "rclone" / one.relative_to(source) for one in files]
    kept = all(int(a.stat().st_mtime) == int(b.stat().st_mtime) for a, b in zip(files, theirs, strict=True))
    lab.holds(kept, f"the times of {len(files)} files are kept")
    again = do("sync", "-v", str(source), "p:rclone")
    lab.holds(
        "Transferred:            0 B" in again or "There was nothing to transfer" in again, "a second sync does nothing"
    )
    (home / "rclone/README.md").write_text("changed on the cluster")
    (home / "rclone/names/é.txt").unlink()
    do("sync", "p:rclone", str(back))
    do("check", "p:rclone", str(back))
    lab.holds((back / "README.md").read_text() == "changed on the cluster", "and back, with what changed there")
    lab.holds(not (back / "names/é.txt").exists(), "without what was removed there")
    about = do("about", "p:")
    lab.holds("Free:" in about, "rclone about tells the room")


def _resume(lab: Lab, site: PasswordSite, home: Path) -> None:
    large = lab.folder / "large"
    block = os.urandom(1 << 20)
    with large.open("wb") as file:
        for number in range(_LARGE >> 20):
            file.write(number.to_bytes(8, "big") + block[8:])
    (home / "large").write_text("the old one")
    shutil.chown(home / "large", "alice", "alice")
    curl, url = site.of("alice"), f"{site.dav}/~/large"
    begin = ["--upload-file", str(large), "-H", f"Content-Range: bytes 0-{_LARGE - 1}/{_LARGE}", "--limit-rate", "300M"]
    upload = curl.start(url, *begin)
    litter = home.glob(".large.*.part")
    until(
        lambda: sum(one.stat().st_size for one in home.glob(".large.*.part")) > _LARGE // 3, "a third of it", within=60
    )
    upload.kill()
    upload.wait()
    lab.holds((home / "large").read_text() == "the old one", "a 2 GB upload is broken off: the old file is whole")

    def ask() -> Any:
        return curl(url, "--request", "PUT", "-H", f"Content-Range: bytes */{_LARGE}", data=b"", follow=False)

    until(lambda: ask().status == 202, "the end of the broken one")
    there = int(ask().field("Upload-Offset") or 0)
    lab.holds(_LARGE // 3 < there < _LARGE, f"the portal has {there / 1e6:.0f} MB of it")
    rest = curl(url, "-C", str(there), "--upload-file", str(large), "--max-time", "120", follow=False)
    lab.holds(rest.status in (201, 204), "curl -C goes on from there")
    same = subprocess.run(["cmp", str(large), str(home / "large")], check=False).returncode == 0
    lab.holds(same, "the file is whole, byte by byte")
    lab.holds(not list(home.glob(".large.*.part")) and not list(litter), "and nothing else is left")
    down = lab.folder / "down"
    download = curl.start(url, "--output", str(down), "--limit-rate", "400M")
    until(lambda: down.exists() and down.stat().st_size > _LARGE // 4, "a quarter of it", within=60)
    download.kill()
    download.wait()
    had = down.stat().st_size
    got = curl(url, "-C", "-", "--output", str(down), "--max-time", "120", follow=False)
    lab.holds(got.status == 206, f"a download is broken off at {had / 1e6:.0f} MB and resumed")
    lab.holds(subprocess.run(["cmp", str(large), str(down)], check=False).returncode == 0, "it is whole")
    for one in (large, down, home / "large"):
        one.unlink()


def _chunks(lab: Lab, site: PasswordSite, home: Path) -> None:
    """As Nextcloud's clients send it, and rclone's newer versions."""
    curl, folder = site.of("alice"), f"{site.dav}/uploads/alice/web-file-upload-4711"
    pieces = [os.urandom(700_000), os.urandom(700_000), os.urandom(123)]
    whole = b"".join(pieces)
    lab.holds(curl(folder, "--request", "MKCOL", follow=False).status == 201, "a folder for chunks")
    for number, piece in enumerate(pieces, 1):
        answer = curl(f"{folder}/{number:05d}", "--request", "PUT", data=piece, follow=False)
        if answer.status != 201:
            raise RuntimeError(repr(answer))
    fields = ["-H", f"Destination: {site.dav}/files/alice/chunked.bin", "-H", f"OC-Total-Length: {len(whole)}"]
    fields += ["-H", "X-OC-Mtime: 1600000000", "-H", f"OC-Checksum: SHA1:{hashlib.sha1(whole).hexdigest()}"]
    answer = curl(f"{folder}/.file", "--request", "MOVE", *fields, follow=False)
    lab.holds(answer.status == 201, "three chunks are put together")
    lab.holds((home / "chunked.bin").read_bytes() == whole, "they are the file")
    lab.holds(int((home / "chunked.bin").stat().st_mtime) == 1_600_000_000, "its time is the client's")
    lab.holds(curl(folder, "--request", "PROPFIND", "-H", "Depth: 0", follow=False).status == 404, "the folder is gone")


def _cadaver(lab: Lab, site: PasswordSite) -> None:
    trusted_by_the_system(lab, site.ca)
    folder = lab.folder / "cadaver"
    folder.mkdir()
    (folder / "file").write_text("by cadaver")
    (folder / ".netrc").write_text(f"machine localhost\nlogin alice\npassword {password_of('alice')}\n")
    (folder / ".netrc").chmod(0o600)
    said = _CADAVER.format(file=folder / "file", folder=folder)
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    argv = ["cadaver", f"{site.dav}/~/"]
    done = subprocess.run(argv, input=said, env=environment, capture_output=True, text=True, cwd=folder)
    lab.holds(done.stdout.count("succeeded") >= 11, f"cadaver: {done.stdout.count('succeeded')} commands succeeded")
    lab.holds("failed" not in done.stdout and "green" in done.stdout, "none failed, and the property is kept")
    lab.holds((folder / "got.txt").read_text() == "by cadaver", "what it got is what it put")
