"""What an acceptance test works with: processes, accounts, a portal, a browser, and a place to say what was seen."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from lab import accounts as lab_accounts
from lab.certificates import Certificates
from lab.portal import ROOT, Curl, Twistd, is_readable_by_all, start_embedded
from lab.processes import Processes, PublicCopies, free_port
from lab.sharing import shared

from tests.acceptance import browsers

OUT = ROOT / "acceptance-out"
CHROMIUM = "/usr/bin/chromium"
_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"]
_ARGS += ["--disable-component-update", "--disable-sync", "--no-proxy-server"]


class NotHeld(AssertionError):
    """Something was not as it must be."""


class Lab:
    """Everything that a test starts, ended when the test ends.

    :ivar kind: of browser; see browsers.py.
    :ivar folder: everybody can read it.
    """

    def __init__(self, name: str, kind: str = "chromium") -> None:
        self.name, self.kind = name, kind
        self._stack = ExitStack()
        self._accounts: lab_accounts.Accounts | None = None

    def __enter__(self) -> Lab:
        OUT.mkdir(exist_ok=True)
        self.copies = PublicCopies()
        self.folder = self.copies.folder
        self._stack.callback(self.copies.remove)
        self.processes = Processes()
        self._stack.callback(self.processes.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def at_end(self, call: Callable[[], object]) -> None:
        """Have something undone when the test ends, before the accounts go."""
        self._stack.callback(call)

    def enter(self, context: AbstractContextManager[object]) -> None:
        """Be in a context until the test ends."""
        self._stack.enter_context(context)

    def saw(self, text: str) -> None:
        """Tell what was seen."""
        print(f"   {text}", flush=True)

    def holds(self, condition: object, text: str) -> None:
        """Tell what was seen, or end here.

        :raises NotHeld: it is not so.
        """
        if not condition:
            raise NotHeld(text)
        self.saw(text)

    @property
    def accounts(self) -> lab_accounts.Accounts:
        """alice, bob, carol and dave; needs root."""
        if self._accounts is None:
            if os.geteuid() != 0:
                raise NotHeld("this one needs root, for accounts of its own")
            started = Processes()
            self._stack.enter_context(shared("accounts", lab_accounts.make, lab_accounts.remove))
            self._stack.callback(started.stop)
            self._accounts = lab_accounts.Accounts(started)
        return self._accounts

    def certificates(self) -> Certificates:
        """A site's, in the lab's folder."""
        return Certificates(self.folder)

    def person(self) -> tuple[Callable[..., subprocess.Popen[Any]], Path]:
        """How to start a program as the person whose portal it is, and their home: alice if that can be."""
        if os.geteuid() != 0 or not is_readable_by_all(ROOT / "setup.py"):
            home = self.folder / "home"
            home.mkdir(exist_ok=True)
            return (lambda argv, node=None, **popen: self.processes.start(argv, cwd=home, **popen)), home
        accounts = self.accounts
        return (lambda argv, node=None, **popen: accounts.run_as("alice", argv, **popen)), accounts["alice"].home

    def embedded(self, *, port: int | None = None, own: bool = False) -> Embedded:
        """An embedded portal of that person's.

        :param own: of whoever runs the tests instead.
        """
        start, home = self.person()
        if own:
            start, home = lambda argv, node=None, **popen: self.processes.start(argv, cwd="/", **popen), self.folder
        return Embedded(self, start, port or free_port(), home / "portal-state")

    @contextmanager
    def browser(self, ca: Path, *args: str) -> Iterator[Any]:
        """A browser that trusts an authority, as a person's does who was told to (no error is ignored).

        :param args: Chromium's options.
        """
        folder = self.folder / f"browser-{time.monotonic_ns()}"
        begin = _chromium(folder, ca, args) if self.kind == "chromium" else browsers.started(self.kind, folder, ca)
        with begin as browser:
            try:
                yield browser
            except Exception:
                pages = [page for context in browser.contexts for page in context.pages]
                for number, page in enumerate(pages):
                    with suppress(Exception):  # what failed first is told
                        self.screenshot(page, f"failed-{number}")
                raise

    def screenshot(self, page: Any, what: str, **how: Any) -> None:
        """Keep what is seen.

        :param how: see playwright's.
        """
        browser = "" if self.kind == "chromium" else f"{self.kind}-"
        page.screenshot(path=str(OUT / f"{self.name}-{browser}{what}.png"), **how)


@contextmanager
def _chromium(home: Path, ca: Path, args: Sequence[str]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    browsers.trust(database, ca)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*_ARGS, *args], env={**os.environ, "HOME": str(home)}
        )
        try:
            yield browser
        finally:
            browser.close()


class Embedded:
    """An embedded portal, and a curl that is signed in."""

    def __init__(self, lab: Lab, start: Callable[..., subprocess.Popen[Any]], port: int, state: Path) -> None:
        self._lab, self._start = lab, start
        self.port, self.state = port, state
        self.portal: Twistd = self._begin()
        self.ca = lab.folder / f"ca-{port}.pem"
        self.ca.write_bytes((state / "tls" / "ca.pem").read_bytes())
        self.url = f"https://localhost:{port}"
        self.curl = Curl(lab.folder / f"curl-{port}", self.ca)
        self.curl(self.portal.link())

    def _begin(self) -> Twistd:
        return start_embedded(self._lab.processes, self.port, self.state, start=self._start)

    def restart(self) -> None:
        """Stop it in order and start it again with the same state."""
        self.portal.stop()
        self.portal = self._begin()

    def fresh_link(self) -> str:
        """A sign-in link that was not used yet."""
        return self.portal.links()[-1]

    def own(self, port: int) -> str:
        """Address of an application's own origin."""
        return f"https://localhost-{port}.fh.localhost:{self.port}"
