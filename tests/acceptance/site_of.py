"""A portal for several people on loopback: client certificates, a browser signed in as one of them."""

from __future__ import annotations

from typing import Any

from lab.portal import Curl
from lab.site import Head

from tests.acceptance.lab_of import Lab


class LocalSite(Head):
    """A portal on this host for alice, bob and carol, and for their applications on this host.

    :ivar rules: options for a Chromium that is to find its names.
    """

    def __init__(self, lab: Lab, hostname: str, **how: Any) -> None:
        super().__init__(lab.folder / f"site-{hostname}", lab.certificates(), address="127.0.0.1", hostname=hostname)
        _ = lab.accounts  # The map's people are there before anybody signs in.
        ident2 = 'socket = ""\nudp = ""\n'
        people = ("alice", "bob", "carol")
        self.start(lab.processes, logins=people, ident2=ident2, nodes='["localhost"]', **how)
        self.rules = [f"--host-resolver-rules=MAP *.{hostname} 127.0.0.1, MAP {hostname} 127.0.0.1"]
        self._people: dict[str, Curl] = {}

    @property
    def ca(self) -> Any:
        return self.certificates.ca

    def of(self, login: str) -> Curl:
        """A person's curl, signed in."""
        if login not in self._people:
            self._people[login] = self.signed_in(login)
        return self._people[login]

    def context(self, browser: Any, login: str) -> Any:
        """A browser's profile in which somebody is signed in."""
        context = browser.new_context(viewport={"width": 1024, "height": 768})
        name, _, value = self.of(login).cookie_header(self.hostname).partition("=")
        context.add_cookies(
            [{"name": name, "value": value, "url": self.url, "secure": True, "httpOnly": True, "sameSite": "Lax"}]
        )
        return context
