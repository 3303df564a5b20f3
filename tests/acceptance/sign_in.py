"""Signing in by password in a browser, on a desktop and a phone, on to an application; making and revoking a token."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from lab.processes import PYTHON, free_port, wait_until_listening

from tests.acceptance.browsers import KINDS
from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import PasswordSite, password_of

BROWSERS = KINDS
WINDOWS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 375, "height": 667}}


def run(lab: Lab) -> None:
    """One person, two windows."""
    # A name of its own: on *.localhost a browser forgives what it does not elsewhere.
    site = PasswordSite(lab, "portal.test")
    port = free_port()
    argv = [PYTHON, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    application = lab.accounts.run_as("alice", argv, stderr=subprocess.DEVNULL)
    wait_until_listening("127.0.0.1", port, process=application)
    with lab.browser(site.ca, *site.rules) as browser:
        for window, size in WINDOWS.items():
            context = browser.new_context(viewport=size)
            label = f"localhost-{port}-u{lab.accounts['alice'].uid}"
            _walk(lab, site, context.new_page(), site.own(label) + "/", window)
            context.close()


def _walk(lab: Lab, site: PasswordSite, page: Any, application: str, window: str) -> None:
    page.goto(application)
    lab.holds(
        page.url.startswith(f"{site.url}/login?"), f"{window}: an application leads whom nobody knows to the form"
    )
    _fill(page, "not the password")
    lab.holds("do not fit" in page.inner_text("main"), f"{window}: a wrong password is said to be wrong")
    lab.holds(page.input_value("#login") == "alice", f"{window}: the login is still there")
    lab.screenshot(page, f"form-{window}")
    _fill(page, password_of("alice"))
    page.wait_for_url(f"{application}**")
    lab.holds("Directory listing" in page.inner_text("body"), f"{window}: the right one leads on to the application")
    page.goto(f"{site.url}/tokens")
    page.fill("#name", window)
    page.click("input[name='for-dav']")
    page.click("text=Make a token")
    made = re.findall(r"scp_[0-9a-f]{64}", page.inner_text("main"))
    lab.holds(len(made) == 1, f"{window}: a token is shown")
    lab.screenshot(page, f"tokens-{window}")
    width = page.evaluate("document.documentElement.scrollWidth")
    lab.holds(width <= WINDOWS[window]["width"], f"{window}: nothing is wider than the window")
    drive, how = site.curl(), ("--head", "--user", f"alice:{made[0]}")
    lab.holds(drive(f"{site.dav}/tmp/", *how).status == 200, f"{window}: a program gets at files by the token")
    page.click(f"button[aria-label='Revoke {window}']")
    page.wait_for_function("!document.querySelector('ul.list')")
    lab.holds(drive(f"{site.dav}/tmp/", *how).status == 401, f"{window}: revoked, it opens nothing")
    with page.expect_navigation():
        page.click("text=Sign out everywhere")
    page.goto(f"{site.url}/tokens")
    lab.holds("/login" in page.url, f"{window}: who signed out is asked for a password again")


def _fill(page: Any, password: str) -> None:
    page.fill("#login", "alice")
    page.fill("#password", password)
    with page.expect_navigation():
        page.keyboard.press("Enter")
