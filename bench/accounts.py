"""Who holds the application: an ordinary account where this is root, because root's processes are looked up otherwise.

The portal looks through one account's processes for the holder of a socket, but through everybody's when it is root's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The laboratory's modules know each other by short names.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/integration"))

from lab import accounts as lab_accounts
from lab.sharing import shared


@dataclass(frozen=True, slots=True)
class Account:
    """An account, and what to put before a command so that it runs as it."""

    uid: int
    prefix: tuple[str, ...] = ()


ME = Account(os.geteuid())
FIRST_UID = 31000  # of the accounts that `users` makes
_MARK = "supercloud-bench"


@contextmanager
def ordinary() -> Iterator[Account]:
    """alice when this is root, and ourselves when not."""
    if ME.uid != 0:
        yield ME
        return
    with shared("accounts", lab_accounts.make, lab_accounts.remove):
        uid = lab_accounts.LOGINS["alice"]
        yield Account(uid, ("setpriv", "--reuid", str(uid), "--regid", str(uid), "--init-groups", "--"))


@contextmanager
def users(folder: Path, count: int) -> Iterator[list[str]]:
    """Accounts with a home of ten files each, in a folder that everybody can enter; needs root."""
    logins = [f"scb{number:03d}" for number in range(count)]
    try:
        for number, login in enumerate(logins):
            home, uid = folder / login, FIRST_UID + number
            argv = ["useradd", "-M", "-N", "-u", str(uid), "-d", str(home), "-c", _MARK, "-s", "/bin/bash", login]
            subprocess.run(argv, check=True, capture_output=True)
            home.mkdir(mode=0o700)
            for index in range(10):
                (home / f"file-{index}").write_text(str(home))
            for path in (home, *home.iterdir()):
                os.chown(path, uid, 100)
        yield logins
    finally:
        for login in logins:
            subprocess.run(["userdel", "-f", login], check=False, capture_output=True)
