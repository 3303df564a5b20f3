"""Locks, dead properties and quota in a PROPFIND's answer."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav.app import make_app
from tests.fakes.wsgi import Caller
from tests.unit.dav.multistatus import LOCK, find, finder, many

DISCOVERY = "<D:prop><D:lockdiscovery/></D:prop>"


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "front.html"
    made.write_bytes(b"12345")
    return made


class FakeLocks:
    """A lock manager of wsgidav's kind that knows what it is given, and counts the questions.

    :ivar on: depth of the lock by address.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.on: dict[str, str] = {}
        self.questions: list[str] = []

    def locked_among(self, pairs: list[tuple[int, int]]) -> set[int]:
        self.questions.append("many")
        locked = [os.stat(f"{self._folder}{url}") for url in self.on]
        keys = {(one.st_dev, one.st_ino) for one in locked}
        return {at for at, pair in enumerate(pairs) if pair in keys}

    def get_indirect_url_lock_list(self, url: str) -> list[dict[str, Any]]:
        self.questions.append(url)
        covering = {
            on: deep for on, deep in self.on.items() if on == url or (deep == "infinity" and url.startswith(on))
        }
        return [
            {"depth": deep, "scope": "shared", "owner": "", "timeout": -1, "token": f"urn:{on}", "root": on}
            for on, deep in covering.items()
        ]


def tokens(element: Any) -> set[str]:
    return {lock.findtext("{DAV:}locktoken/{DAV:}href") for lock in element}


def test_locks_of_members_are_told(dav: Caller, file: Path, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "in").touch()
    token = dav.ask("LOCK", "/front.html", LOCK, timeout="Second-600").fields["lock-token"].strip("<>")
    deep = dav.ask("LOCK", "/sub", LOCK, depth="infinity").fields["lock-token"].strip("<>")
    inside = "<D:prop><D:lockdiscovery/></D:prop>"
    found = find(dav, "/", inside)
    below = find(dav, "/sub", inside)

    [lock] = found["/dav/front.html"][200]["{DAV:}lockdiscovery"]
    assert lock.findtext("{DAV:}locktoken/{DAV:}href") == token
    assert lock.findtext("{DAV:}owner/{DAV:}href") == "mailto:alice"
    assert lock.findtext("{DAV:}lockroot/{DAV:}href") == "/dav/front.html"
    assert lock.findtext("{DAV:}depth") in ("0", "infinity")
    assert re.fullmatch(r"Second-(599|600)", lock.findtext("{DAV:}timeout") or "")
    assert lock.find("{DAV:}lockscope/{DAV:}exclusive") is not None
    assert lock.find("{DAV:}locktype/{DAV:}write") is not None
    assert len(found["/dav/"][200]["{DAV:}lockdiscovery"]) == 0
    for one in below.values():
        [lock] = one[200]["{DAV:}lockdiscovery"]
        assert lock.findtext("{DAV:}locktoken/{DAV:}href") == deep
        assert lock.findtext("{DAV:}depth") == "infinity"


def test_locks_of_many_members_are_asked_for_at_once(folder: Path) -> None:
    locks = FakeLocks(folder)
    many(folder, 300)
    (folder / "sub").mkdir()
    locks.on = {"/file-00007": "0", "/sub/": "infinity"}
    found = find(finder(folder, locks=locks), "/", DISCOVERY)

    told = {href: tokens(one[200]["{DAV:}lockdiscovery"]) for href, one in found.items()}
    assert {href: said for href, said in told.items() if said} == {
        "/dav/file-00007": {"urn:/file-00007"},
        "/dav/sub/": {"urn:/sub/"},
    }
    assert sorted(locks.questions) == ["/", "/", "/file-00007", "/sub/", "many"]


def test_a_lock_on_a_folder_is_told_of_each_member_without_asking_each(folder: Path) -> None:
    locks = FakeLocks(folder)
    many(folder, 300)
    locks.on = {"/": "infinity", "/file-00007": "0"}
    found = find(finder(folder, locks=locks), "/", DISCOVERY)

    told = {href: tokens(one[200]["{DAV:}lockdiscovery"]) for href, one in found.items()}
    assert told.pop("/dav/file-00007") == {"urn:/", "urn:/file-00007"}
    assert len(told) == 300
    assert all(said == {"urn:/"} for said in told.values())
    assert len(locks.questions) == 4


def test_a_lock_on_a_folder_alone_is_not_its_members(folder: Path) -> None:
    locks = FakeLocks(folder)
    many(folder, 2)
    locks.on = {"/": "0"}
    found = find(finder(folder, locks=locks), "/", DISCOVERY)

    assert [href for href, one in found.items() if len(one[200]["{DAV:}lockdiscovery"])] == ["/dav/"]


def test_locks_that_nobody_wants_to_know_are_not_asked_for(folder: Path) -> None:
    locks = FakeLocks(folder)
    find(finder(folder, locks=locks), "/", "<D:prop><D:getetag/></D:prop>")

    assert locks.questions == []


def test_an_owner_that_is_no_element_is_text(folder: Path, file: Path) -> None:
    class Odd:
        def get_indirect_url_lock_list(self, url: str) -> Any:
            owner = b"</D:prop><evil/>\xff"
            return [{"depth": "0", "scope": "shared", "owner": owner, "timeout": -1, "token": "a&b", "root": ""}]

    found = find(finder(folder, locks=Odd()), "/front.html", DISCOVERY)
    [lock] = found["/dav/front.html"][200]["{DAV:}lockdiscovery"]

    assert lock.findtext("{DAV:}owner") == "</D:prop><evil/>\ufffd"
    assert lock.findtext("{DAV:}timeout") == "Infinite"
    assert lock.findtext("{DAV:}locktoken/{DAV:}href") == "a&b"


def test_without_locks_none_are_supported(folder: Path) -> None:
    found = find(Caller(make_app({"/": str(folder)}, str(folder), None)), "/")["/dav/"][200]

    assert len(found["{DAV:}supportedlock"]) == len(found["{DAV:}lockdiscovery"]) == 0


class Kept:
    """A property manager that knows what it is given, and remembers what was asked about."""

    def __init__(self, of: dict[str, dict[str, Any]]) -> None:
        self._of = of
        self.asked: set[str] = set()

    def get_properties(self, url: str, _environ: Any) -> list[str]:
        self.asked.add(url)
        return list(self._of.get(url, {}))

    def get_property(self, url: str, name: str, _environ: Any) -> Any:
        self.asked.add(url)
        return self._of.get(url, {}).get(name)


class KeptAmong(Kept):
    """One that can tell quickly which members have any."""

    def bearers_among(self, url: str, names: list[str]) -> set[int]:
        return {at for at, name in enumerate(names) if url + name in self._of}


MOOD = {"{urn:n}mood": b'<n:mood xmlns:n="urn:n">calm</n:mood>'}


@pytest.mark.parametrize("kind", [Kept, KeptAmong])
def test_dead_properties_are_told_in_each_form(folder: Path, kind: type[Kept]) -> None:
    many(folder, 3)
    dav = finder(folder, properties=kind({"/file-00001": MOOD, "/": MOOD}))
    for inside in ("", "<D:propname/>", '<D:prop><n:mood xmlns:n="urn:n"/></D:prop>'):
        found = find(dav, "/", inside)
        bearers = {href for href, one in found.items() if "{urn:n}mood" in one.get(200, {})}
        assert bearers == {"/dav/", "/dav/file-00001"}
        missing = {href for href, one in found.items() if "{urn:n}mood" in one.get(404, {})}
        assert len(missing) == (2 if "<D:prop>" in inside else 0)
    assert found["/dav/"][200]["{urn:n}mood"].text == "calm"


def test_members_that_have_none_are_not_asked_about(folder: Path) -> None:
    many(folder, 300)
    properties = KeptAmong({"/file-00001": MOOD})
    find(finder(folder, properties=properties), "/")

    assert properties.asked == {"/", "/file-00001"}


def test_live_properties_alone_ask_for_no_dead_ones(folder: Path, file: Path) -> None:
    """Nor do those of ownCloud, which rclone asks for each time."""
    properties = Kept({})
    names = "".join(f"<oc:{name}/>" for name in ("checksums", "permissions", "fileid", "size", "id"))
    found = find(finder(folder, properties=properties), "/", f"<D:prop><D:getetag/>{names}<D:ishidden/></D:prop>")

    assert len(found["/dav/front.html"][404]) == 6
    assert properties.asked == set()


class Hostile:
    """What somebody else wrote into a shared file's attributes, past the portal."""

    def get_properties(self, *_args: Any) -> Any:
        return ["{urn:n}x", '{urn:n}x/><D:evil xmlns:y="', "{urn:n}", "", "{urn:n}a b", "{urn:\x01}x"]

    def get_property(self, _url: str, name: str, *_args: Any) -> Any:
        return '<n:x xmlns:n="urn:n"/></D:prop></D:propstat><D:evil/>'


@pytest.mark.parametrize("inside", ["<D:allprop/>", "<D:propname/>", '<D:prop><n:x xmlns:n="urn:n"/></D:prop>'])
def test_hostile_dead_properties_break_nothing(folder: Path, file: Path, inside: str) -> None:
    found = find(finder(folder, properties=Hostile()), "/", inside)

    assert set(found) == {"/dav/", "/dav/front.html"}
    assert "{DAV:}evil" not in found["/dav/front.html"].get(200, {})


def test_quota_that_cannot_be_told_is_missing(dav: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("supercloud.dav.extras.Quota.of", broken)
    found = find(dav, "/", "<D:prop><D:quota-used-bytes/></D:prop>")

    assert set(found["/dav/"][404]) == {"{DAV:}quota-used-bytes"}
