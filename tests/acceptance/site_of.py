"""A portal for several people on loopback: client certificates, passwords, a browser signed in as one of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from lab.portal import Curl
from lab.site import Head

from tests.acceptance.lab_of import Lab

PEOPLE = ("alice", "bob", "carol")
_PAM = "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n"


class Site(Head):
    """A portal whose people are alice, bob and carol.

    :ivar rules: options for a Chromium that is to find its names.
    """

    def __init__(self, lab: Lab, folder: Path, *, address: str, hostname: str) -> None:
        super().__init__(folder, lab.certificates(), address=address, hostname=hostname)
        _ = lab.accounts  # The map's people are there before anybody signs in.
        self.lab = lab
        self.rules = [f"--host-resolver-rules=MAP *.{hostname} {address}, MAP {hostname} {address}"]
        self._people: dict[str, Curl] = {}

    @property
    def ca(self) -> Any:
        return self.certificates.ca

    def of(self, login: str) -> Curl:
        """A person's curl, signed in."""
        if login not in self._people:
            self._people[login] = self.signed_in(login)
        return self._people[login]

    def context(self, browser: Any, login: str, **options: Any) -> Any:
        """A browser's profile in which somebody is signed in."""
        context = browser.new_context(**{"viewport": {"width": 1024, "height": 768}, **options})
        self.enter(context, login)
        return context

    def enter(self, context: Any, login: str) -> None:
        """Have somebody signed in in a profile."""
        pairs = [one.partition("=") for one in self.of(login).cookie_header(self.hostname).split("; ")]
        how = {"url": self.url, "secure": True, "httpOnly": True, "sameSite": "Lax"}
        context.add_cookies([{"name": name, "value": value, **how} for name, _, value in pairs])


class LocalSite(Site):
    """A portal on this host for its people, and for their applications on this host.

    :param how: see `Head.start`. Where browsers other than Chromium come, ``plain_first``: WebKit asks its person for a
        certificate where a server asks for one, and nobody is there.
    """

    def __init__(self, lab: Lab, hostname: str, **how: Any) -> None:
        super().__init__(lab, lab.folder / f"site-{hostname}", address="127.0.0.1", hostname=hostname)
        self._how = how
        self.begin()

    def begin(self) -> None:
        """Start it; again, with the same state and ports, when it has ended."""
        how = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost"]', **self._how}
        self.start(self.lab.processes, logins=PEOPLE, **how)


class PasswordSite(LocalSite):
    """The same, whose people also have passwords; what programs mount is ``dav``."""

    def __init__(self, lab: Lab, hostname: str = "localhost", **how: Any) -> None:
        service = f"supercloud-acceptance-{os.getpid()}"
        file = Path("/etc/pam.d", service)
        file.write_text(_PAM)
        lab.at_end(lambda: file.unlink(missing_ok=True))
        _ = lab.accounts
        said = "".join(f"{login}:{password_of(login)}\n" for login in PEOPLE)
        subprocess.run(["chpasswd"], input=said, text=True, check=True)
        lab.at_end(_forget_passwords)
        super().__init__(lab, hostname, pam=service, plain_first=True, **how)

    @property
    def dav(self) -> str:
        return f"{self.url}/dav"


def password_of(login: str) -> str:
    return f"{login}-secret"


def _forget_passwords() -> None:
    for login in PEOPLE:
        subprocess.run(["usermod", "-p", "*", login], check=True)
