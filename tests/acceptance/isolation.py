"""An application of bob's that alice visits reaches neither the portal, nor her applications, nor her cookies."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab.processes import PYTHON

from tests.acceptance.browsers import KINDS, LETS_SCRIPTS_TAKE_PREFIXES
from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

BROWSERS = KINDS
_HERE = Path(__file__).parent
SCRIPT = (_HERE / "isolation.js").read_text()
# These give the page nothing to look at even where they succeed; the back end tells.
_BLIND = {"fetchBlind", "fetchPost", "beacon", "object"}
# Cookies for the portal's name and all below it, as a script may ask for them; how long they stay is an argument.
_TOSS = """([domain, age]) => {
  const places = [`Domain=${domain}; Path=/`, 'Path=/', `Domain=.fh.${domain}; Path=/`];
  const names = ['__Host-Http-supercloud', '__host-http-supercloud', '__Host-Http-supercloud-nonce'];
  for (const place of places)
    for (const name of names)
      document.cookie = `${name}=tossed; Secure; ${place}${age}`;
  document.cookie = `plain=tossed; Domain=${domain}; Path=/; Secure${age}`;
  document.cookie = `=__Host-Http-supercloud=tossed; Domain=${domain}; Path=/; Secure${age}`;
}"""


def run(lab: Lab) -> None:
    """See the module's first line."""
    for hostname in ("portal.test", "localhost"):
        site = LocalSite(lab, hostname, plain_first=True)
        with lab.browser(site.ca, *site.rules) as browser:
            context = site.context(browser, "alice")
            hers, bobs = witness(lab, "alice"), witness(lab, "bob", gid="proj")
            page = context.new_page()
            _visit(lab, site, page, hers, bobs)
            control(lab, page, bobs, f"{hostname}: ")
            _attack(lab, site, context, page, hers, bobs)
            _cookies(lab, site, context, page, hers, bobs)
            for target in (f"{_own(site, hers.port)}/secret", f"{site.url}/"):
                windows(lab, site, context, page, target)
            windows_tell_nothing(lab, site, context, page)
            _workers(lab, site, page, bobs)
            _port_passes_on(lab, site, context, bobs)
            context.close()
        site.portal.stop()


def witness(lab: Lab, login: str, *, port: int = 0, gid: str | None = None) -> SimpleNamespace:
    """An application of somebody's that says who it is, and what reached it; see witness.py."""
    number = len(list(lab.folder.glob("witness-*.log")))
    log = lab.folder / f"witness-{number}.log"
    log.touch()
    log.chmod(0o666)
    argv = [PYTHON, str(lab.copies.of(_HERE / "witness.py")), str(port), login, str(log)]
    process = lab.accounts.run_as(login, argv, gid=gid, stdout=subprocess.PIPE, text=True)

    def requests() -> list[dict[str, str]]:
        return [json.loads(line) for line in log.read_text().splitlines()]

    return SimpleNamespace(process=process, port=int(process.stdout.readline()), requests=requests)


def _own(site: LocalSite, port: int, owner: str = "") -> str:
    return site.own(f"localhost-{port}{owner}")


def _visit(lab: Lab, site: LocalSite, page: Any, hers: Any, bobs: Any) -> None:
    """Alice has sessions everywhere, so that an attack would find them."""
    page.goto(f"{_own(site, hers.port)}/page")
    lab.holds(page.inner_text("body") == "page of alice", f"{site.hostname}: alice's application at {page.url}")
    page.goto(f"{site.url}/fw2/localhost:{hers.port}/page")
    lab.holds(page.inner_text("body") == "page of alice", f"{site.hostname}: and at {page.url}")
    page.goto(f"{site.url}/fw2/localhost:{bobs.port}/page")
    proper = f"{_own(site, bobs.port, '-u20002')}/page"
    lab.holds(page.url == proper, f"{site.hostname}: bob's, asked for under the portal's name, is shown at {proper}")


def control(lab: Lab, page: Any, bobs: Any, where: str) -> None:
    """The same against its own origin: what fails elsewhere does not fail for being written wrongly."""
    origin = page.evaluate("location.origin")
    got = page.evaluate(f"async base => {{ {SCRIPT}; return attack(base) }}", origin)
    failed = [name for name, result in got.items() if not result and name != "beacon"]
    reached = {(one["method"], one["path"].partition("?")[0]) for one in bobs.requests()}
    lab.holds(not failed and ("POST", "/secret") in reached, f"{where}all {len(got)} ways work within bob's own origin")


def _attack(lab: Lab, site: LocalSite, context: Any, page: Any, hers: Any, bobs: Any) -> None:
    before = len(hers.requests())
    audited = len(site.audit.read_text().splitlines())
    targets = [
        _own(site, hers.port),
        f"{site.url}/fw2/localhost:{hers.port}",
        f"{site.url}/node/localhost/{hers.port}",
        _own(site, hers.port, "-u20001"),
        site.url,
    ]
    for target in targets:
        got = page.evaluate(f"async base => {{ {SCRIPT}; return attack(base) }}", target)
        gained = {name: result for name, result in got.items() if result}
        lab.holds(not gained, f"{site.hostname}: {len(got)} ways to {target} give bob's page nothing {gained or ''}")
    arrived = hers.requests()[before:]
    lab.holds(not arrived, f"{site.hostname}: and nothing of it arrived at alice's application {arrived or ''}")
    # The portal's own pages, and its own power: signing alice out.
    got = page.evaluate(
        """async portal => {
          const got = [];
          const paths = ['/', '/login', '/logout', '/healthz', '/.portal/ticket?to=x&nonce=y', '/.portal/portal.css'];
          for (const path of paths)
            for (const method of ['GET', 'POST'])
              try {
                const answer = await fetch(portal + path, {method, credentials: 'include'});
                got.push([path, answer.status]);
              } catch {}
          for (const path of ['/', '/login']) {
            const frame = document.createElement('iframe');
            frame.src = portal + path;
            document.body.append(frame);
            await new Promise(done => { frame.onload = frame.onerror = done; setTimeout(done, 3000); });
            try { got.push([path, frame.contentWindow.document.body.innerHTML]); } catch {}
          }
          return got;
        }""",
        site.url,
    )
    got = [one for one in got if one[1]]
    lab.holds(not got, f"{site.hostname}: fetch, POST and frames to the portal's pages give nothing {got or ''}")
    with context.expect_page() as opened:
        page.evaluate(
            """portal => {
              const form = document.createElement('form');
              Object.assign(form, {action: portal + '/logout', method: 'POST', target: '_blank'});
              document.body.append(form);
              form.submit();
            }""",
            site.url,
        )
    opened.value.wait_for_load_state()
    said = opened.value.inner_text("body")
    opened.value.close()
    other = context.new_page()
    other.goto(f"{site.url}/open/")
    title, home = other.title(), other.inner_text("body")
    other.close()
    lab.holds(
        "Signed out" not in said and "Your applications" in title and "alice" in home,
        f"{site.hostname}: a form of bob's page does not sign alice out",
    )
    lines = [json.loads(line) for line in site.audit.read_text().splitlines()[audited:]]
    refused = [line for line in lines if line["status"] == 403]
    lab.holds(len(refused) > 30, f"{site.hostname}: the audit file tells of {len(refused)} refusals (403)")


def _cookies(lab: Lab, site: LocalSite, context: Any, page: Any, hers: Any, bobs: Any) -> None:
    seen = page.evaluate("document.cookie")
    everything = seen + json.dumps(bobs.requests())
    lab.holds(
        "__Host-Http" not in everything and "of_alice" not in everything,
        f"{site.hostname}: bob's page and back end see no cookie of the portal's or of alice's: {seen!r}",
    )
    page.evaluate(_TOSS, [site.hostname, ""])
    visited = (site.url, _own(site, hers.port), _own(site, bobs.port, "-u20002"))
    cookies = context.cookies([f"{base}/page" for base in visited])
    forged = [one for one in cookies if one["value"] == "tossed" and one["name"].lower().startswith("__host-http")]
    wide = [one for one in cookies if one["name"].startswith("tossed_by") and one["domain"].startswith(".")]
    if lab.kind in LETS_SCRIPTS_TAKE_PREFIXES:
        lab.holds(forged, f"{site.hostname}: {lab.kind} lets scripts toss {len(forged)} cookies of the portal's name")
    else:
        lab.holds(not forged, f"{site.hostname}: no cookie of the portal's name could be tossed {forged or ''}")
    lab.holds(not wide, f"{site.hostname}: bob's back end sets no cookie for the parent domain {wide or ''}")
    other = context.new_page()
    other.goto(f"{_own(site, hers.port)}/page?after")
    text = other.inner_text("body")
    other.goto(f"{site.url}/open/")
    if lab.kind in LETS_SCRIPTS_TAKE_PREFIXES:
        known = {"Sign in": "nobody", "Your applications": "alice"}.get(other.title().partition(" - ")[0])
        lab.holds(
            text == "page of alice" and known,
            f"{site.hostname}: after tossing alice is alice at her application, at the portal {known}, never another",
        )
        page.evaluate(_TOSS, [site.hostname, "; Max-Age=0"])
        site.enter(context, "alice")
    else:
        lab.holds(
            text == "page of alice" and "Your applications" in other.title(),
            f"{site.hostname}: after tossing alice is still alice at the portal and at her application",
        )
    other.close()
    [after] = [one for one in hers.requests() if one["path"] == "/page?after"]
    arrived = "plain=tossed" in after["cookie"]
    lab.saw(f"{site.hostname}: an ordinary cookie tossed by script for the parent domain arrives at hers: {arrived}")


def windows(lab: Lab, site: LocalSite, context: Any, page: Any, target: str) -> None:
    """A page that opens another one gets no hold of it, nor the other of it."""
    with context.expect_page() as opened:
        page.evaluate("target => { self.opened = window.open(target) }", target)
    opened.value.wait_for_load_state()
    got = page.evaluate("() => { try { return self.opened.document.body.innerText } catch { return null } }")
    back = opened.value.evaluate("() => { try { return opener.document.body.innerText } catch { return null } }")
    lab.holds(not got and not back, f"{site.hostname}: a window opened at {target} cannot be read, nor its opener")
    opened.value.close()


# Its opener hears a moment later than the window itself that they have parted.
_WHAT_OF_A_WINDOW = """async () => {
  for (let waited = 0; waited < 200 && !self.opened.closed; waited++) await new Promise(done => setTimeout(done, 50));
  try { return [self.opened.closed, self.opened.length] } catch { return [] }
}"""


def windows_tell_nothing(lab: Lab, site: LocalSite, context: Any, page: Any) -> None:
    """A window that a page opens at an address of the portal's looks alike whatever is there; a click leads on."""
    seen = {}
    for path in ("/dav/~?tar", "/dav/~/gone?tar", "/dav/~/", "/api/jobs", "/open/42", "/jobs/42", "/nothing"):
        with context.expect_page() as opened:
            page.evaluate("target => { self.opened = window.open(target) }", f"{site.url}{path}")
        opened.value.wait_for_load_state()
        known = page.evaluate(_WHAT_OF_A_WINDOW)
        seen[path] = (*known, opened.value.title())
        if path == "/dav/~?tar":
            with opened.value.expect_download() as download:
                opened.value.get_by_role("link", name="Go on").press("Enter")
            lab.holds(
                download.value.suggested_filename.endswith(".tar"), f"{site.hostname}: a click leads on to {path}"
            )
        opened.value.close()
    lab.holds(
        len(set(seen.values())) == 1, f"{site.hostname}: windows at the portal tell a page of bob's nothing: {seen}"
    )


def _workers(lab: Lab, site: LocalSite, page: Any, bobs: Any) -> None:
    before = sum(1 for one in bobs.requests() if one["path"].startswith("/sw.js"))
    got = page.evaluate(
        """async () => {
          const got = [];
          const ways = [['/sw.js', '/'], ['/sw.js', '/page'], ['/a/../sw.js', '/'], ['/.portal/sw.js', '/']];
          for (const [path, scope] of ways)
            try { await navigator.serviceWorker.register(path, {scope}); got.push(path); } catch {}
          return got;
        }"""
    )
    after = sum(1 for one in bobs.requests() if one["path"].startswith("/sw.js"))
    lab.holds(not got and before == after, f"{site.hostname}: no service worker of bob's can be registered {got or ''}")


def _port_passes_on(lab: Lab, site: LocalSite, context: Any, bobs: Any) -> None:
    page = context.new_page()
    label = _own(site, bobs.port, "-u20002")
    page.goto(f"{label}/page")
    page.evaluate(
        """() => {
          localStorage.setItem('by', 'bob');
          return caches.open('bobs').then(c => c.put('/page', new Response('old')));
        }"""
    )
    page.goto(f"{_own(site, bobs.port)}/page")
    lab.holds(page.url == f"{label}/page", f"{site.hostname}: the plain label of bob's port leads to his own")
    bobs.process.terminate()
    bobs.process.wait()
    hers = witness(lab, "alice", port=bobs.port)
    for begin in (label, _own(site, bobs.port), f"{site.url}/fw2/localhost:{bobs.port}"):
        page.goto(f"{begin}/page")
        kept = page.evaluate("localStorage.getItem('by')")
        workers = page.evaluate("navigator.serviceWorker.getRegistrations().then(all => all.length)")
        text = page.inner_text("body")
        is_bobs = page.url.startswith(label)
        lab.holds(
            text == "page of alice" and not kept and not workers and not is_bobs,
            f"{site.hostname}: the port is alice's now: {begin}/page shows {text!r} at {page.url}",
        )
    lab.holds(hers.requests(), f"{site.hostname}: and it came from alice's process, from no cache")
    hers.process.terminate()
    page.close()
