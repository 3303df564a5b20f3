"""A forward of bob's that he shares with alice reads, writes, launches, frames and registers nothing of hers."""

from __future__ import annotations

import grp
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.acceptance import isolation
from tests.acceptance.browsers import KINDS
from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

BROWSERS = KINDS
_HOSTNAME = "portal.test"
# What isolation.js asks an address for; alice's folder has files of these names.
_NAMES = ("secret", "page", "script.js", "pixel.gif", "events", "socket")
# Words of pages that bob's may not show in a frame.
_TELLING = ("page of alice", "secret of alice", "file of alice", "Your applications", "Sign out", "Tokens", "events")
_HERS, _BOBS = "alices-lab", "bobs-show"
_FILES = """async base => {
  const got = [];
  const asks = [
    ['GET', '/secret'], ['GET', '/'], ['PUT', '/planted'], ['PUT', '/secret'], ['POST', '/secret'],
    ['DELETE', '/secret'], ['MKCOL', '/folder'], ['PROPFIND', '/'], ['PROPPATCH', '/secret'], ['LOCK', '/secret'],
    ['MOVE', '/secret'], ['COPY', '/secret'],
  ];
  for (const [method, path] of asks)
    for (const mode of ['cors', 'no-cors'])
      try {
        const headers = mode === 'cors' ? {Destination: base + '/moved', Depth: '1'} : {};
        const body = ['GET', 'DELETE', 'PROPFIND'].includes(method) ? undefined : 'planted';
        const answer = await fetch(base + path, {method, mode, credentials: 'include', headers, body});
        if (answer.type !== 'opaque') got.push([method, path, answer.status]);
      } catch {}
  return got;
}"""
_LAUNCH = """async portal => {
  const got = [];
  const job = JSON.stringify({app: 'jupyterlab', script: '#!/bin/sh\\ntouch launched'});
  for (const path of ['/api/jobs', '/api/launch', '/api/tokens', '/tokens', '/launch/jupyterlab'])
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded'])
      for (const mode of ['cors', 'no-cors'])
        try {
          const how = {method: 'POST', mode, credentials: 'include', headers: {'Content-Type': type}, body: job};
          const answer = await fetch(portal + path, how);
          if (answer.type !== 'opaque') got.push([path, answer.status]);
        } catch {}
  return got;
}"""
_FRAMES = """async addresses => {
  const got = [];
  for (const address of addresses) {
    const frame = document.createElement('iframe');
    frame.src = address;
    document.body.append(frame);
    await new Promise(done => { frame.onload = frame.onerror = done; setTimeout(done, 3000); });
    try { got.push([address, frame.contentWindow.document.body.innerHTML]); } catch {}
    // A frame that showed its page would be one more in this window's tree that has frames or a name of its own.
    try { if (frame.contentWindow.length) got.push([address, 'has frames']); } catch {}
  }
  return got.filter(one => one[1]);
}"""
_WORKERS = """async ([portal, hers]) => {
  const got = [];
  const ways = [
    ['/sw.js', '/'], ['/sw.js', '/page'], ['/a/../sw.js', '/'], ['/.portal/sw.js', '/'],
    [portal + '/sw.js', portal + '/'], [portal + '/fw/bobs-show/sw.js', portal + '/fw/'],
    [portal + '/fw/bobs-show/sw.js', portal + '/fw/bobs-show/'], [portal + '/dav/~/hers/script.js', portal + '/dav/'],
    [hers + '/sw.js', hers + '/'],
  ];
  for (const [path, scope] of ways)
    try { await navigator.serviceWorker.register(path, {scope}); got.push([path, scope]); } catch {}
  return got;
}"""


def run(lab: Lab) -> None:
    """See the module's first line."""
    _ = lab.accounts
    folder = lab.folder / "portal-url-fw"
    folder.mkdir()
    folder.chmod(0o1777)
    site = LocalSite(lab, _HOSTNAME, plain_first=True, more=f'[forwards]\ndirectory = "{folder}"\n')
    hers, bobs = isolation.witness(lab, "alice"), isolation.witness(lab, "bob", gid="proj")
    alice, bob = lab.accounts["alice"], lab.accounts["bob"]
    _reserve(folder / _HERS, hers.port, alice.uid, alice.gid, 0o700)
    _reserve(folder / _BOBS, bobs.port, bob.uid, grp.getgrnam("proj").gr_gid, 0o750)
    home = _fill(alice)
    with lab.browser(site.ca, *site.rules) as browser:
        context = site.context(browser, "alice")
        page = context.new_page()
        _visit(lab, site, page, home)
        isolation.control(lab, page, bobs, "shared forward: ")
        _attack(lab, site, page, hers)
        _files(lab, site, page, home)
        _frames_and_workers(lab, site, page, bobs)
        _cookies(lab, page, bobs)
        for target in (f"{site.forward(_HERS)}/secret", f"{site.url}/", f"{site.url}/dav/~/hers/"):
            isolation.windows(lab, site, context, page, target)
    site.portal.stop()


def _reserve(file: Path, port: int, uid: int, gid: int, mode: int) -> None:
    file.write_text(f"http://localhost:{port}/\n")
    os.chown(file, uid, gid)
    file.chmod(mode)


def _fill(alice: Any) -> Path:
    folder = alice.home / "hers"
    folder.mkdir()
    for name in _NAMES:
        (folder / name).write_text("file of alice")
    for path in (folder, *folder.iterdir()):
        os.chown(path, alice.uid, alice.gid)
    return folder


def _visit(lab: Lab, site: LocalSite, page: Any, home: Path) -> None:
    """Alice has sessions everywhere, and what the attacks ask for is there."""
    page.goto(f"{site.forward(_HERS)}/page")
    lab.holds(page.inner_text("body") == "page of alice", f"alice's forward at {page.url}")
    page.goto(f"{site.url}/fw/{_HERS}/page")
    lab.holds(page.inner_text("body") == "page of alice", f"and at {page.url}")
    page.goto(f"{site.url}/dav/~/hers/")
    read = page.evaluate("async () => (await fetch('/dav/~/hers/secret')).text()")
    lab.holds(read == "file of alice", f"a page of the portal's own may read /dav/~/hers/secret: {read!r}")
    page.goto(f"{site.url}/fw/{_BOBS}/page")
    proper = f"{site.forward(f'{_BOBS}-u{home.parent.stat().st_uid + 1}')}/page"
    lab.holds(
        page.url == proper and page.inner_text("body") == "page of bob",
        f"bob's forward, asked for under the portal's name, is shown at {page.url}",
    )


def _attack(lab: Lab, site: LocalSite, page: Any, hers: SimpleNamespace) -> None:
    before = len(hers.requests())
    targets = (
        site.forward(_HERS),
        site.forward(f"{_HERS}-u20001"),
        f"{site.url}/fw/{_HERS}",
        f"{site.url}/fw2/localhost:{hers.port}",
        site.own(f"localhost-{hers.port}"),
        f"{site.url}/dav/~/hers",
    )
    for target in targets:
        got = page.evaluate(f"async base => {{ {isolation.SCRIPT}; return attack(base) }}", target)
        gained = {name: result for name, result in got.items() if result}
        lab.holds(
            not gained, f"{len(got)} ways, a WebSocket among them, to {target} give bob's page nothing {gained or ''}"
        )
    arrived = hers.requests()[before:]
    lab.holds(not arrived, f"and nothing of it arrived at alice's application {arrived or ''}")


def _files(lab: Lab, site: LocalSite, page: Any, home: Path) -> None:
    before, audited = _snapshot(home), len(site.audit.read_text().splitlines())
    read = page.evaluate(_FILES, f"{site.url}/dav/~/hers")
    lab.holds(not read, f"12 methods on /dav/~/hers, plain and by CORS, give bob's page nothing {read or ''}")
    launched = page.evaluate(_LAUNCH, site.url)
    lab.holds(not launched, f"POST to /api/, /tokens and /launch/ in every content type gives nothing {launched or ''}")
    lab.holds(_snapshot(home) == before, f"alice's files are as they were: {sorted(before)}")
    lines = [json.loads(line) for line in site.audit.read_text().splitlines()[audited:]]
    other = [line for line in lines if line["origin"].startswith(_HOSTNAME) and line["status"] != 403]
    lab.holds(
        len(lines) > 20 and not other, f"the audit file tells of {len(lines)} refusals, all 403 {other[:2] or ''}"
    )
    lab.holds(
        "alice" not in site.of("alice")(f"{site.url}/tokens").text.partition("<table")[2], "and no token was made"
    )


def _frames_and_workers(lab: Lab, site: LocalSite, page: Any, bobs: SimpleNamespace) -> None:
    framed = page.evaluate(
        _FRAMES,
        [f"{site.url}/", f"{site.url}/dav/~/hers/", f"{site.url}/tokens", f"{site.forward(_HERS)}/page"],
    )
    bobs_own = page.url.removesuffix("/page")
    others = [frame for frame in page.frames[1:] if not frame.url.startswith(bobs_own)]
    said = {frame.url: frame.inner_text("html").partition("\nRequest")[0].strip() for frame in others}
    shown = {url: text for url, text in said.items() if any(word in text for word in _TELLING)}
    lab.holds(others and not framed and not shown, f"{len(said)} frames show no page of hers {framed or shown or ''}")
    lab.saw(f"they show {sorted(set(said.values()))}")
    before = sum(1 for one in bobs.requests() if one["path"].startswith("/sw.js"))
    got = page.evaluate(_WORKERS, [site.url, site.forward(_HERS)])
    after = sum(1 for one in bobs.requests() if one["path"].startswith("/sw.js"))
    lab.holds(not got and before == after, f"no service worker, at 9 scripts and scopes, can be registered {got or ''}")


def _cookies(lab: Lab, page: Any, bobs: SimpleNamespace) -> None:
    everything = page.evaluate("document.cookie") + json.dumps(bobs.requests())
    lab.holds(
        "__Host-Http" not in everything and "of_alice" not in everything and "@" not in everything,
        "bob's page and back end see no cookie of the portal's, or of alice's application",
    )


def _snapshot(folder: Path) -> dict[str, tuple[str, int, int]]:
    found = {}
    for path in (folder, *folder.rglob("*"), *folder.parent.glob("*")):
        status = path.stat()
        text = path.read_text() if path.is_file() and folder in path.parents else ""
        found[str(path.relative_to(folder.parent))] = text, status.st_mode, status.st_ino
    return found
