"""Every page in Chromium, light and dark, on a desk and a phone: axe-core, width, keyboard; and without a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.portal import until
from lab.processes import free_port
from playwright.sync_api import Error

from tests.acceptance.content_of import LONG, Content
from tests.acceptance.examining import GRAVE, Watch, is_too_wide, unreached, violations
from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import PasswordSite, password_of

_PATIENCE = 10_000  # milliseconds
_DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
_PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
WAYS: dict[str, dict[str, Any]] = {
    f"{window}-{scheme}": {**size, "color_scheme": scheme}
    for window, size in (("desk", _DESK), ("phone", _PHONE))
    for scheme in ("light", "dark")
}
_WRONG = """<title>control</title><meta name="viewport" content="width=device-width">
<p style="width: 900px; color: #aaa; background: #fff">plain</p><img src="data:,">
<img src="https://elsewhere.test/x" alt="x"><button style="outline: none">unseen</button>
<button tabindex="-1" onclick="1">unreached</button>"""
_NOTICES = """
[[notice]]
text = "The scratch file system is slow today: what you need soon is better kept in your home folder."
kind = "warning"
[[notice]]
text = "JupyterLab 4.5 is there."
"""
_CLOSED = '[maintenance]\ntext = "The cluster gets a new network. It is back at six."\nallow = ["alice"]\n'
_APPS = {
    "jupyterlab": "JupyterLab",
    "notebook": "Notebook",
    "tensorboard": "TensorBoard",
    "web": "Web application",
    "code-server": "Code editor",
}


@dataclass(frozen=True, slots=True)
class View:
    """A page as somebody comes to it.

    :ivar path: at the portal; or a whole address.
    :ivar shows: text that is on it, with a script or without.
    :ivar login: whose; "" for nobody's.
    :ivar act: what is done on it before it is looked at.
    :ivar is_scripted: it cannot be had without a script.
    :ivar is_inert: nothing runs on it, axe-core neither.
    """

    name: str
    path: str
    shows: str
    status: int = 200
    login: str = "alice"
    act: Callable[[Any], None] | None = None
    is_scripted: bool = False
    is_inert: bool = False


def run(lab: Lab) -> None:
    """See the module's first line."""
    folder = lab.folder / "portal-url-fw"
    folder.mkdir()
    folder.chmod(0o1777)
    more = f'[forwards]\ndirectory = "{folder}"\n[scheduler]\nkind = "local"\n'
    # A name of its own: on *.localhost a browser forgives what it does not elsewhere.
    site = PasswordSite(lab, "portal.test", more=more)
    _tell(site, _NOTICES)
    content = Content(lab, site, folder)
    views = [*_of_the_front(site, content), *_of_the_workspace(content), *_of_files(content)]
    wrong: list[str] = []
    with lab.browser(site.ca, *site.rules) as browser:
        _control(lab, browser)
        _opens_by_itself(lab, site, browser, content)
        for way in WAYS:
            wrong += _look(lab, site, browser, views, way)
        wrong += _without_script(site, browser, views)
        site.of("bob")  # is signed in before
        _tell(site, _CLOSED)
        for way in WAYS:
            wrong += _look(lab, site, browser, _of_maintenance(), way)
    for line in wrong:
        lab.saw(f"WRONG {line}")
    lab.holds(not wrong, f"{len(views)} pages, {len(WAYS)} ways, and without a script: nothing is wrong")


def _control(lab: Lab, browser: Any) -> None:
    """What looks for something wrong finds it."""
    context = browser.new_context(**_PHONE)
    page = context.new_page()
    watch = Watch(page)
    page.set_content(_WRONG, wait_until="commit")
    found = {what.partition(" ")[0] for impact, what in violations(page) if impact in GRAVE}
    lab.holds({"image-alt", "color-contrast", "html-has-lang"} <= found, f"control: axe-core finds {sorted(found)}")
    lab.holds(is_too_wide(page), "control: a wide page is found to be wide")
    missing = unreached(page)
    lab.holds(len(missing) == 2, f"control: {missing}")
    page.get_by_text("plain").click()
    lab.holds(any("elsewhere.test" in words for words in watch.found), f"control: {watch.found}")
    context.close()


def _opens_by_itself(lab: Lab, site: PasswordSite, browser: Any, content: Content) -> None:
    for is_scripted in (True, False):
        port = free_port()
        profiles = _Profiles(site, browser, {**_DESK, "java_script_enabled": is_scripted})
        page = profiles.page("alice")
        page.goto(site.own(f"localhost-{port}"))
        page.get_by_text("Nothing listens").wait_for()
        content.listen("alice", port)
        page.get_by_text("Directory listing").wait_for()
        lab.saw(f"a page that waits opens the application by itself, {'with' if is_scripted else 'without'} a script")
        profiles.close()


def _look(lab: Lab, site: PasswordSite, browser: Any, views: list[View], way: str) -> list[str]:
    wrong: list[str] = []
    milder: Counter[str] = Counter()
    profiles = _Profiles(site, browser, WAYS[way])
    for view in views:
        page = profiles.page(view.login)
        watch = Watch(page)
        found = _arrive(site, page, view)
        lab.screenshot(page, f"{view.name}-{way}", full_page=True)
        found += watch.found
        for impact, what in [] if view.is_inert else violations(page):
            if impact in GRAVE:
                found.append(f"{impact}: {what}")
            else:
                milder[f"{impact}: {what}"] += 1
        if is_too_wide(page):
            found.append("it has to be scrolled sideways")
        if way == "desk-light":
            found += unreached(page)
        wrong += [f"{view.name}, {way}: {words}" for words in found]
        page.close()
    profiles.close()
    for words, number in milder.most_common():
        lab.saw(f"{way}: {number} times {words}")
    lab.saw(f"{way}: {len(views)} pages looked at")
    return wrong


def _without_script(site: PasswordSite, browser: Any, views: list[View]) -> list[str]:
    wrong = []
    profiles = _Profiles(site, browser, {**_DESK, "java_script_enabled": False})
    for view in views:
        if not view.is_scripted:
            page = profiles.page(view.login)
            wrong += [f"{view.name}, without a script: {words}" for words in _arrive(site, page, view)]
            page.close()
    profiles.close()
    return wrong


class _Profiles:
    """Of a browser, one for each person.

    :param options: of playwright's contexts.
    """

    def __init__(self, site: PasswordSite, browser: Any, options: dict[str, Any]) -> None:
        self._site, self._browser, self._options = site, browser, options
        self._contexts: dict[str, Any] = {}

    def page(self, login: str) -> Any:
        """A new page of somebody's; of somebody new for ""."""
        if not login and login in self._contexts:
            self._contexts.pop(login).close()
        if login not in self._contexts:
            make = self._site.context if login else lambda browser, _, **options: browser.new_context(**options)
            self._contexts[login] = make(self._browser, login, **self._options)
            self._contexts[login].set_default_timeout(_PATIENCE)
        return self._contexts[login].new_page()

    def close(self) -> None:
        """All of them."""
        for context in self._contexts.values():
            context.close()


def _arrive(site: PasswordSite, page: Any, view: View) -> list[str]:
    answer = page.goto(view.path if "://" in view.path else site.url + view.path)
    found = [] if answer.status == view.status else [f"the status is {answer.status}"]
    try:
        if view.act is not None:
            view.act(page)
        page.get_by_text(view.shows).first.wait_for()
    except Error as error:
        found.append(f"it does not say {view.shows!r}, or {str(error).splitlines()[0]}")
    return found


def _of_the_front(site: PasswordSite, content: Content) -> list[View]:
    own = site.own(f"localhost-{content.unused}") + "/"
    return [
        View("login", "/login?next=%2Fjobs", "Password", 401, ""),
        View("login-wrong", "/login", "do not fit", 401, "", lambda page: _sign_in(page, "wrong")),
        View("signed-out", "/login", "You are signed out", 401, "", _sign_in_and_out),
        View("tokens", "/tokens", "New token"),
        View("tokens-made", "/tokens", "it is not shown again", act=_make_token),
        View("open", "/open/", f"localhost:{content.port}"),
        View("open-empty", "/open/", "None yet", login="carol"),
        View("origins", "/.portal/origins", "*.fh.portal.test"),
        View("waiting-job", f"/open/{content.jobs['starting']}", "This job has not said", 503),
        View("waiting-port", f"/fw2/localhost:{content.unused}/", "Nothing listens", 503),
        View("waiting-origin", own, "Nothing listens", 503),
        View("forward-silent", "/fw/alice-silent/", "alice-silent", 503),
        View("forward-off", "/fw/alice-off/", "chmod u+x", 410),
        View("forward-broken", "/fw/alice-broken/", "cannot be used", 502),
        View("forward-of-bob", "/fw/bob-private/", "not yours", 404),
        View("port-of-bob", f"/fw2/localhost:{content.others}/", "not yours", 404),
        View("nothing-there", "/nothing/there", "nothing at this address", 404),
    ]


def _of_the_workspace(content: Content) -> list[View]:
    views = [
        View("home", "/", "Running"),
        View("home-ended", "/", "ended", act=lambda page: page.locator("summary").click()),
        View("home-empty", "/", "Nothing runs now", login="carol"),
        View("launch", "/launch", "Parameter sweep"),
        View("launch-unknown", "/launch/nothing", "no such application", 404),
        View("jobs", "/jobs", "Web application"),
        View("jobs-empty", "/jobs", "You have no jobs", login="carol"),
        View("job-unknown", "/jobs/999999", "There is no job", 404),
        View("forwards", "/forwards", "alice-board"),
        View("forwards-wrong", "/forwards", "http://NODE:PORT/", act=_make_forward),
        View("forwards-empty", "/forwards", "You have none", login="carol"),
        View("keys", "/keys", "alice@laptop"),
        View("keys-wrong", "/keys", "no public key", act=_add_key),
        View("keys-empty", "/keys", "You have none", login="carol"),
    ]
    said = {"waiting": "waits", "starting": "it takes its time", "ready": "Open", "done": "all is well"}
    said |= {"failed": "no data", "unable": "no environment", "stopped": "stopped", "idle": "Nobody uses it"}
    views += [View(f"job-{stage}", f"/jobs/{content.jobs[stage]}", words) for stage, words in said.items()]
    for app, title in {**_APPS, "sweep": "Parameter sweep"}.items():
        views.append(View(f"launch-{app}", f"/launch/{app}", title))
        views.append(View(f"launch-{app}-wrong", f"/launch/{app}", "has to be changed", act=_fill_wrongly))
        views.append(View(f"launch-{app}-more", f"/launch/{app}", title, act=_open_more))
    return views


def _of_maintenance() -> list[View]:
    return [
        View("closed", "/", "closed for maintenance", 503, "bob"),
        View("closed-login", "/login", "Closed for maintenance", 401, ""),
        View("closed-but-for-her", "/", "Closed for maintenance"),
    ]


def _tell(site: PasswordSite, notices: str) -> None:
    """Write the site's notices, and wait until its pages have them."""
    site.notices.write_text(notices)
    site.notices.chmod(0o644)
    words = notices.partition('text = "')[2].partition('"')[0]
    until(lambda: words in site.curl()(f"{site.url}/login").text, "the notices")


def _of_files(content: Content) -> list[View]:
    return [
        View("home-folder", "/dav/~/", "work"),
        View("files", "/dav/~/work/", "thesis.pdf"),
        View("files-by-size", "/dav/~/work/?by=size&down=1", "thesis.pdf"),
        View("files-empty", "/dav/~/work/empty%20folder/", "This folder is empty"),
        View("files-of-others", "/dav/etc/", "You cannot change"),
        View("files-none", "/dav/~/work/nothing/", "There is nothing of this name", 404),
        View("file-none", "/dav/~/work/nothing", "There is nothing of this name", 404, is_inert=True),
        View("files-new", "/dav/~/work/", "New folder", act=_name_folder, is_scripted=True),
        View("files-actions", "/dav/~/work/", "Rename", act=_show_actions, is_scripted=True),
        View("files-delete", "/dav/~/work/", "cannot be undone", act=_delete, is_scripted=True),
        View("files-upload", "/dav/~/work/", "data.bin", act=_upload, is_scripted=True),
    ]


def _sign_in(page: Any, password: str, login: str = "carol") -> None:
    page.fill("#login", login)
    page.fill("#password", password)
    page.click("main button")
    page.wait_for_load_state()


def _sign_in_and_out(page: Any) -> None:
    _sign_in(page, password_of("bob"), "bob")
    page.get_by_role("button", name="Sign out everywhere").click()


def _make_token(page: Any) -> None:
    page.fill("#name", "laptop-" + "x" * 53)  # as long as it may be
    page.click("input[name='for-dav']")
    page.click("text=Make a token")


def _make_forward(page: Any) -> None:
    page.fill("#name", "alice-new")
    page.fill("#url", "node1 12001")
    page.click("text=Make it")


def _add_key(page: Any) -> None:
    page.fill("#key", "ssh-ed25519 nothing")
    page.click("text=Add it")


def _open_more(page: Any) -> None:
    for summary in page.locator("summary").all():
        summary.click()


def _fill_wrongly(page: Any) -> None:
    _open_more(page)
    for field in page.locator("form.launch input:visible:not([type=number]):not([type=checkbox])").all():
        field.fill("what this is not")
    for field in page.locator("form.launch textarea").all():
        field.fill(LONG * 60)
    page.click("button.primary")


def _name_folder(page: Any) -> None:
    page.get_by_role("button", name="New folder").click()


def _show_actions(page: Any) -> None:
    page.get_by_role("button", name="Actions for thesis.pdf").click()


def _delete(page: Any) -> None:
    page.get_by_role("button", name=f"Actions for {LONG}.dat").click()
    page.get_by_role("button", name="Delete…").click()


def _upload(page: Any) -> None:
    """One that stays under way."""
    session = page.context.new_cdp_session(page)

    def paused(event: Any) -> None:
        if event["request"]["method"] != "PUT":
            session.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    session.on("Fetch.requestPaused", paused)
    session.send("Fetch.enable", {"patterns": [{"urlPattern": "*/data.bin"}]})
    page.set_input_files("#picked", {"name": "data.bin", "mimeType": "x/y", "buffer": b"x" * 100_000})
