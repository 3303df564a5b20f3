"""Alice at a portal that has its applications in one of several places, and who is around her."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.portal import Curl

from tests.acceptance.lab_of import Lab, NotHeld
from tests.acceptance.site_of import LocalSite
from tests.acceptance.third_site import ThirdSite
from tests.acceptance.weak_of import Weak, weak
from tests.acceptance.webdriver import until

# By name only: the old way, as a control. What is taken there must be taken, or the others show nothing.
OLD: Final = "portal"
FORWARD: Final = "alices-lab"
# What hostile.js asks for and its viewers' own pages do not; the audit must not tell that it was served in their name.
_ASKS: Final = re.compile(
    r"(GET|PUT) /dav/~/(secret|planted)\.txt|PROPFIND /dav/~/|(GET|POST) /tokens|(GET|POST) /api/(jobs|keys|events)"
)


@dataclass
class Scene:
    """Somebody, signed in in a browser, and those around them.

    :ivar url: of the portal.
    :ivar hers, bobs: applications with faults; the one is hers, the other is bob's, who shares it with her.
    :ivar enter: has somebody signed in in her browser.
    :ivar audit: all lines of the portal's audit.
    :ivar page: the window that she looks at.
    :ivar viewer: who it is that attacks must get nothing of.
    :ivar others: more applications that a case started.
    """

    lab: Lab
    setup: str
    url: str
    portal: Any
    third: ThirdSite
    curl: Curl
    enter: Callable[[Scene, str], None]
    audit: Callable[[], Iterable[str]]
    hers: Weak
    bobs: Weak
    context: Any = None
    page: Any = None
    viewer: str = "alice"
    others: list[Weak] = field(default_factory=list)

    def address(self, weak: Weak, name: str) -> str:
        """An application's, as an attacker knows it: the portal's name and a path."""
        return f"{self.url}/fw2/localhost:{weak.port}/{name}"

    def follow(self, page: str) -> None:
        """Have alice look at a page of the third site, and click what it offers."""
        self.third.pages["/page"] = f"<!doctype html><title>third</title>{page}"
        self.page.goto(f"{self.third.url}/page")
        self.page.click("#go")

    def open(self, address: str, login: str, *, by_worker: bool = False) -> None:
        """Have an application's page be looked at.

        :param by_worker: its service worker's instead.
        :raises TimeoutError: another is shown.
        """
        self.page.goto(address)
        expected = f"{login} by worker" if by_worker else f"page of {login}"
        # What the last one left may be cleared first, by a page that leads on.
        until(lambda: expected in self.page.inner_text("body"), expected, 30)

    def start(self, login: str, port: int) -> Weak:
        """Another application with faults."""
        self.others.append(weak(self.lab, self.url, login, port=port))
        return self.others[-1]

    def begin(self) -> None:
        """Have what was so far count no more."""
        for one in (self.hers, self.bobs):
            one.forget()
        for one in self.others:
            one.stop()
        self.third.loot.clear()
        self.others.clear()
        self.viewer = "alice"

    def has_run(self) -> bool:
        """Whether an attacker's script did."""
        return self.hers.has_run or self.bobs.has_run or bool(self.third.loot)

    def loot(self) -> list[str]:
        """What attackers' scripts sent home."""
        return [*self.third.loot, *(text for one in (self.hers, self.bobs, *self.others) for text in one.loot)]

    def served(self) -> list[str]:
        """What the portal itself gave attackers' scripts in the viewer's name, says its audit."""
        lines = [json.loads(line) for line in self.audit()]
        if not lines:
            raise NotHeld("the audit tells nothing")
        hers = [one for one in lines if one["principal"] == self.viewer and one["target"] in ("", "worker")]
        given = [one for one in hers if one["status"] in (101, 304) or one["status"] // 100 == 2]
        asked = [f"{one['method']} {one['path']}" for one in given]
        return [one for one in asked if _ASKS.fullmatch(one)]


def site_of(lab: Lab, setup: str) -> tuple[Scene, Path, list[str]]:
    how = {"apart": "host", "front": 'paths = "portal"\n'} if setup == OLD else {"apart": setup}
    folder = lab.folder / f"forwards-{setup}"
    _ = lab.accounts
    folder.mkdir()
    folder.chmod(0o1777)
    more = f'[forwards]\ndirectory = "{folder}"\n'
    site = LocalSite(lab, "portal.test", plain_first=True, more=more, **how)
    third = ThirdSite(site.certificates)
    rules = [f"--host-resolver-rules=MAP * {site.address}"]

    def enter(scene: Scene, login: str) -> None:
        site.enter(scene.context, login)

    def audit() -> list[str]:
        return site.audit.read_text().splitlines()

    scene = Scene(lab, setup, site.url, site, third, site.of("alice"), enter, audit, *_applications(lab, site.url))
    alice, file = lab.accounts["alice"], folder / FORWARD
    file.write_text(f"http://localhost:{scene.hers.port}/\n")
    os.chown(file, alice.uid, alice.gid)
    file.chmod(0o700)
    return scene, site.ca, rules


def embedded_of(lab: Lab) -> tuple[Scene, Path, list[str]]:
    portal = lab.embedded()

    def enter(scene: Scene, _: str) -> None:
        scene.page.goto(portal.fresh_link())

    def audit() -> list[str]:
        """They are in its log."""
        return [line[line.index("{") :] for line in portal.portal.printed if '{"time"' in line]

    third = ThirdSite(None)  # its authority signs for nobody else
    applications = _applications(lab, portal.url)
    scene = Scene(lab, "embedded", portal.url, portal, third, portal.curl, enter, audit, *applications)
    return scene, portal.ca, ["--host-resolver-rules=MAP * 127.0.0.1"]


def _applications(lab: Lab, url: str) -> tuple[Weak, Weak]:
    return weak(lab, url, "alice"), weak(lab, url, "bob", gid="proj")
