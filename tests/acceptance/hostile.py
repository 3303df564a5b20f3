"""Pages of a third site, of bob's, and what bob put into alice's own application, get nothing of hers at the portal."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from lab.processes import free_port
from playwright.sync_api import Error

from tests.acceptance import hostile_list
from tests.acceptance.browsers import KINDS, LETS_SCRIPTS_TAKE_PREFIXES
from tests.acceptance.hostile_scene import FORWARD, OLD, Scene, embedded_of, site_of
from tests.acceptance.lab_of import Lab, NotHeld
from tests.acceptance.third_site import ThirdSite
from tests.acceptance.weak_of import SENDING, Weak, script
from tests.acceptance.webdriver import WebDriverError

BROWSERS = KINDS
# Where applications are: each at an origin of its own, together on one host, together on one port, on *.localhost.
SETUPS: Final = ("label", "host", "port", "embedded")
_APART: Final = ("label", "embedded")
_TOGETHER: Final = ("host", "port", OLD)
_SHARED: Final = ("label", *_TOGETHER)
_SECRET: Final = "file of alice"
# What nobody but alice may be told.
_TELLING: Final = re.compile(rf"{_SECRET}|scp_[0-9a-f]{{64}}|Sign out|secret\.txt</|is open\"")
# Seconds that what must not run is waited for; where it may, it has begun after one and ended after six.
_WATCH: Final = 8.0
_PLANT: Final = """([pairs, domain]) => {
  for (const pair of pairs) document.cookie = `${pair}; Domain=${domain}; Path=/dav; Secure`;
}"""
# Whether a service worker could be registered, once it serves its pages.
_REGISTER: Final = """async () => {
  const ended = new Promise((done) => setTimeout(done, 20000));
  const ready = navigator.serviceWorker?.register('sw.js', {scope: './'}).then(() => navigator.serviceWorker.ready);
  try { return Boolean(await Promise.race([ready, ended])); } catch { return false; }
}"""
_REGISTERED: Final = "async () => ((await navigator.serviceWorker?.getRegistrations()) ?? []).length"


class Taken(NotHeld):
    """Something of hers is in other hands."""


@dataclass(frozen=True)
class Case:
    """One way.

    :ivar name: of it, with what it does.
    :ivar seen: what it gave before applications left the portal's origin.
    :ivar does: it.
    :ivar runs: where the script must have run for the case to show anything; None where it must not.
    :ivar where: the set-ups that have it.
    :ivar within: seconds.
    """

    name: str
    seen: str
    does: Callable[[Scene], None]
    runs: Callable[[Scene], Weak | ThirdSite | None]
    where: tuple[str, ...] = (*SETUPS, OLD)
    within: float = 60


def run(lab: Lab) -> None:
    """See the module's first line; ``SETUP`` picks set-ups, ``CASE`` (a regular expression) cases by name.

    Without either, attacks that need no browser are tried first; ``SETUP=none`` is these alone.
    """
    failed: list[str] = []
    if os.environ.get("SETUP", "none") == "none" and lab.kind == "chromium" and not os.environ.get("CASE"):
        hostile_list.run(lab)
    for setup in os.environ.get("SETUP", " ".join(SETUPS)).replace("none", "").split():
        failed += [f"{setup}: {what}" for what in _in(lab, setup)]
    if failed:
        raise NotHeld("\n".join([f"{len(failed)} did not hold:", *failed]))


def _in(lab: Lab, setup: str) -> list[str]:
    scene, ca, rules = embedded_of(lab) if setup == "embedded" else site_of(lab, setup)
    home = lab.accounts["alice"].home
    (home / "secret.txt").write_text(_SECRET)
    os.chown(home / "secret.txt", lab.accounts["alice"].uid, lab.accounts["alice"].gid)
    (home / "secret.txt").chmod(0o600)
    if scene.curl(f"{scene.url}/dav/~/secret.txt").text != _SECRET:
        raise NotHeld("what attackers ask for is not there")
    failed = []
    with lab.browser(ca, *rules) as browser:
        for case in CASES:
            if setup not in case.where or not re.search(os.environ.get("CASE", ""), case.name):
                continue
            scene.context = browser.new_context()
            scene.page = scene.context.new_page()
            scene.enter(scene, "alice")
            begin = time.monotonic()
            try:
                said = _judged(scene, case)
            except (NotHeld, TimeoutError, WebDriverError, Error) as error:
                failed.append(f"{case.name}: {error}")
                said = f"DID NOT HOLD: {error}"
            lab.saw(f"{setup}: {case.name}: {said} ({time.monotonic() - begin:.1f} s)")
            scene.context.close()
    scene.begin()
    scene.portal.portal.stop()
    for one in (scene.hers, scene.bobs):
        one.stop()
    return failed


def _judged(scene: Scene, case: Case) -> str:
    """What is said of a case that held.

    :raises NotHeld: it did not; in the old way, it did though there it cannot.
    """
    must_take = scene.setup == OLD and case.seen == _TAKEN
    try:
        _try(scene, case)
    except Taken as error:
        if not must_take:
            raise
        for witness in ("the attacker has", "the audit says", "her home has"):
            if witness not in str(error):
                raise NotHeld(f"not a word of what {witness!r} says: {error}") from None
        return f"taken, as it must be here: {error}"
    if must_take:
        raise NotHeld("nothing was taken in the old way, so what holds elsewhere shows nothing")
    return "nothing"


def _try(scene: Scene, case: Case) -> None:
    scene.begin()
    home = scene.lab.accounts["alice"].home
    for planted in set(home.glob("*.txt")) - {home / "secret.txt"}:
        planted.unlink()
    before = len(scene.served())
    case.does(scene)
    where, end = case.runs(scene), time.monotonic() + (case.within if case.runs(scene) else _WATCH)
    while time.monotonic() < end and not (where and where.loot):
        if where is None and scene.has_run():
            raise NotHeld(f"the script ran, from {scene.page.url}")
        time.sleep(0.1)
    if where is not None and not where.loot:
        raise NotHeld(f"the script did not run, so nothing is shown; alice is at {scene.page.url}")
    _nothing_taken(scene, home, before)


def _nothing_taken(scene: Scene, home: Path, before: int) -> None:
    """Ask those who know: who got something, the portal's audit, her home, her tokens and keys.

    :param before: how much the audit told when it began.
    :raises Taken: one of them says that there is.
    """
    told = [found[0] for text in scene.loot() if (found := _TELLING.search(text))]
    taken = [f"the attacker has {sorted(set(told))}"] if told else []
    if served := scene.served()[before:]:
        taken.append(f"the audit says that it was served {sorted(set(served))}")
    files = {one.name: one.read_text() for one in home.glob("*.txt")}
    if files != {"secret.txt": _SECRET}:
        taken.append(f"her home has {files}")
    if "stolen" in scene.curl(f"{scene.url}/tokens").text + scene.curl(f"{scene.url}/api/keys").text:
        taken.append("a token or a key was made")
    if taken:
        raise Taken(f"at {scene.page.url} " + "; ".join(taken))


def _link(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="{scene.address(scene.hers, "stored")}">go</a>')


def _reflected(scene: Scene) -> None:
    query = quote('<script src="evil.js"></script>')
    scene.follow(f'<a id="go" href="{scene.address(scene.hers, "echo")}?q={query}">go</a>')


def _ondemand(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="{scene.url}/node/localhost/{scene.hers.port}/stored">go</a>')


def _posted_form(scene: Scene) -> None:
    address = scene.address(scene.hers, "stored")
    scene.follow(f'<form method="post" action="{address}"><button id="go">go</button></form>')


def _form(scene: Scene) -> None:
    scene.follow(f'<form action="{scene.address(scene.hers, "stored")}"><button id="go">go</button></form>')


def _window(scene: Scene) -> None:
    address = scene.address(scene.hers, "stored")
    with scene.context.expect_page() as opened:
        scene.follow(f"""<button id="go" onclick="self.other = window.open('{address}')">go</button>""")
    scene.page = opened.value


def _redirect(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="/away?to={quote(scene.address(scene.hers, "stored"), safe="")}">go</a>')


def _base(scene: Scene) -> None:
    scene.follow(f'<base href="{scene.url}/"><a id="go" href="fw2/localhost:{scene.hers.port}/stored">go</a>')


def _named(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="{scene.url}/fw/{FORWARD}/stored">go</a>')


def _plain_label(scene: Scene) -> None:
    address = scene.portal.own(scene.hers.port if scene.setup == "embedded" else f"localhost-{scene.hers.port}")
    scene.follow(f'<a id="go" href="{address}/stored">go</a>')


def _shared(scene: Scene) -> None:
    scene.follow(f'<a id="go" href="{scene.address(scene.bobs, "stored")}">go</a>')


def _frame(scene: Scene) -> None:
    address = scene.address(scene.hers, "stored")
    scene.follow(f'<iframe src="{address}"></iframe><button id="go">go</button>')
    scene.page.wait_for_timeout(3000)


def _direct(scene: Scene) -> None:
    scene.follow(f"<script>{script(scene.url)}</script><button id='go' onclick=\"{SENDING}\">go</button>")


def _posted(scene: Scene) -> None:
    fields = '<input name="name" value="stolen"><input name="scope" value="dav"><input name="expires" value="30d">'
    scene.follow(f'<form method="post" action="{scene.url}/tokens">{fields}<button id="go">go</button></form>')


def _planted(scene: Scene) -> None:
    """What alice does among her files counts for bob nowhere unless she is told: his session came beside hers."""
    name = scene.portal.hostname
    pairs = scene.portal.of("bob").cookie_header(name).split("; ")
    scene.open(scene.address(scene.hers, "page"), "alice")
    files, said = scene.context.new_page(), []
    for _ in range(2):
        scene.page.evaluate(_PLANT, [pairs, name])
        files.goto(f"{scene.url}/dav/~/")
        said.append(files.inner_text("body"))
    beside, alone = said
    if scene.lab.kind not in LETS_SCRIPTS_TAKE_PREFIXES:
        if "alice" not in beside or "alice" not in alone:
            raise NotHeld(f"alice is shown {said}")
        return
    if "two cookies" not in beside or "Sign in again" not in beside:
        raise NotHeld(f"beside her own it is not refused with words: {beside!r}")
    if "bob" not in alone or "alice" in alone:
        raise NotHeld(f"alone it does not say whose it is: {alone!r}")


def _carols_worker(scene: Scene) -> None:
    _worker(scene, "carol", "alice")


def _alices_worker(scene: Scene) -> None:
    _worker(scene, "alice", "bob")


def _worker(scene: Scene, login: str, second: str) -> None:
    """What a first person's application left in the browser serves nobody else, though the address is the same."""
    port, page, scene.viewer = free_port(), scene.page, second
    first = scene.start(login, port)
    scene.enter(scene, login)
    scene.open(scene.address(first, "page"), login)
    firsts = page.url
    page.evaluate(_REGISTER)  # where several people are, the portal answers with one that ends itself
    scene.open(firsts, login, by_worker=scene.setup in _APART)
    first.stop()
    page.goto(f"{scene.url}/open/")
    with page.expect_navigation():
        page.click("text=Sign out everywhere")
    scene.enter(scene, second)
    scene.start(second, port)
    scene.open(scene.address(first, "page"), second)
    if workers := page.evaluate(_REGISTERED):
        raise NotHeld(f"at {page.url} are {workers} service workers")
    page.goto(firsts)  # where the worker is, if it is; it asks the portal for the second one's things now


def _asked_first(does: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """A link leads to a page that asks."""

    def do(scene: Scene) -> None:
        does(scene)
        scene.page.get_by_role("link", name="Go on").wait_for()

    return do


def _gone_on(does: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """The same, and the person goes on."""
    asked = _asked_first(does)

    def do(scene: Scene) -> None:
        asked(scene)
        scene.page.get_by_role("link", name="Go on").click()

    return do


def _nobody(_: Scene) -> None:
    return None


def _at_hers(scene: Scene) -> Weak:
    return scene.hers


def _at_bobs(scene: Scene) -> Weak | None:
    """Origins that applications share show nobody another's."""
    return scene.bobs if scene.setup == "label" else None


def _ways(
    name: str,
    does: Callable[[Scene], None],
    runs: Callable[[Scene], Weak | None],
    where: tuple[str, ...] = (*SETUPS, OLD),
) -> list[Case]:
    """A link: where applications are together, a person is asked first, and may go on."""
    together = tuple(one for one in where if one in _TOGETHER)
    return [
        Case(name, _TAKEN, does, runs, tuple(one for one in where if one in _APART)),
        Case(f"{name}, and no click on what asks", "the same", _asked_first(does), _nobody, together),
        Case(f"{name}, and a click on what asks", _TAKEN, _gone_on(does), runs, together),
    ]


_TAKEN = "a token, and her files of mode 0600"
_FIRSTS = "the first one's page"
CASES: Final = (
    *_ways("a link to a script stored in her own application", _link, _at_hers),
    *_ways("a link to one that it reflects", _reflected, _at_hers),
    *_ways("a link by Open OnDemand's address", _ondemand, _at_hers),
    *_ways("a link by the name of her forward", _named, _at_hers, _SHARED),
    *_ways("a link by its plain label", _plain_label, _at_hers, _APART),
    *_ways("a form that leads to it", _form, _at_hers),
    *_ways("a window that is opened at it", _window, _at_hers),
    *_ways("a redirect to it", _redirect, _at_hers),
    *_ways("a <base> that makes a link lead to it", _base, _at_hers),
    Case("a form that is posted to it", "nothing", _posted_form, _nobody),
    Case("a frame around it", "nothing", _frame, _nobody),
    Case("a link to bob's application, which he shares", "nothing", _shared, _at_bobs, _APART),
    Case("the same, and no click on what asks", "nothing", _asked_first(_shared), _nobody, _TOGETHER),
    Case("the same, and a click on what asks", "nothing", _gone_on(_shared), _nobody, _TOGETHER),
    Case("fetch, frame, window and WebSocket of a third site", "nothing", _direct, lambda scene: scene.third),
    Case("a form of a third site that makes a token", "nothing", _posted, _nobody),
    Case("bob's session planted among her files by a script", "bob's session in WebKit", _planted, _nobody, _SHARED),
    Case("carol's service worker where alice is next", _FIRSTS, _carols_worker, _nobody, _SHARED),
    Case("alice's service worker where bob is next", _FIRSTS, _alices_worker, _nobody, _SHARED),
)
