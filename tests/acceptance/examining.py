"""What is wrong with a page: for whoever sees little, has a small screen or no mouse; and what it does unasked."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

_AXE: Final = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
GRAVE: Final = frozenset({"serious", "critical"})
# A finger finds what is 24 pixels wide (WCAG 2.2, 2.5.8); axe does not look unless it is told to.
_RUN: Final = "axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}})"
# What the Tab key must lead to; in a dialog, to what is in it.
_CONTROLS: Final = """() => {
  const root = document.querySelector('dialog:modal') || document;
  const kinds = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
  self.controls = [...root.querySelectorAll(kinds)].filter((one) => !one.disabled && one.checkVisibility());
  return self.controls.map((one) => `${one.localName} ${(one.ariaLabel || one.name || one.textContent).trim()}`);
}"""
_FOCUSED: Final = """() => {
  const one = document.activeElement, style = getComputedStyle(one), at = one.getBoundingClientRect();
  const isLined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
  const isInside = at.right > 0 && at.bottom > 0 && at.left < innerWidth && at.top < innerHeight;
  return [self.controls.indexOf(one), isLined && isInside && at.width > 4 && at.height > 4];
}"""


# What a page is made of.
_PART: Final = re.compile(r"^/\.portal/|^/favicon|\.(css|js|svg|png|ico)$")


class Watch:
    """What a page does that it must not.

    :param page: one that was nowhere yet.
    :ivar found: in words.
    """

    def __init__(self, page: Any) -> None:
        self.found: list[str] = []
        page.on("request", self._requested)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.found.append(f"its script fails: {error}"))

    def _requested(self, request: Any) -> None:
        """A person goes where a link leads; a page goes nowhere."""
        if not request.is_navigation_request() and _origin(request.url) != _origin(request.frame.url):
            self.found.append(f"it asks for {request.url}")

    def _said(self, message: Any) -> None:
        """The console: Content-Security-Policy complains there. So do answers of 400 and more, which may be meant."""
        is_status = message.text.startswith("Failed to load resource: the server responded with a status of")
        is_part = _PART.search(urlsplit(message.location["url"]).path) is not None
        if message.type in ("error", "warning") and (is_part or not is_status):
            self.found.append(f"the console says {message.text[:300]!r} of {message.location['url']}")


def violations(page: Any) -> list[tuple[str, str]]:
    """What axe-core finds: how grave it is, and what."""
    page.evaluate(f"{_AXE}\n;0")
    found = []
    for one in page.evaluate(_RUN)["violations"]:
        where = "; ".join(" ".join(node["target"]) for node in one["nodes"][:3])
        why = " ".join(one["nodes"][0]["failureSummary"].split())
        found.append((str(one["impact"]), f"{one['id']} at {where}: {why[:300]}"))
    return found


def is_too_wide(page: Any) -> bool:
    """Whether one has to scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def unreached(page: Any) -> list[str]:
    """Controls that the Tab key does not lead to, or without that one sees it."""
    names = page.evaluate(_CONTROLS)
    missing, hidden = set(range(len(names))), set()
    for _ in range(2 * len(names) + 10):
        page.keyboard.press("Tab")
        number, is_seen = page.evaluate(_FOCUSED)
        missing.discard(number)
        if number >= 0 and not is_seen:
            hidden.add(number)
        if not missing:
            break
    return [f"no Tab leads to {names[number]}" for number in sorted(missing)] + [
        f"focus is not seen on {names[number]}" for number in sorted(hidden)
    ]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
