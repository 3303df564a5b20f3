"""Real accounts: alice, bob, carol and dave; alice and bob are in the group proj."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.processes import Processes, enter

LOGINS = {"alice": 20001, "bob": 20002, "carol": 20003, "dave": 20004}
PROJ = "proj"
PROJ_GID = 20100
MEMBERS = ("alice", "bob")
# In the account's comment field: this one was made by tests, so a later run may remove it after a crash.
_MARK = "supercloud-tests"
_PRIVATE = "erin"
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Account:
    """One account; ``gid`` is its user private group."""

    login: str
    uid: int
    gid: int
    home: Path


class Accounts:
    """The accounts by login, and a way to run as one of them."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._by_login = {login: _account(login) for login in LOGINS}

    def __getitem__(self, login: str) -> Account:
        return self._by_login[login]

    def run_as(
        self,
        login: str,
        argv: list[str],
        *,
        node: str | None = None,
        gid: str | None = None,
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> subprocess.Popen[Any]:
        """Start ``argv`` as ``login``, in its home, with a clean environment; it is ended when the tests end.

        :param node: where; ``None`` is this host.
        :param gid: name of a group to run under, as ``sg`` does it: the account's own stays a supplementary one.
        :param env: on top of the clean environment.
        """
        account = self[login]
        groups = ["--init-groups"]
        if gid is not None:
            groups = ["--groups", ",".join(map(str, os.getgrouplist(login, account.gid)))]
        primary = str(account.gid if gid is None else grp.getgrnam(gid).gr_gid)
        become = ["setpriv", "--reuid", str(account.uid), "--regid", primary, *groups, "--"]
        clean = {"HOME": str(account.home), "USER": login, "LOGNAME": login, "PATH": _PATH, "LANG": "C.UTF-8"}
        return self._processes.start(
            [*enter(node), *become, *argv], env={**clean, **(env or {})}, **{"cwd": account.home, **popen}
        )


def make() -> None:
    """Make what is not there yet.

    :raises RuntimeError: when a name or number is taken by something else.
    """
    _make_group(PROJ, PROJ_GID)
    homes: Path | None = None
    for login, uid in LOGINS.items():
        _make_group(login, uid)
        try:
            found = pwd.getpwnam(login)
        except KeyError:
            if homes is None:
                homes = Path(tempfile.mkdtemp(prefix="supercloud-homes-", dir="/tmp"))
                homes.chmod(0o755)
            home = ["-M", "-d", str(homes / login), "-s", "/bin/bash"]
            _run("useradd", "-u", str(uid), "-g", login, "-c", _MARK, *home, login)
        else:
            if (found.pw_uid, found.pw_gid) != (uid, uid):
                raise RuntimeError(f"{login} is uid {found.pw_uid}, gid {found.pw_gid} here; the tests need {uid}")
        _make_home(_account(login))
    for login in MEMBERS:
        if login not in grp.getgrnam(PROJ).gr_mem:
            _run("usermod", "-aG", PROJ, login)


def remove() -> None:
    """Remove the accounts that tests made, with their homes and the groups that are empty then."""
    for found in pwd.getpwall():
        if found.pw_name in LOGINS and found.pw_gecos == _MARK:
            # Without -f it refuses while a process of the account is just ending.
            _run("userdel", "-f", found.pw_name)
            _remove_home(Path(found.pw_dir))
    for name in (*LOGINS, PROJ):
        _remove_group(name)


@contextmanager
def private_account(password: str) -> Iterator[str]:
    """An account of this test's own, which it may lock, rename or let expire: its login.

    Others use alice and her like at the same time.
    """
    for found in pwd.getpwall():  # what a run that crashed left
        name, _, pid = found.pw_name.partition("-")
        if (name, found.pw_gecos) == (_PRIVATE, _MARK) and not Path("/proc", pid).exists():
            _run("userdel", "-f", found.pw_name)
    login = f"{_PRIVATE}-{os.getpid()}"
    _run(
        "useradd", "--no-user-group", "-g", "nogroup", "-M", "-d", "/nonexistent", "-s", "/bin/bash", "-c", _MARK, login
    )
    try:
        subprocess.run(["chpasswd"], input=f"{login}:{password}", text=True, check=True)
        yield login
    finally:
        for found in pwd.getpwall():
            if found.pw_name.startswith(login):
                _run("userdel", "-f", found.pw_name)


def _account(login: str) -> Account:
    found = pwd.getpwnam(login)
    return Account(login, found.pw_uid, found.pw_gid, Path(found.pw_dir))


def _make_group(name: str, gid: int) -> None:
    try:
        found = grp.getgrnam(name)
    except KeyError:
        _run("groupadd", "-g", str(gid), name)
    else:
        if found.gr_gid != gid:
            raise RuntimeError(f"group {name} is gid {found.gr_gid} here; the tests need {gid}")


def _remove_group(name: str) -> None:
    """A group goes with its last account: one that an account of others still uses stays."""
    try:
        found = grp.getgrnam(name)
    except KeyError:
        return
    if not found.gr_mem and all(entry.pw_gid != found.gr_gid for entry in pwd.getpwall()):
        _run("groupdel", name)


def _make_home(account: Account) -> None:
    account.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(account.home, account.uid, account.gid)
    account.home.chmod(0o700)
    account.home.parent.chmod(account.home.parent.stat().st_mode | 0o111)


def _remove_home(home: Path) -> None:
    if home.parent.name.startswith("supercloud-homes-") and home.parent.parent == Path("/tmp"):
        shutil.rmtree(home, ignore_errors=True)
        if home.parent.exists() and not any(home.parent.iterdir()):
            home.parent.rmdir()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
