"""A portal with named forwards, and applications of several accounts that tell what reached them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.accounts import Accounts
from lab.certificates import Certificates
from lab.portal import Answer, Curl
from lab.processes import PYTHON, Processes, PublicCopies
from lab.site import Head

PEOPLE = ("alice", "bob", "carol")
_RECORDER = Path(__file__).with_name("recorder.py")
# Accounts that hold listeners, and the group that they run under; root's is below.
_HOLDERS = {
    "alice": ("alice", None),
    "alice:proj": ("alice", "proj"),
    "bob": ("bob", None),
    "bob:proj": ("bob", "proj"),
}


class Recorder:
    """An application, and what reached it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    @property
    def bytes(self) -> int:
        """That it was sent so far."""
        return int(self._ask("/count"))

    @property
    def last(self) -> str:
        """The head of the last request."""
        return self._ask("/last").decode("latin-1")

    def _ask(self, path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as asking:
            asking.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            answer = b""
            while more := asking.recv(4096):
                answer += more
        return answer.partition(b"\r\n\r\n")[2]


class Folder:
    """The forward directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        path.chmod(0o1777)

    def name(self) -> str:
        """One that was never used."""
        return f"f{secrets.token_hex(6)}"

    def write(self, text: str, mode: int = 0o700, owner: int = 0, group: int = 0, acl: str = "", name: str = "") -> str:
        """A file of somebody's; its name."""
        name = name or self.name()
        file = self.path / name
        file.write_text(text)
        os.chown(file, owner, group)
        file.chmod(mode)
        if acl:
            subprocess.run(["setfacl", "-m", acl, str(file)], check=True)
        return name


@dataclass(frozen=True, slots=True)
class ForwardSite:
    """:ivar holders: applications by who holds them; ``alice:proj`` runs under that group.
    :ivar people: curls, signed in.
    """

    head: Head
    folder: Folder
    holders: dict[str, Recorder]
    people: dict[str, Curl]
    accounts: Accounts

    def write(self, login: str, text: str, mode: int = 0o700) -> str:
        """A forward of somebody's; its name."""
        account = self.accounts[login]
        return self.folder.write(text, mode, account.uid, account.gid)


@contextmanager
def forward_site(accounts: Accounts, copies: PublicCopies, more: str = "", **how: Any) -> Iterator[ForwardSite]:
    """A portal with forwards, people who are signed in, and applications of several accounts.

    :param more: of the table ``[forwards]``; ``how`` as of `Head.start`.
    """
    processes = Processes()
    place = copies.folder / f"forwards-{secrets.token_hex(3)}"
    folder = Folder(place.with_suffix(".fw"))
    argv = [PYTHON, str(copies.of(_RECORDER)), "127.0.0.1"]
    holders = {
        key: Recorder(accounts.run_as(login, argv, gid=group, stdout=subprocess.PIPE))
        for key, (login, group) in _HOLDERS.items()
    }
    holders["root"] = Recorder(processes.start(argv, stdout=subprocess.PIPE))
    place.mkdir(mode=0o755)
    head = Head(place, Certificates(place), address="127.0.0.1")
    try:
        head.start(
            processes,
            logins=PEOPLE,
            ident2='socket = ""\nudp = ""\n',
            nodes='["localhost", "127.0.0.1/32"]',
            more=f'[forwards]\ndirectory = "{folder.path}"\n{more}',
            **how,
        )
        yield ForwardSite(head, folder, holders, {login: head.signed_in(login) for login in PEOPLE}, accounts)
        head.portal.stop()
    finally:
        processes.stop()
        shutil.rmtree(folder.path)


def visit(site: ForwardSite, who: str, name: str, path: str = "/", *more: str) -> Answer:
    """Go to a forward as a page load does."""
    page = ["-H", "Sec-Fetch-Site: none", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: document"]
    answer: Answer = site.people[who](f"{site.head.url}/fw/{name}{path}", *page, *more)
    return answer
