"""Downloads and WebSockets end with what let them in: within 2 s, or 30 s for accounts and groups; others go on."""

from __future__ import annotations

import base64
import os
import pwd
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.site import certificate_map

from tests.acceptance.lab_of import Lab
from tests.acceptance.people_of import People, make_account, remove_account, rename_account
from tests.acceptance.running import Running
from tests.acceptance.site_of import PEOPLE, LocalSite, PasswordSite, password_of

_OWN = ("rv-expired", "rv-locked", "rv-renamed", "rv-vanished", "rv-member", "rv-maker")
_GROUP = "rv-group"
_QUICK, _SLOW = 2.0, 30.0
_ALL = 26  # samples of what is to end within 2 s, at least


@dataclass(slots=True)
class Samples:
    """Seconds from when this host shows a cause to the end that the client sees."""

    lab: Lab
    quick: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)

    def take(self, site: LocalSite, cause: str, since: float, ones: list[Running], reason: str, within: float) -> None:
        """Wait for the ends, and look how each ended."""
        for one in ones:
            one.wait(max(since - time.monotonic(), 0) + within + 10)
            if one.is_websocket and one.code != 1008:
                raise AssertionError(f"{cause}: a WebSocket's close code is {one.code} {one.reason!r}")
            if one.is_whole:
                raise AssertionError(f"{cause}: {one.mark} looks whole")
            line = site.audited(f"/{one.mark}")
            if line["outcome"] != "refused" or reason not in line["reason"]:
                raise AssertionError(f"{cause}: {one.mark} is audited as {line['outcome']}: {line['reason']}")
        times = [one.ended - since for one in ones]
        shown = ", ".join(f"{seconds:.2f}" for seconds in times)
        said = next((f"1008 {one.reason!r}, " for one in ones if one.is_websocket), "")
        self.lab.holds(max(times) <= within, f"{cause}: after {shown} s; {said}audited as refused: {reason}")
        (self.quick if within == _QUICK else self.slow).extend(times)


def run(lab: Lab) -> None:
    """See the module's first line."""
    lab.holds(shutil.which("setfacl"), "setfacl is there")
    folder = lab.folder / "portal-url-fw"
    folder.mkdir()
    folder.chmod(0o1777)
    site = PasswordSite(lab, more=f'[forwards]\ndirectory = "{folder}"\n')
    people, samples = People(lab, site), Samples(lab)
    for login in PEOPLE:
        people.application(login)
    bystanders = people.all_of("carol", people.sign_in("carol", password_of("carol")))
    expiring = people.file(f"Authorization: Bearer {people.token('carol', 'dav', '1m')}\r\n")
    expiry = time.monotonic() + 60
    _forwards(people, samples, folder)
    _credentials(people, samples, folder)
    _accounts(people, samples)
    samples.take(site, "token expired", expiry, [expiring], "expired", _QUICK)
    _times(lab, samples)
    lab.holds(all(one.is_running for one in bystanders), "a download, a WebSocket and a file of a bystander's go on")
    quick = sorted(samples.quick)
    p95 = quick[int(len(quick) * 0.95)]
    lab.holds(len(quick) >= _ALL, f"{len(quick)} samples of 2 s: p95 {p95:.2f} s, most {quick[-1]:.2f} s")
    lab.saw(f"{len(samples.slow)} samples of 30 s: most {max(samples.slow):.1f} s")


def _forwards(people: People, samples: Samples, folder: Path) -> None:
    site, alice, bob = people.site, people.site.signed_in("alice"), pwd.getpwnam("bob")
    cookie = people.together(alice)
    people.forward(folder, "kept")
    others = people.streams(f"{site.together}/fw/kept", cookie)
    causes: dict[str, tuple[Callable[[Path], object], str]] = {
        "lost its x bit": (lambda file: file.chmod(0o600), "not-executable"),
        "was emptied": (lambda file: os.truncate(file, 0), "is empty"),
        "was deleted": (lambda file: file.unlink(), "absent"),
        "leads elsewhere": (lambda file: file.write_text(f"http://localhost:{people.ports['bob']}/"), "was changed"),
        "was given away": (lambda file: os.chown(file, bob.pw_uid, bob.pw_gid), "not-executable"),
        "has another mode": (lambda file: file.chmod(0o750), "was changed"),
        "was exchanged": (lambda file: people.forward(folder, f"{file.name}-new").rename(file), "was changed"),
    }
    for number, (cause, (change, reason)) in enumerate(causes.items()):
        file = people.forward(folder, f"forward-{number}")
        ones = people.streams(f"{site.together}/fw/{file.name}", cookie)
        time.sleep(random.uniform(1.2, 2.2))  # wherever the portal's own looks fall
        change(file)
        samples.take(site, f"a forward {cause}", time.monotonic(), ones, reason, _QUICK)
    _one_viewer(people, samples, folder, cookie)
    samples.lab.holds(all(one.is_running for one in others), "another forward of the same account goes on")
    for one in others:
        one.leave()


def _one_viewer(people: People, samples: Samples, folder: Path, cookie: str) -> None:
    site = people.site
    shared = people.forward(folder, "shared", mode=0o711)
    hers = people.streams(f"{site.together}/fw/shared", cookie)
    his = site.signed_in("bob")
    host = f"shared-u{pwd.getpwnam('alice').pw_uid}.fn.{site.hostname}"
    his(f"{site.forward('shared')}/", "--head")
    ones = people.streams(f"https://{host}:{site.url.rpartition(':')[2]}", people.cookie(his, host))
    subprocess.run(["setfacl", "-m", "u:bob:-", str(shared)], check=True)
    samples.take(site, "one viewer lost the x bit", time.monotonic(), ones, "not-executable", _QUICK)
    for one in hers:  # the mask of the list shows as the group's bits: another mode
        one.leave()


def _credentials(people: People, samples: Samples, folder: Path) -> None:
    site, uid = people.site, pwd.getpwnam("bob").pw_uid
    alice = site.signed_in("alice")
    hers = people.all_of("alice", alice)
    no_session = ("sessions.sqlite", "SELECT count(*) = 0 FROM session WHERE uid = ?", uid)
    ones = people.all_of("bob", people.sign_in("bob", password_of("bob")))
    since = people.since(("kick", "bob"), *no_session)
    samples.take(site, "kicked", since, ones, "ended by an administrator", _QUICK)

    people.forward(folder, "by-token", owner="bob")
    shown = f"X-Supercloud-Authorization: Bearer {people.token('bob', 'forward:by-token')}\r\n"
    ones = people.streams(f"{site.url}/fw/by-token", shown)
    ones.append(people.file(f"Authorization: Bearer {people.token('bob', 'dav')}\r\n"))
    no_token = ("tokens.sqlite", "SELECT count(*) = 0 FROM token WHERE uid = ? AND ends > 0", uid)
    since = people.since(("revoke-tokens", "bob"), *no_token)
    samples.take(site, "token revoked", since, ones, "revoked", _QUICK)

    _lock(people, samples, uid)
    samples.lab.holds(all(one.is_running for one in hers), "what somebody else has open goes on")
    since = time.monotonic()
    left = alice(f"{site.url}/logout", "--request", "POST", "-H", "Sec-Fetch-Site: same-origin")
    samples.lab.holds(left.status == 200, "alice signs out")
    samples.take(site, "signed out", since, hers, "signed out", _QUICK)


def _lock(people: People, samples: Samples, uid: int) -> None:
    site = people.site
    basic = base64.b64encode(f"bob:{password_of('bob')}".encode()).decode()
    ones = people.all_of("bob", people.sign_in("bob", password_of("bob")))
    ones.append(people.file(f"Authorization: Basic {basic}\r\n"))
    locked = ("locked.sqlite", "SELECT count(*) FROM locked WHERE uid = ?", uid)
    since = people.since(("lock", "bob", "--reason", "Call the desk."), *locked)
    samples.take(site, "locked by an administrator", since, ones, "locked by an administrator", _QUICK)
    page = site.curl()(f"{site.url}/login", data=f"login=bob&password={password_of('bob')}".encode())
    is_told = page.status == 403 and "locked this account for the portal. Call the desk." in page.text
    samples.lab.holds(is_told, "whoever shows the right password then is told why")
    people.admin("unlock", "bob")
    time.sleep(1)
    people.sign_in("bob", password_of("bob"))
    samples.lab.saw("unlocked, bob signs in again")


def _times(lab: Lab, samples: Samples) -> None:
    """Ends by the clock, at a portal whose sessions are short."""
    life = '[authn.session]\nidle = "6s"\nabsolute = "12s"\n'
    site = LocalSite(lab, "portal.test", plain_first=True, more=life)
    people = People(lab, site)
    for login in ("alice", "bob"):
        people.application(login)
    begun = time.monotonic()
    bob = site.signed_in("bob")
    lasting = people.all_of("bob", bob)
    unused = people.all_of("alice", site.signed_in("alice"))
    last_use = time.monotonic()
    while time.monotonic() < begun + 10:
        bob(f"{site.url}/", "--head")
        time.sleep(1)
    samples.take(site, "session unused for too long", last_use + 6, unused, "idle", _QUICK)
    samples.take(site, "session at its end", begun + 12, lasting, "expired", _QUICK)
    site.portal.stop()


def _accounts(people: People, samples: Samples) -> None:
    site, lab = people.site, samples.lab
    for login in _OWN:
        lab.at_end(lambda login=login: remove_account(login))
        make_account(login, password_of(login))
    subprocess.run(["groupadd", "-f", _GROUP], check=True)
    lab.at_end(lambda: subprocess.run(["groupdel", _GROUP], capture_output=True))
    for login in ("rv-member", "rv-maker"):
        subprocess.run(["usermod", "-aG", _GROUP, login], check=True)
    for login in _OWN:
        people.application(login, group=_GROUP if login == "rv-maker" else "")
    own = {login: people.all_of(login, people.sign_in(login, password_of(login))) for login in _OWN[:4]}
    member = _member(people)
    by_certificate = {login: people.all_of(login, site.signed_in(login)) for login in ("alice", "bob")}

    since: dict[str, float] = {}
    for login, change in {
        "rv-expired": lambda: subprocess.run(["usermod", "-e", "1", "rv-expired"], check=True),
        "rv-locked": lambda: subprocess.run(["usermod", "-L", "rv-locked"], check=True),
        "rv-renamed": lambda: rename_account("rv-renamed", "rv-renamed-since"),
        "rv-vanished": lambda: subprocess.run(["userdel", "-f", "rv-vanished"], check=True, capture_output=True),
        "rv-member": lambda: subprocess.run(["gpasswd", "-d", "rv-member", _GROUP], check=True, capture_output=True),
    }.items():
        change()
        since[login] = time.monotonic()
    certificates = site.certificates
    shutil.copyfile(certificates.later_crl, certificates.crl)
    certificate_map(site.folder, ("alice", "carol"))
    site.portal.process.send_signal(signal.SIGHUP)
    reloaded = time.monotonic()
    for login, state in zip(_OWN[:4], ("expired", "locked", "renamed", "unknown"), strict=True):
        samples.take(site, f"account {state}", since[login], own[login], f"{login} is {state}", _SLOW)
    samples.take(site, "group left", since["rv-member"], member, "somebody else's", _SLOW)
    samples.take(site, "certificate revoked", reloaded, by_certificate["alice"], "no longer valid", _SLOW)
    samples.take(site, "certificate off the map", reloaded, by_certificate["bob"], "no account's", _SLOW)


def _member(people: People) -> list[Running]:
    """Streams of an application that runs under a group, for somebody who is in it."""
    site, port = people.site, people.ports["rv-maker"]
    curl = people.sign_in("rv-member", password_of("rv-member"))
    curl(site.own(f"localhost-{port}") + "/", "--head")
    host = f"localhost-{port}-u{pwd.getpwnam('rv-maker').pw_uid}.fh.{site.hostname}"
    url = f"https://{host}:{site.url.rpartition(':')[2]}"
    return people.streams(url, people.cookie(curl, host), False, False, True)
