"""What alice can do over /dav/ is what she can by ssh: each operation is done both ways, and compared."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.portal import Curl, until

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

_ATTRIBUTES = ("system.posix_acl_access", "system.posix_acl_default")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; ``{at}`` in its fields is the folder's address."""

    method: str
    name: str
    fields: tuple[str, ...] = ()
    body: str | None = None


def put(name: str, body: str = "new") -> Ask:
    return Ask("PUT", name, body=body)


def move(name: str, to: str, *, over: bool = True) -> Ask:
    return Ask("MOVE", name, (f"Destination: {{at}}/{to}", f"Overwrite: {'T' if over else 'F'}"))


def copy(name: str, to: str) -> Ask:
    return Ask("COPY", name, (f"Destination: {{at}}/{to}",))


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing done in two ways.

    :ivar before: shell, as root, in the folder, whose owner is alice.
    :ivar ssh: shell, as alice, in the folder.
    """

    name: str
    before: str
    ask: Ask
    ssh: str


def _operations() -> Iterable[Operation]:
    yield from _reading()
    yield from _writing()
    yield from _folders()
    yield from _removing()
    yield from _moving()
    yield from _copying()


_HERS = "echo old > f; chown alice:alice f; "
_HIS_FOLDER = "mkdir d; chown bob:bob d; "


def _reading() -> Iterable[Operation]:
    get, cat = Ask("GET", "f"), "cat f"
    for name, before in (
        ("read her own 0600 file", f"{_HERS} chmod 600 f"),
        ("read her own 0000 file", f"{_HERS} chmod 0 f"),
        ("read bob's 0600 file", "echo his > f; chown bob:bob f; chmod 600 f"),
        ("read bob's 0644 file", "echo his > f; chown bob:bob f; chmod 644 f"),
        ("read a 0640 file of her group's", "echo ours > f; chown bob:proj f; chmod 640 f"),
        ("read a 0604 file of her group's", "echo ours > f; chown bob:proj f; chmod 604 f"),
        ("read root's 0600 file", "echo roots > f; chmod 600 f"),
        ("read root's 0644 file", "echo roots > f; chmod 644 f"),
        ("read what an access list gives her", "echo his > f; chown bob:bob f; chmod 600 f; setfacl -m u:alice:r f"),
        ("read what an access list takes from her", "echo his > f; chmod 644 f; setfacl -m u:alice:--- f"),
        ("read what an access list's mask hides", "echo his > f; chmod 600 f; setfacl -m u:alice:r,m::--- f"),
        ("read through a link", "echo old > g; chmod 644 g; ln -s g f"),
        ("read through a link to what is not hers", "echo roots > g; chmod 600 g; ln -s g f"),
        ("read through a link to nothing", "ln -s nowhere f"),
        ("read through a link to itself", "ln -s f f"),
    ):
        yield Operation(name, before, get, cat)
    in_folder = Ask("GET", "d/f")
    for name, before in (
        ("read in a folder that only lets through", f"{_HIS_FOLDER} echo x > d/f; chmod 644 d/f; chmod 711 d"),
        ("read in bob's 0700 folder", f"{_HIS_FOLDER} echo x > d/f; chmod 644 d/f; chmod 700 d"),
        ("read in a folder of her group's", f"{_HIS_FOLDER} echo x > d/f; chgrp proj d; chmod 750 d; chmod 644 d/f"),
    ):
        yield Operation(name, before, in_folder, "cat d/f")
    listing = Ask("PROPFIND", "d", ("Depth: 1",))
    for name, mode in (
        ("list bob's 0755 folder", 755),
        ("list bob's 0711 folder", 711),
        ("list bob's 0700 folder", 700),
    ):
        yield Operation(name, f"{_HIS_FOLDER} touch d/f; chmod {mode} d", listing, "ls d")
    yield Operation("list an own folder without r", "mkdir -m 300 d; chown alice:alice d", listing, "ls d")


def _writing() -> Iterable[Operation]:
    new, write = put("d/f"), "printf new > d/f"
    for name, before in (
        ("write into her own folder", "mkdir d; chown alice:alice d"),
        ("write into her own 0555 folder", "mkdir -m 555 d; chown alice:alice d"),
        ("write into bob's folder", _HIS_FOLDER),
        ("write into root's folder", "mkdir d"),
        ("write into a folder for everybody", "mkdir d; chmod 1777 d"),
        ("write into a project's folder", "mkdir d; chgrp proj d; chmod 2770 d"),
        ("write into a project's folder without setgid", "mkdir d; chgrp proj d; chmod 770 d"),
        ("write into a folder with a default access list", "mkdir d; chown alice d; setfacl -dm g:proj:rwx,o::- d"),
        ("write where an access list lets her", "mkdir d; setfacl -m u:alice:rwx d"),
        ("write where an access list does not let her", "mkdir d; chmod 777 d; setfacl -m u:alice:r-x d"),
        ("write into a folder that is not there", "true"),
    ):
        yield Operation(name, before, new, write)
    old, over = put("f"), "printf new > f"
    for name, before in (
        ("replace her own file", _HERS),
        ("replace her own 0444 file", f"{_HERS} chmod 444 f"),
        ("replace her own 0755 file", f"{_HERS} chmod 755 f"),
        ("replace her own 0600 file", f"{_HERS} chmod 600 f"),
        ("replace a file of hers in another group", f"{_HERS} chgrp proj f; chmod 664 f"),
        ("replace a file with an access list", f"{_HERS} setfacl -m u:bob:rw f"),
        ("replace a file with attributes", f"{_HERS} setfattr -n user.note -v kept f"),
        ("replace a setuid file of hers", f"{_HERS} chmod 4755 f"),
        ("replace bob's 0666 file", "echo his > f; chown bob:bob f; chmod 666 f"),
        ("replace bob's 0644 file", "echo his > f; chown bob:bob f; chmod 644 f"),
        ("replace bob's file that their group may write", "echo his > f; chown bob:proj f; chmod 664 f"),
        ("replace root's 0666 file", "echo roots > f; chmod 666 f"),
        ("replace root's file by an access list", "echo roots > f; chmod 600 f; setfacl -m u:alice:rw f"),
        ("replace through a link", f"{_HERS} mv f g; ln -s g f"),
        ("replace through a link to what is not hers", "echo roots > g; chmod 644 g; ln -s g f"),
        ("write through a link to nothing", "ln -s g f; chown -h alice f"),
        ("replace a folder by a file", "mkdir f; chown alice:alice f"),
    ):
        yield Operation(name, before, old, over)
    yield Operation("replace one of two names of a file", f"{_HERS} ln f g", old, over)
    yield Operation(
        "replace a file in a folder where she makes none", "mkdir d; echo x > d/f; chown alice d/f", new, write
    )


def _folders() -> Iterable[Operation]:
    ask, ssh = Ask("MKCOL", "d/n"), "mkdir d/n"
    for name, before in (
        ("make a folder in her own", "mkdir d; chown alice:alice d"),
        ("make a folder in bob's", _HIS_FOLDER),
        ("make a folder in a project's", "mkdir d; chgrp proj d; chmod 2770 d"),
        ("make a folder under a default access list", "mkdir d; chown alice d; setfacl -dm g:proj:rwx d"),
        ("make a folder that is there", "mkdir -p d/n; chown -R alice:alice d"),
        ("make a folder in none", "true"),
    ):
        yield Operation(name, before, ask, ssh)


def _removing() -> Iterable[Operation]:
    file, folder = (Ask("DELETE", "d/f"), "rm -f d/f && ! test -e d/f"), (Ask("DELETE", "d"), "rm -rf d")
    for name, before, (ask, ssh) in (
        ("remove her own file", "mkdir d; echo x > d/f; chown -R alice:alice d", file),
        ("remove bob's file in her folder", "mkdir d; echo x > d/f; chown bob d/f; chown alice d", file),
        ("remove root's file in her folder", "mkdir d; echo x > d/f; chmod 600 d/f; chown alice d", file),
        ("remove her own file in bob's folder", f"{_HIS_FOLDER} echo x > d/f; chown alice d/f", file),
        ("remove her own file in a sticky folder", "mkdir d; chmod 1777 d; echo x > d/f; chown alice d/f", file),
        ("remove bob's file in a sticky folder", "mkdir d; chmod 1777 d; echo x > d/f; chown bob d/f", file),
        ("remove bob's file in a project's folder", "mkdir d; chgrp proj d; chmod 2770 d; echo x > d/f", file),
        ("remove a link and not what it leads to", "mkdir d g; ln -s ../g d/f; chown -hR alice d; touch g/kept", file),
        ("remove a tree", "mkdir -p d/e/g; touch d/e/g/f; chown -R alice:alice d", folder),
        (
            "remove a tree with bob's full folder",
            "mkdir -p d/e; touch d/e/f d/f; chown -R alice d; chown bob d/e",
            folder,
        ),
        ("remove a tree with bob's empty folder", "mkdir -p d/e; chown alice d; chown bob d/e", folder),
        ("remove root's folder", "mkdir d; touch d/f", folder),
    ):
        yield Operation(name, before, ask, ssh)


def _moving() -> Iterable[Operation]:
    for name, before, ask, ssh in (
        ("rename her own file", _HERS, move("f", "g"), "mv -T f g"),
        ("rename over another", f"{_HERS} echo x > g; chown alice g", move("f", "g"), "mv -fT f g"),
        ("rename over nothing only", f"{_HERS} echo x > g; chown alice g", move("f", "g", over=False), "! true"),
        ("move into bob's folder", f"{_HERS} {_HIS_FOLDER}", move("f", "d/f"), "mv -T f d/f"),
        ("move out of bob's folder", f"{_HIS_FOLDER} touch d/f; chown alice d/f", move("d/f", "f"), "mv -T d/f f"),
        (
            "move bob's file in a sticky folder",
            "mkdir d; chmod 1777 d; touch d/f; chown bob d/f",
            move("d/f", "d/g"),
            "mv -T d/f d/g",
        ),
        # What is moved there is meant for the project: a file that keeps the private group is of no use to the others.
        (
            "move into a project's folder",
            f"{_HERS} mkdir d; chgrp proj d; chmod 2770 d",
            move("f", "d/f"),
            "mv -T f d/f && chgrp proj d/f",
        ),
        ("move a tree", "mkdir -p d/e; touch d/e/f; chown -R alice:alice d", move("d", "g"), "mv -T d g"),
    ):
        yield Operation(name, before, ask, ssh)


def _copying() -> Iterable[Operation]:
    like = "cp -rPT --preserve=mode,timestamps"
    for name, before, ask, ssh in (
        ("copy her own file", f"{_HERS} chmod 640 f", copy("f", "g"), f"{like} f g"),
        ("copy bob's readable file", "touch f; chown bob f; chmod 644 f", copy("f", "g"), f"{like} f g"),
        ("copy bob's unreadable file", "touch f; chown bob f; chmod 600 f", copy("f", "g"), f"{like} f g"),
        ("copy into bob's folder", f"{_HERS} {_HIS_FOLDER}", copy("f", "d/f"), f"{like} f d/f"),
        (
            "copy into a project's folder",
            f"{_HERS} mkdir d; chgrp proj d; chmod 2770 d",
            copy("f", "d/f"),
            f"{like} f d/f",
        ),
        ("copy a tree", "mkdir -p d/e; echo x > d/e/f; chown -R alice:alice d", copy("d", "g"), f"{like} d g"),
        (
            "copy a tree with an unreadable member",
            "mkdir d; echo x > d/f; echo y > d/g; chmod 600 d/g; chmod 644 d/f; chown alice d",
            copy("d", "e"),
            f"{like} d e",
        ),
        ("copy a setuid file", f"{_HERS} chmod 4755 f", copy("f", "g"), f"{like} f g && chmod u-s g"),
    ):
        yield Operation(name, before, ask, ssh)


def run(lab: Lab) -> None:
    """See the module's first line."""
    for tool in ("setfacl", "setfattr"):
        lab.holds(shutil.which(tool), f"{tool} is there")
    site = LocalSite(lab, "localhost")
    curl = site.of("alice")
    operations = list(_operations())
    different = []
    for operation in operations:
        if why := _compare(lab, site, curl, operation):
            different.append(f"{operation.name}: {why}")
    for one in different:
        lab.saw(f"DIFFERENT: {one}")
    lab.holds(not different, f"{len(operations)} operations, each with the same outcome and the same files as by ssh")
    lab.holds(len(operations) >= 60, "at least sixty")
    _changes(lab, site, curl)


def _changes(lab: Lab, site: LocalSite, curl: Curl) -> None:
    """What changes in the account database holds for the worker that runs already, within half a minute."""
    group, gid = "supercloud-late", 20199
    file = lab.folder / "late"
    file.write_text("for the late group")
    subprocess.run(["groupadd", "-g", str(gid), group], check=True)
    lab.at_end(lambda: subprocess.run(["groupdel", "-f", group], check=False))
    os.chown(file, 0, gid)
    file.chmod(0o640)

    def status() -> int:
        return curl(f"{site.url}/dav{file}", follow=False).status

    lab.holds(status() == 403, "a file of a group that alice is not in is refused")
    subprocess.run(["usermod", "-aG", group, "alice"], check=True)
    took = _seconds_until(lambda: status() == 200)
    lab.holds(took < 30, f"she joins the group: it opens {took:.0f} s later, without signing in again")
    subprocess.run(["gpasswd", "-d", "alice", group], check=True, capture_output=True)
    took = _seconds_until(lambda: status() == 403)
    lab.holds(took < 30, f"she leaves it: it is closed {took:.0f} s later")
    subprocess.run(["chage", "-E", "1", "alice"], check=True)
    lab.at_end(lambda: subprocess.run(["chage", "-E", "-1", "alice"], check=True))
    took = _seconds_until(lambda: curl(f"{site.url}/dav/~/", "--request", "PROPFIND", follow=False).status == 403)
    said = curl(f"{site.url}/dav/~/", "--request", "PROPFIND", follow=False).text.splitlines()[0]
    lab.holds(took < 30, f"her account expires: {took:.0f} s later {said!r}")


def _seconds_until(holds: Callable[[], bool]) -> float:
    began = time.monotonic()
    until(holds, "the change to count", within=40)
    return time.monotonic() - began


def _compare(lab: Lab, site: LocalSite, curl: Curl, operation: Operation) -> str:
    """What is different; empty for nothing."""
    ways: list[tuple[bool, Any, str]] = []
    for way in ("dav", "ssh"):
        folder = lab.folder / "op" / way
        shutil.rmtree(folder.parent / way, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run(["sh", "-euc", f"umask 022; {operation.before}"], cwd=folder, check=True, capture_output=True)
        alice = lab.accounts["alice"]
        os.chown(folder, alice.uid, alice.gid)
        did, said = _by_dav(site, curl, operation.ask, folder) if way == "dav" else _by_ssh(lab, operation, folder)
        ways.append((did, _tree(folder), said))
    dav, ssh = ways
    if dav[0] != ssh[0]:
        return f"dav {'did' if dav[0] else 'refused'} it ({dav[2]}), ssh {'did' if ssh[0] else 'refused'} it ({ssh[2]})"
    found = {name: (dav[1].get(name), ssh[1].get(name)) for name in sorted(dav[1].keys() | ssh[1].keys())}
    return "; ".join(f"{name}: dav {a}, ssh {b}" for name, (a, b) in found.items() if a != b)


def _by_dav(site: LocalSite, curl: Curl, ask: Ask, folder: Path) -> tuple[bool, str]:
    at = f"{site.url}/dav{folder}"
    options = ["--request", ask.method]
    for one in ask.fields:
        options += ["--header", one.format(at=at)]
    answer = curl(f"{at}/{ask.name}", *options, data=ask.body.encode() if ask.body is not None else None, follow=False)
    # 207 is a listing's answer, and that of what was done in part.
    did = answer.status == 207 if ask.method == "PROPFIND" else answer.status in (200, 201, 204)
    return did, str(answer.status)


def _by_ssh(lab: Lab, operation: Operation, folder: Path) -> tuple[bool, str]:
    argv = ["timeout", "10", "sh", "-c", f"umask 022; {operation.ssh}"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = lab.accounts.run_as("alice", argv, cwd=folder, **pipes)
    said, _ = process.communicate()
    return process.returncode == 0, said.strip()[-200:]


def _tree(folder: Path) -> dict[str, Any]:
    """Everything that is there but times: kind, mode, owner, group, number of names, attributes, content."""
    return {str(path.relative_to(folder)): _describe(path) for path in sorted(folder.rglob("*"))}


def _describe(path: Path) -> tuple[Any, ...]:
    found = path.lstat()
    kind = stat.S_IFMT(found.st_mode)
    content: Any = os.readlink(path) if stat.S_ISLNK(kind) else path.read_bytes() if stat.S_ISREG(kind) else None
    names = [] if stat.S_ISLNK(kind) else sorted(os.listxattr(path))
    attributes = {name: os.getxattr(path, name) for name in names if name in _ATTRIBUTES or name.startswith("user.")}
    links = found.st_nlink if stat.S_ISREG(kind) else 0
    return oct(found.st_mode), found.st_uid, found.st_gid, links, attributes, content
