"""Upload with progress, new folder, rename, delete in a browser, on a desk, a phone, by keyboard; files stay inert."""

from __future__ import annotations

import base64
import os
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.acceptance import browsing
from tests.acceptance.browsers import KINDS, SAVES_SOUND
from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

BROWSERS = KINDS
_PHONE = {"width": 390, "height": 844}
_DESK = {"width": 1024, "height": 768}
# What hostile files would do: say so in the title, or change something.
_EVIL = """<title>quiet</title><script>document.title = 'ran'</script><script src="/.portal/files.js"></script>
<script src="evil.js"></script><img src=x onerror="document.title = 'ran'">
<meta http-equiv="refresh" content="0;url=/dav/"><iframe src="/dav/"></iframe>
<form action="/logout" method="post"><button id="b">b</button></form>
<a id="a" href="javascript:document.title='ran'">a</a>"""
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>quiet</title>
<script>document.documentElement.firstElementChild.textContent = 'ran'; document.title = 'ran'</script></svg>"""
_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\('ran'\\))>>>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj
trailer<</Root 1 0 R>>"""
_WAV = b"RIFF" + struct.pack("<I", 8036) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
_WAV += b"data" + struct.pack("<I", 8000) + b"\x80" * 8000
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = LocalSite(lab, "portal.test", plain_first=True)
    folder = lab.folder / "served"
    # What the test itself puts there, as root, is for alice to change.
    before = os.umask(0)
    try:
        folder.mkdir()
        _see(lab, site, f"{site.url}/dav{folder}/", folder)
    finally:
        os.umask(before)


def _see(lab: Lab, site: LocalSite, url: str, folder: Path) -> None:
    with lab.browser(site.ca, *site.rules) as browser:
        for name, size in (("desk", _DESK), ("phone", _PHONE)):
            is_phone = name == "phone"
            context = site.context(browser, "alice", viewport=size, has_touch=is_phone, is_mobile=is_phone)
            walk(lab, context, url, folder, name)
            context.close()
        context = site.context(browser, "alice", viewport=_DESK)
        by_keyboard(lab, context, url, folder)
        context.close()
        context = site.context(browser, "alice", viewport=_DESK, java_script_enabled=False)
        without_script(lab, context, url)
        context.close()
        context = site.context(browser, "alice", viewport=_DESK)
        inert(lab, context, url, folder)
        context.close()


def walk(lab: Lab, context: Any, url: str, folder: Path, name: str) -> None:
    """With pointer or finger.

    :param context: of a browser, signed in.
    :param url: of a folder, with a slash at its end.
    :param folder: the same on the disk, for looking at what came of it.
    """
    page = _opened(context, url)
    lab.screenshot(page, f"{name}-empty")
    _make_folder(page, f"results of {name}")
    lab.holds((folder / f"results of {name}").is_dir(), f"{name}: a folder is made")
    page.get_by_role("link", name=f"results of {name}", exact=True).click()
    page.get_by_role("link", name="Up one folder").wait_for()
    page.get_by_role("button", name="Upload files…").wait_for()
    page.problems.begin()
    here = folder / f"results of {name}"
    big = lab.folder / f"big-{name}.bin"
    big.write_bytes(bytes(150_000_000))
    seen = _progress_of(page, big)
    lab.screenshot(page, f"{name}-uploading")
    page.get_by_text("1 file is uploaded.").wait_for(timeout=60_000)
    lab.holds((here / big.name).stat().st_size == 150_000_000, f"{name}: 150 MB are uploaded, progress {seen()}")
    lab.holds(len(seen()) > 2, f"{name}: progress was seen {len(seen())} times")
    _cancel(lab, page, big, here, name)
    _replace(lab, page, here, name)
    _drop(lab, page, here, name)
    _names(lab, page, here, name)
    _rename_and_delete(lab, page, here, name)
    lab.screenshot(page, f"{name}-list")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    lab.holds(wide <= 0, f"{name}: nothing is wider than the window")
    _hold_quiet(lab, page, name)


def by_keyboard(lab: Lab, context: Any, url: str, folder: Path) -> None:
    """Tab, Enter and Escape only."""
    (folder / "by keys").mkdir()
    (folder / "by keys" / "old.txt").write_text("x")
    page = _opened(context, f"{url}by%20keys/")
    keys = page.keyboard

    def reach(name: str) -> None:
        for _ in range(40):
            keys.press("Tab")
            label = page.evaluate(
                "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"
            )
            if label == name:
                return
        raise AssertionError(f"the Tab key does not lead to {name!r}")

    reach("New folder…")
    keys.press("Enter")
    keys.type("made by keys")
    keys.press("Enter")
    page.get_by_role("link", name="made by keys", exact=True).wait_for()
    reach("Actions for old.txt")
    keys.press("Enter")
    page.locator("#acting[open]").wait_for()
    lab.screenshot(page, "keyboard-actions")
    reach("Rename…")
    keys.press("Enter")
    page.locator("#naming[open]").wait_for()
    keys.press("Control+A")
    keys.type("new.txt")
    keys.press("Enter")
    page.get_by_role("link", name="new.txt", exact=True).wait_for()
    lab.holds((folder / "by keys" / "new.txt").exists(), "keyboard: renamed")
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    lab.holds(focused == "Actions for new.txt", f"keyboard: the focus stays at its place: {focused}")
    keys.press("Enter")
    reach("Delete…")
    keys.press("Enter")
    page.locator("#asking[open]").wait_for()
    lab.holds(page.evaluate("document.activeElement.textContent") == "Cancel", "keyboard: Cancel is what Enter does")
    lab.screenshot(page, "keyboard-delete")
    keys.press("Escape")
    page.locator("#asking").wait_for(state="hidden")
    lab.holds((folder / "by keys" / "new.txt").exists(), "keyboard: Escape deletes nothing")
    keys.press("Enter")
    reach("Delete…")
    keys.press("Enter")
    reach("Delete")
    keys.press("Enter")
    page.get_by_text("new.txt is deleted.").wait_for()
    lab.holds(not (folder / "by keys" / "new.txt").exists(), "keyboard: deleted")


def without_script(lab: Lab, context: Any, url: str) -> None:
    """Looking needs none."""
    page = context.new_page()
    page.goto(url)
    page.get_by_role("link", name="Changed").click()
    page.get_by_role("link", name="by keys").click()
    page.get_by_role("link", name="Up one folder").click()
    lab.holds(page.url == url, "without a script: sorted, into a folder and up again")
    lab.holds(not page.get_by_role("button").count(), "without a script: no button that does nothing")


def inert(lab: Lab, context: Any, url: str, folder: Path) -> None:
    """Files of somebody else's, looked at."""
    (folder / "evil.html").write_text(_EVIL)
    (folder / "evil.js").write_text("document.title = 'ran'")
    (folder / "evil.svg").write_text(_SVG)
    (folder / "evil.pdf").write_bytes(_PDF)
    (folder / "plain.txt").write_text("<script>document.title = 'ran'</script>")
    page = context.new_page()
    dialogs = browsing.dialogs_of(page)
    page.goto(f"data:text/html,{quote(_EVIL)}")
    lab.holds(page.title() == "ran", "control: without a policy, the script of evil.html runs")
    page.goto(f"data:image/svg+xml,{quote(_SVG)}")
    lab.holds(page.title() == "ran", "control: without a policy, the script of evil.svg runs")
    for name in ("evil.html", "evil.svg", "plain.txt"):
        page.goto(url + name)
        page.wait_for_timeout(300)
        lab.holds(
            page.title() != "ran" and page.url == url + name, f"{name} is shown and runs nothing: {page.title()!r}"
        )
        lab.screenshot(page, name)
    page.goto(f"{url}evil.html")
    page.locator("#b").click()
    page.locator("#a").click()
    page.wait_for_timeout(300)
    lab.holds(page.url == f"{url}evil.html" and page.title() == "quiet", "evil.html: its form and link do nothing")
    page.goto(f"{url}evil.html/")
    told = page.inner_text("main")
    lab.holds("There is no folder of this name." in told, "evil.html/ is no folder, and no file")
    (folder / "tone.wav").write_bytes(_WAV)
    if lab.kind in SAVES_SOUND:
        page.goto(url)
        with page.expect_download() as sound:
            page.evaluate("url => { location.href = url }", f"{url}tone.wav")
        lab.holds(sound.value.suggested_filename == "tone.wav", "tone.wav is saved")
    else:
        page.goto(f"{url}tone.wav")
        page.wait_for_timeout(500)
        seconds = page.evaluate("document.querySelector('video, audio').duration")
        lab.holds(seconds == 1, f"tone.wav can be played: {seconds} s")
    (folder / "picture.png").write_bytes(_PNG)
    page.goto(f"{url}picture.png")
    lab.holds(page.evaluate("document.images[0].naturalWidth") == 1, "picture.png is shown")
    with page.expect_download() as download:
        page.evaluate("url => { location.href = url }", f"{url}evil.pdf")
    lab.holds(download.value.suggested_filename == "evil.pdf" and not dialogs(), "evil.pdf is saved, not shown")
    page.goto(url)
    got = page.evaluate(
        """async () => {
          const tried = {};
          const load = (tag, source, fields = {}) => new Promise((done) => {
            const element = Object.assign(document.createElement(tag), fields);
            element.onload = () => done('loaded'); element.onerror = () => done('refused');
            element[tag === 'link' ? 'href' : 'src'] = source;
            document.body.append(element);
            setTimeout(() => done('nothing'), 1500);
          });
          tried.script = await load('script', 'evil.js');
          tried.module = await load('script', 'evil.js', {type: 'module'});
          tried.worker = await new Promise((done) => {
            try { const made = new Worker('evil.js'); made.onerror = () => done('refused'); } catch { done('refused'); }
          });
          try { await navigator.serviceWorker.register('evil.js'); tried.service = 'loaded'; }
          catch { tried.service = 'refused'; }
          tried.inline = (() => { const one = document.createElement('script'); one.textContent = 'self.inline = 1';
            document.body.append(one); return self.inline ? 'loaded' : 'refused'; })();
          return tried;
        }"""
    )
    lab.holds(
        "loaded" not in got.values() and page.title() != "ran", f"no file becomes a script of the folder page: {got}"
    )


def _opened(context: Any, url: str) -> Any:
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.problems = browsing.Problems(page)
    page.goto(url)
    page.problems.begin()
    page.get_by_role("button", name="Upload files…").wait_for()
    return page


def _hold_quiet(lab: Lab, page: Any, name: str) -> None:
    problems = page.problems()
    lab.holds(not problems, f"{name}: no error of the script, nothing against the policy {problems or ''}")


def _make_folder(page: Any, name: str) -> None:
    page.get_by_role("button", name="New folder…").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name=name, exact=True).wait_for()


def _progress_of(page: Any, *files: Path) -> Any:
    """Begin an upload; gives what tells the values that its progress had."""
    page.evaluate(
        """() => { self.seen = []; new MutationObserver(() => {
          const bar = document.querySelector('#uploads li:last-child progress');
          if (bar && self.seen.at(-1) !== bar.value) self.seen.push(bar.value);
        }).observe(document.getElementById('uploads'), {subtree: true, childList: true, characterData: true}); }"""
    )
    page.set_input_files("#picked", [str(file) for file in files])
    while not page.evaluate("self.seen.length > 1"):  # wait_for_function would need the policy's leave to eval
        page.wait_for_timeout(10)
    return lambda: page.evaluate("self.seen")


def _cancel(lab: Lab, page: Any, big: Path, here: Path, name: str) -> None:
    other = big.with_name(f"cancelled-{name}.bin")
    big.rename(other)
    _progress_of(page, other)
    page.get_by_role("button", name=f"Cancel the upload of {other.name}").click()
    page.get_by_text("0 files are uploaded.").wait_for()
    lab.holds(not (here / other.name).exists(), f"{name}: a cancelled upload leaves nothing")
    other.unlink()


def _replace(lab: Lab, page: Any, here: Path, name: str) -> None:
    for file in ("one.txt", "two.txt"):
        (here / file).write_text("old")
    picked = lab.folder / f"picked-{name}"
    picked.mkdir()
    names = ("one.txt", "two.txt", "three.txt")
    for file in names:
        (picked / file).write_text("new")
    page.set_input_files("#picked", [str(picked / file) for file in names])
    page.get_by_text("There is a one.txt already. Replace it?").wait_for()
    lab.screenshot(page, f"{name}-replace")
    page.locator("#asking").get_by_role("button", name="Cancel").click()
    page.get_by_text("There is a two.txt already. Replace it?").wait_for()
    page.get_by_role("button", name="Replace").click()
    page.get_by_text("2 files are uploaded.").wait_for()
    content = [(here / file).read_text() for file in names]
    lab.holds(content == ["old", "new", "new"], f"{name}: what is there is replaced only when somebody says so")


def _drop(lab: Lab, page: Any, here: Path, name: str) -> None:
    page.evaluate(
        """() => { const data = new DataTransfer();
          data.items.add(new File(['dropped'], 'dropped.txt'));
          dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true})); }"""
    )
    page.get_by_text("1 file is uploaded.").wait_for()
    lab.holds((here / "dropped.txt").read_text() == "dropped", f"{name}: a dropped file is uploaded")


def _names(lab: Lab, page: Any, here: Path, name: str) -> None:
    odd = ["<img src=x onerror=alert(1)>.txt", "a'b\"c&d;.txt", "50%25 #?.txt", "javascript:alert(1)", "café ☃.txt"]
    for one in odd:
        (here / one).write_text(one)
    (here / "x\u202egnp.exe").write_text("")
    page.reload()
    for one in odd:
        link = page.get_by_role("link", name=one, exact=True).get_attribute("href")
        text = page.evaluate("async url => (await fetch(url)).text()", link)
        lab.holds(text == one, f"{name}: the link of {one!r} leads to it")
    shown = page.get_by_role("link", name="x\ufffdgnp.exe", exact=True).count()
    lab.holds(shown == 1, f"{name}: a name cannot turn its own direction")


def _rename_and_delete(lab: Lab, page: Any, here: Path, name: str) -> None:
    odd = "<img src=x onerror=alert(1)>.txt"
    page.get_by_role("button", name=f"Actions for {odd}").click()
    page.get_by_role("button", name="Rename…").click()
    page.get_by_label("Name", exact=True).fill("one.txt")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("There is a one.txt already.").wait_for()
    page.evaluate("() => { document.querySelector('main').style.minHeight = '300vh'; scrollTo(0, innerHeight); }")
    seen = page.evaluate("document.getElementById('said').getBoundingClientRect().top")
    lab.holds(seen >= 0, f"{name}: what is said stays in sight far down a long folder")
    page.evaluate("() => { document.querySelector('main').style.minHeight = ''; scrollTo(0, 0); }")
    lab.holds((here / "one.txt").read_text() == "old", f"{name}: renaming replaces nothing")
    page.get_by_role("button", name=f"Actions for {odd}").click()
    page.get_by_role("button", name="Rename…").click()
    page.get_by_label("Name", exact=True).fill("ä new & better.txt")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="ä new & better.txt", exact=True).wait_for()
    lab.holds((here / "ä new & better.txt").read_text() == odd, f"{name}: renamed")
    page.get_by_role("button", name="Actions for ä new & better.txt").click()
    lab.screenshot(page, f"{name}-actions")
    page.get_by_role("button", name="Delete…").click()
    page.locator("#asking").get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("ä new & better.txt is deleted.").wait_for()
    lab.holds(not (here / "ä new & better.txt").exists(), f"{name}: deleted")
