"""Accounts of a test's own, applications of several accounts, and what people have open at a portal."""

from __future__ import annotations

import ctypes
import os
import pwd
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from lab.portal import ROOT, Curl
from lab.processes import PYTHON

from tests.acceptance.lab_of import Lab
from tests.acceptance.running import Running, begin
from tests.acceptance.site_of import LocalSite

_SCRIPT = ROOT / "tests" / "integration" / "lab" / "stream.py"
_SUPERCLOUD = ROOT / ".venv" / "bin" / "supercloud"
_MARK = "supercloud-tests"


class People:
    """What people do at one portal.

    :ivar ports: of the endless applications, by login.
    """

    def __init__(self, lab: Lab, site: LocalSite) -> None:
        self.lab, self.site = lab, site
        self.ports: dict[str, int] = {}
        self._count = 0
        self._files = lab.folder / f"files-{site.hostname}"
        self._files.mkdir()
        self._big = self._files / "big"
        with self._big.open("wb") as file:
            file.truncate(1 << 33)

    def application(self, login: str, group: str = "") -> None:
        """Start an endless application of somebody's."""
        account = pwd.getpwnam(login)
        ids = ["--reuid", str(account.pw_uid), "--regid", group or str(account.pw_gid), "--init-groups"]
        argv = ["setpriv", *ids, "--", PYTHON, str(self.lab.copies.of(_SCRIPT))]
        process = self.lab.processes.start(argv, stdout=subprocess.PIPE, cwd="/")
        assert process.stdout is not None
        self.ports[login] = int(process.stdout.readline())

    def sign_in(self, login: str, password: str) -> Curl:
        """By the form."""
        curl = self.site.curl()
        answer = curl(f"{self.site.url}/login", data=f"login={login}&password={password}".encode())
        if answer.status != 200:
            raise PermissionError(f"{login}: {answer}")
        curl(f"{self.site.together}/fw2/localhost:1/")  # and where their applications are
        return curl

    def cookie(self, curl: Curl, host: str = "") -> str:
        """The field line that shows somebody's session on a host."""
        return f"Cookie: {curl.cookie_header(host or self.site.hostname)}\r\n"

    def together(self, curl: Curl) -> str:
        """The field line that shows it where somebody's applications are under path prefixes."""
        return self.cookie(curl, f"apps.{self.site.hostname}")

    def all_of(self, login: str, curl: Curl) -> list[Running]:
        """A download, a WebSocket and a file of somebody's, by their session."""
        url = f"{self.site.together}/fw2/localhost:{self.ports[login]}"
        return [*self.streams(url, self.together(curl)), self.file(self.cookie(curl))]

    def streams(self, url: str, fields: str, *kinds: bool) -> list[Running]:
        """Exchanges at an address: a download for False, a WebSocket for True; one of each by default."""
        return [self._begin(url, fields, is_websocket=one) for one in kinds or (False, True)]

    def file(self, fields: str) -> Running:
        """A file that is read."""
        os.link(self._big, self._files / self._next())
        return self._begin(f"{self.site.url}/dav{self._files}", fields)

    def forward(self, folder: Path, name: str, *, owner: str = "alice", mode: int = 0o700) -> Path:
        """A forward of somebody's to their application."""
        file, account = folder / name, pwd.getpwnam(owner)
        file.write_text(f"http://localhost:{self.ports[owner]}/\n")
        os.chown(file, account.pw_uid, account.pw_gid)
        file.chmod(mode)
        return file

    def token(self, login: str, scope: str, expires: str = "1h") -> str:
        """The text of one that somebody makes."""
        account = pwd.getpwnam(login)
        socket = str(self.site.folder / "run" / "portal.sock")
        argv = ["setpriv", "--reuid", login, "--regid", str(account.pw_gid), "--init-groups", "--", str(_SUPERCLOUD)]
        argv += ["token", "--socket", socket, "create", "--for", scope, "--expires", expires]
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def admin(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``supercloud admin``."""
        argv = [str(_SUPERCLOUD), "admin", "--config", str(self.site.folder / "portal.toml"), *words]
        return subprocess.run(argv, capture_output=True, text=True)

    def since(self, words: tuple[str, ...], file: str, query: str, *values: object) -> float:
        """Have an administrator do something, and tell when a store of the portal's showed it."""
        doing = threading.Thread(target=self.admin, args=words)
        doing.start()
        with sqlite3.connect(f"file:{self.site.folder / 'state' / file}?mode=ro", uri=True) as store:
            while not store.execute(query, values).fetchone()[0]:
                time.sleep(0.002)
            since = time.monotonic()
        store.close()
        doing.join()
        return since

    def _begin(self, url: str, fields: str, *, is_websocket: bool = False) -> Running:
        mark = self._next()
        self._count += 1
        return begin(f"{url}/{mark}", fields, ca=self.site.ca, mark=mark, is_websocket=is_websocket)

    def _next(self) -> str:
        return f"mark-{self._count + 1}-"


def make_account(login: str, password: str) -> None:
    """An account of a test's own, which it may lock, rename or remove."""
    remove_account(login)
    _run("useradd", "-U", "-M", "-d", "/nonexistent", "-s", "/bin/bash", "-c", _MARK, login)
    subprocess.run(["chpasswd"], input=f"{login}:{password}", text=True, check=True)


def remove_account(login: str) -> None:
    """Where it is one of a test's."""
    for found in pwd.getpwall():
        if found.pw_gecos == _MARK and found.pw_name.startswith(login):
            _run("userdel", "-f", found.pw_name)
    subprocess.run(["groupdel", login], capture_output=True)


def rename_account(login: str, name: str) -> None:
    """As a directory may; ``usermod`` refuses while the account has processes."""
    libc = ctypes.CDLL(None)
    if libc.lckpwdf():
        raise TimeoutError("somebody else changes the accounts")
    try:
        for file in (Path("/etc/passwd"), Path("/etc/shadow")):
            _run("sed", "-i", f"s/^{login}:/{name}:/", str(file))
    finally:
        libc.ulckpwdf()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode not in (0, 12):  # 12: userdel found no home
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
