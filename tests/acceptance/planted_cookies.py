"""Cookies that bob's page plants for the whole site neither lock alice out nor make her act as bob."""

from __future__ import annotations

from typing import Any

from tests.acceptance.isolation import witness
from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

BROWSERS = ("chromium", "firefox", "webkit")
HOSTNAME = "portal.test"  # below localhost, browsers take no cookie for the parent
_NAME = "__Host-Http-supercloud"
_PLANT = """([names, content, path, domain]) => {
  for (const name of names)
    document.cookie = `${name}=${content}; Domain=${domain}; Path=${path}; Secure`;
  return document.cookie.length;
}"""
_LONG = """async url => {
  const image = new Image();
  await new Promise(done => { image.onload = image.onerror = done; image.src = url; });
  window.open(url);
}"""


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = LocalSite(lab, HOSTNAME, plain_first=True)  # WebKit would ask its person for a certificate
    bobs = witness(lab, "bob", gid="proj")
    with lab.browser(site.ca, *site.rules) as browser:
        for attack in (_too_many, _long_links, _two):
            context = site.context(browser, "alice")
            page = context.new_page()
            page.goto(f"{site.url}/fw2/localhost:{bobs.port}/page")
            attack(lab, site, context, page)
            context.close()


def _too_many(lab: Lab, site: LocalSite, context: Any, page: Any) -> None:
    size = page.evaluate(_PLANT, [[f"b{number}" for number in range(60)], "x" * 4000, "/", HOSTNAME])
    lab.saw(f"bob's page has {size} bytes of cookies for {HOSTNAME}")
    hers = context.new_page()
    hers.goto(f"{site.url}/dav/~/")
    said = hers.inner_text("body")
    lab.holds("cookies" in said and "Sign in again" in said, f"alice is told what happened: {said!r}")
    hers.goto(f"{site.url}/dav/~/")
    lab.holds("Sign in" in hers.title(), f"and then she can sign in: {hers.title()!r}")
    left = [one["name"] for one in context.cookies([f"{site.url}/dav/~/"]) if one["name"] != _NAME]
    lab.holds(not left, f"as no cookie is left {left or ''}")


def _long_links(lab: Lab, site: LocalSite, context: Any, page: Any) -> None:
    page.evaluate(_LONG, f"{site.url}/?{'x' * 70_000}")
    page.wait_for_timeout(1000)
    hers = context.new_page()
    hers.goto(f"{site.url}/open/")
    lab.holds("Your applications" in hers.title(), "links of bob's that are too long sign alice out of nothing")


def _two(lab: Lab, site: LocalSite, context: Any, page: Any) -> None:
    for path in ("/dav", "/"):
        page.evaluate(_PLANT, [[_NAME, f"{_NAME}-nonce", f"{_NAME}-viewer"], "planted", path, HOSTNAME])
    hers = context.new_page()
    hers.goto(f"{site.url}/dav/~/")
    said = hers.inner_text("body")
    if "alice" in said:
        lab.saw("this browser lets no page plant a cookie by the name of the portal's: alice sees her files")
        return
    lab.holds("two cookies" in said and "Sign in again" in said, f"alice is told what happened: {said!r}")
    hers.goto(f"{site.url}/dav/~/")
    lab.holds("Sign in" in hers.title(), f"and then she can sign in: {hers.title()!r}")
    left = [one["value"] for one in context.cookies([f"{site.url}/dav/~/"]) if one["value"] == "planted"]
    lab.holds(not left, f"as no planted cookie is left {left or ''}")
