"""What acceptances use of Playwright's interface, for the browsers that WebDriver drives: Firefox and WebKit.

Whoever writes a test for all browsers keeps to what is here; the meaning is Playwright's. Elements are looked for by
CSS or XPath in the browser's own code, so it works in pages that run no scripts.
"""

from __future__ import annotations

import base64
import functools
import re
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from tests.acceptance.webdriver import ELEMENT, Session, WebDriverError, until

_KEYS: Final = {
    "Enter": "\ue006", "Tab": "\ue004", "Escape": "\ue00c", "Shift": "\ue008", "Control": "\ue009",
}  # fmt: skip
_CALL: Final = """
const [argument, done] = arguments;
const fail = (error) => done({error: String(error)});
try {
  const made = (EXPRESSION);
  Promise.resolve(typeof made === 'function' ? made(argument) : made).then((value) => done({value}), fail);
} catch (error) { fail(error); }
"""
_NOTE: Final = """() => {
  self.problems = [];
  addEventListener('error', (event) => self.problems.push(event.message));
  addEventListener('unhandledrejection', (event) => self.problems.push(String(event.reason)));
  document.addEventListener('securitypolicyviolation', (event) => self.problems.push(event.violatedDirective));
}"""
# Where it is said what an element of a role is; the name of one is its label or else its text.
_ROLES: Final = {"link": "self::a[@href]", "button": "self::button"}
_FIELDS: Final = "self::input or self::textarea or self::select"


class Context:
    """A browser with a profile of its own.

    :param downloads: where it puts what it saves.
    :param at_close: is told of it.
    """

    def __init__(
        self, session: Session, downloads: Path, viewport: dict[str, int], at_close: Callable[[Context], object]
    ) -> None:
        self.session, self.downloads, self._at_close = session, downloads, at_close
        self._viewport = viewport
        self.timeout = 30.0
        self._window = ""
        session("POST", "/timeouts", {"script": 120_000, "pageLoad": 60_000, "implicit": 0})
        self._unused = self._handles()

    def __call__(self, handle: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A command in a window."""
        if self._window != handle:
            self.session("POST", "/window", {"handle": handle})
            self._window = handle
        return self.session(method, path, body)

    @property
    def pages(self) -> list[Page]:
        return [Page(self, handle) for handle in self._handles()]

    def new_page(self) -> Page:
        if self._unused:
            handle = self._unused.pop()
        else:  # a tab that is not in front would not be painted in WebKit
            handle = self(self._handles()[0], "POST", "/window/new", {"type": "window"})["handle"]
        page = Page(self, handle)
        page.resize(**self._viewport)
        return page

    @contextmanager
    def expect_page(self) -> Iterator[SimpleNamespace]:
        before, opened = set(self._handles()), SimpleNamespace()
        yield opened
        new = until(lambda: set(self._handles()) - before, "a new window", self.timeout)
        opened.value = Page(self, new.pop())

    def set_default_timeout(self, milliseconds: float) -> None:
        self.timeout = milliseconds / 1000

    def add_cookies(self, cookies: list[dict[str, Any]]) -> None:
        """Each is for one host: ``url``."""
        page = Page(self, self._handles()[0])
        for cookie in cookies:
            page.goto(f"{cookie['url']}/healthz")
            given = {key: value for key, value in cookie.items() if key != "url"}
            page.command("POST", "/cookie", {"cookie": {"path": "/", **given}})

    def cookies(self, urls: list[str]) -> list[dict[str, Any]]:
        """Those that go to some addresses."""
        page, found = self.new_page(), []
        for url in urls:
            page.goto(url)
            found += [one for one in page.command("GET", "/cookie") if one not in found]
        page.close()
        return found

    def close(self) -> None:
        self._at_close(self)
        self.session.close()

    def left(self) -> None:
        """The window that commands went to is there no more."""
        self._window = ""

    def _handles(self) -> list[str]:
        return list(self.session("GET", "/window/handles"))


class Page:
    """A window.

    :ivar frames: it and those in it, as they are now.
    """

    def __init__(self, context: Context, handle: str) -> None:
        self.context, self._handle = context, handle
        self.keyboard = _Keyboard(self)

    def command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One of the recommendation's."""
        return self.context(self._handle, method, path, body)

    def evaluate(self, expression: str, argument: object = None) -> Any:
        """The value of an expression, or what the function that it is gives, once it is there."""
        script = _CALL.replace("EXPRESSION", expression)
        got = self.command("POST", "/execute/async", {"script": script, "args": [argument]})
        if got is None or "error" in got:
            raise WebDriverError("javascript error", got["error"] if got else "the page went meanwhile")
        return got.get("value")

    def goto(self, url: str) -> None:
        self.command("POST", "/url", {"url": url})

    def reload(self) -> None:
        self.command("POST", "/refresh")

    @property
    def url(self) -> str:
        return str(self.command("GET", "/url"))

    def title(self) -> str:
        return str(self.command("GET", "/title"))

    def close(self) -> None:
        self.command("DELETE", "/window")
        self.context.left()

    def resize(self, width: int, height: int) -> None:
        """Have a page see so many pixels."""
        outer = self.command("POST", "/window/rect", {"width": width, "height": height})
        inner = struct.unpack("!II", self._picture()[16:24])  # a PNG says its size there
        size = {"width": width + outer["width"] - inner[0], "height": height + outer["height"] - inner[1]}
        self.command("POST", "/window/rect", size)

    def screenshot(self, path: str) -> None:
        Path(path).write_bytes(self._picture())

    def _picture(self) -> bytes:
        return base64.b64decode(self.command("GET", "/screenshot"))

    def locator(self, selector: str) -> Locator:
        """CSS, with ``:has-text("…")`` and ``:visible``; or ``text=…``."""
        if selector.startswith("text="):
            return self.get_by_text(selector.removeprefix("text="))
        text = re.search(r':has-text\("(.*?)"\)', selector)
        css = re.sub(r':has-text\(".*?"\)|:visible', "", selector)
        return Locator(self, "css selector", css, has_text=text[1] if text else "")

    def get_by_role(self, role: str, *, name: str = "", exact: bool = False) -> Locator:
        return Locator(self, "xpath", _by_role(role, name, exact=exact))

    def get_by_label(self, label: str, *, exact: bool = False) -> Locator:
        said = _says("normalize-space(.)", label, exact=exact)
        labelled = (
            f"@id = //label[{said}]/@for or ancestor::label[{said}] or {_says('@aria-label', label, exact=exact)}"
        )
        return Locator(self, "xpath", f".//*[{_FIELDS}][{labelled}]")

    def get_by_text(self, text: str) -> Locator:
        said = _says("normalize-space(.)", text, exact=False)
        return Locator(self, "xpath", f".//body//*[{said}][not(self::script)][not(*[{said}])]")

    def click(self, selector: str) -> None:
        self.locator(selector).click()

    def fill(self, selector: str, text: str) -> None:
        self.locator(selector).fill(text)

    def inner_text(self, selector: str) -> str:
        return self.locator(selector).inner_text()

    def input_value(self, selector: str) -> str:
        return str(self.locator(selector).get("property/value"))

    def set_input_files(self, selector: str, files: list[str]) -> None:
        found = until(self.locator(selector).all, selector, self.context.timeout)
        self.command("POST", f"/element/{found[0]}/value", {"text": "\n".join(files)})

    def wait_for_selector(self, selector: str, *, timeout: float = 0, state: str = "visible") -> None:
        self.locator(selector).wait_for(timeout=timeout, state=state)

    def wait_for_url(self, pattern: str) -> None:
        """:param pattern: it may end with ``**``."""
        begin = pattern.removesuffix("**")
        until(lambda: self.url.startswith(begin), pattern, self.context.timeout)
        self.wait_for_load_state()

    def wait_for_function(self, expression: str) -> None:
        until(lambda: self.evaluate(expression), expression, self.context.timeout)

    def wait_for_load_state(self) -> None:
        there = "document.readyState === 'complete' && location.href !== 'about:blank'"
        until(lambda: self.evaluate(there), "the page", self.context.timeout)

    def wait_for_timeout(self, milliseconds: float) -> None:
        time.sleep(milliseconds / 1000)

    def dialogs(self) -> list[str]:
        """The message that a script shows now."""
        try:
            return [self.command("GET", "/alert/text")]
        except WebDriverError as error:
            if error.error != "no such alert":
                raise
            return []

    @contextmanager
    def expect_navigation(self) -> Iterator[None]:
        self.evaluate("() => { self.stillHere = true; }")
        yield
        gone = "!self.stillHere && document.readyState === 'complete'"
        until(lambda: self.evaluate(gone), "another page", self.context.timeout)

    @contextmanager
    def expect_download(self) -> Iterator[SimpleNamespace]:
        saved, before = SimpleNamespace(), set(self.context.downloads.iterdir())
        yield saved
        find = functools.partial(_whole_file, self.context.downloads, before)
        saved.value = SimpleNamespace(suggested_filename=until(find, "a file that is saved", self.context.timeout))

    @property
    def frames(self) -> list[Frame]:
        found = [Frame(self.url, "")]
        try:
            for element in self.locator("iframe").all():
                self.command("POST", "/frame", {"id": {ELEMENT: element}})
                found.append(Frame(self.evaluate("location.href"), self.inner_text("html")))
                self.command("POST", "/frame/parent")
        finally:
            self.command("POST", "/frame", {"id": None})
        return found


@dataclass(frozen=True, slots=True)
class Frame:
    """What is in a frame.

    :ivar text: all of it that is seen.
    """

    url: str
    text: str

    def inner_text(self, selector: str) -> str:
        """:param selector: ``html``."""
        assert selector == "html"
        return self.text


class Locator:
    """How to find elements; the first that is seen is meant.

    :param within: elements in whose trees they are.
    """

    def __init__(
        self,
        page: Page,
        using: str,
        value: str,
        *,
        has_text: str = "",
        within: Locator | None = None,
        index: int = 0,
    ) -> None:
        self._page, self._using, self._value = page, using, value
        self._has_text, self._within, self._index = has_text, within, index

    @property
    def last(self) -> Locator:
        return Locator(self._page, self._using, self._value, has_text=self._has_text, within=self._within, index=-1)

    def get_by_role(self, role: str, *, name: str = "", exact: bool = False) -> Locator:
        return Locator(self._page, "xpath", _by_role(role, name, exact=exact), within=self)

    def all(self) -> list[str]:
        """Ids of the elements, seen or not."""
        places = [f"/element/{one}" for one in self._within.all()] if self._within else [""]
        body = {"using": self._using, "value": self._value}
        found = [one[ELEMENT] for place in places for one in self._page.command("POST", f"{place}/elements", body)]
        if self._has_text:
            text = "property/textContent"
            return [one for one in found if self._has_text in self._page.command("GET", f"/element/{one}/{text}")]
        return found

    def seen(self) -> list[str]:
        """Ids of those that are seen."""
        return [one for one in self.all() if self._page.command("GET", f"/element/{one}/displayed")]

    def count(self) -> int:
        return len(self.seen())

    def wait_for(self, *, timeout: float = 0, state: str = "visible") -> None:
        find: dict[str, Callable[[], object]] = {
            "visible": self.seen,
            "attached": self.all,
            "hidden": lambda: not self.seen(),
        }
        until(find[state], f"{self._value} {self._has_text}", timeout / 1000 or self._page.context.timeout)

    def click(self) -> None:
        def try_it() -> bool:
            self._page.command("POST", f"/element/{self.seen()[self._index]}/click")
            return True

        self.wait_for()
        until(try_it, f"a click at {self._value}", self._page.context.timeout)

    def fill(self, text: str) -> None:
        self.wait_for()
        element = self.seen()[self._index]
        self._page.command("POST", f"/element/{element}/clear")
        self._page.command("POST", f"/element/{element}/value", {"text": text})

    def press(self, keys: str) -> None:
        self.wait_for()
        element = self.seen()[self._index]
        self._page.command("POST", f"/element/{element}/value", {"text": _KEYS.get(keys, keys)})

    def inner_text(self) -> str:
        return str(self.get("text"))

    def get_attribute(self, name: str) -> str:
        return str(self.get(f"attribute/{name}"))

    def get(self, what: str) -> Any:
        """Something of an element, seen or not."""
        self.wait_for(state="attached")
        return self._page.command("GET", f"/element/{self.all()[self._index]}/{what}")


class Problems:
    """What fails in the scripts of a page, or is against its policy, in words.

    :param page: of either interface; one that was nowhere yet.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._found: list[str] = []
        if not isinstance(page, Page):
            page.on("pageerror", lambda error: self._found.append(str(error)))
            page.on("console", lambda said: self._found.append(said.text) if "Content Security" in said.text else None)

    def begin(self) -> None:
        """WebDriver tells of neither: the document that is there now is asked to, so what was earlier is missed."""
        if isinstance(self._page, Page):
            self._page.evaluate(_NOTE)

    def __call__(self) -> list[str]:
        return self._page.evaluate("self.problems") if isinstance(self._page, Page) else self._found


def dialogs_of(page: Any) -> Callable[[], list[str]]:
    """What tells the messages that scripts showed, or show; for pages of either interface."""
    if isinstance(page, Page):
        return page.dialogs
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    return lambda: said


class _Keyboard:
    def __init__(self, page: Page) -> None:
        self._page = page

    def press(self, keys: str) -> None:
        *held, key = [_KEYS.get(one, one) for one in keys.split("+")]
        key = key.lower()
        downs = [("keyDown", one) for one in (*held, key)]
        self._act([*downs, *(("keyUp", one) for one in (key, *reversed(held)))])

    def type(self, text: str) -> None:
        keys = [_KEYS["Enter"] if one == "\n" else one for one in text]
        self._act([(kind, one) for one in keys for kind in ("keyDown", "keyUp")])

    def _act(self, actions: list[tuple[str, str]]) -> None:
        keys = {"type": "key", "id": "keys", "actions": [{"type": kind, "value": key} for kind, key in actions]}
        self._page.command("POST", "/actions", {"actions": [keys]})


def _whole_file(folder: Path, before: set[Path]) -> str:
    names = [one.name for one in set(folder.iterdir()) - before]
    return names[0] if len(names) == 1 and not names[0].endswith((".part", ".wkdownload")) else ""


def _by_role(role: str, name: str, *, exact: bool) -> str:
    label, text = _says("@aria-label", name, exact=exact), _says("normalize-space(.)", name, exact=exact)
    named = f"[{label} or (not(@aria-label) and {text})]" if name else ""
    return f".//*[{_ROLES[role]}]{named}"


def _says(what: str, text: str, *, exact: bool) -> str:
    literal = "concat('', " + ', "\'", '.join(f"'{part}'" for part in text.split("'")) + ")"
    return f"{what} = {literal}" if exact else f"contains({what}, {literal})"
