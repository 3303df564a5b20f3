"""Locks, dead properties and quota in a PROPFIND's answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from wsgidav.lock_man.lock_manager import LockManager
from wsgidav.lock_man.lock_storage import LockStorageDict
from wsgidav.prop_man.property_manager import PropertyManager

from supercloud.dav.app import make_app
from tests.fakes.wsgi import Caller
from tests.unit.dav.multistatus import LOCK, find, many


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "front.html"
    made.write_bytes(b"12345")
    return made


class CountingLocks(LockManager):  # type: ignore[misc]
    """Knows what is locked by device and inode, as the portal's lock service does; counts the questions."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LockStorageDict())
        self.folder = folder
        self.questions: list[str] = []

    def locked_among(self, pairs: list[tuple[int, int]]) -> set[int]:
        self.questions.append("many")
        locked = set()
        for path in self.folder.rglob("*"):
            url = "/" + str(path.relative_to(self.folder)) + ("/" if path.is_dir() else "")
            if super().get_indirect_url_lock_list(url):
                locked.add((path.stat().st_dev, path.stat().st_ino))
        return {at for at, pair in enumerate(pairs) if pair in locked}

    def get_indirect_url_lock_list(self, url: str, **named: Any) -> Any:
        self.questions.append(url)
        return super().get_indirect_url_lock_list(url, **named)


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
    locks = CountingLocks(folder)
    dav = Caller(make_app({"/": str(folder)}, str(folder), None, lock_manager=locks))
    (folder / "sub").mkdir()
    many(folder / "sub", 300)
    dav.ask("LOCK", "/sub/file-00007", LOCK)
    dav.ask("LOCK", "/sub", LOCK, depth="infinity")
    locks.questions.clear()
    found = find(dav, "/sub", "<D:prop><D:lockdiscovery/></D:prop>")

    told = {href: len(one[200]["{DAV:}lockdiscovery"]) for href, one in found.items()}
    assert told["/dav/sub/file-00007"] == 1
    assert "many" in locks.questions
    locks.questions.clear()
    find(dav, "/sub", "<D:prop><D:getetag/></D:prop>")
    assert locks.questions == []


def test_a_lock_on_a_folder_is_told_of_its_members_by_one_question(folder: Path) -> None:
    locks = CountingLocks(folder)
    monkey = locks.locked_among

    def none(pairs: list[tuple[int, int]]) -> set[int]:
        monkey(pairs)
        return set()

    locks.locked_among = none  # type: ignore[method-assign]
    dav = Caller(make_app({"/": str(folder)}, str(folder), None, lock_manager=locks))
    (folder / "sub").mkdir()
    many(folder / "sub", 300)
    dav.ask("LOCK", "/sub", LOCK, depth="infinity")
    locks.questions.clear()
    found = find(dav, "/sub", "<D:prop><D:lockdiscovery/></D:prop>")

    assert all(len(one[200]["{DAV:}lockdiscovery"]) == 1 for one in found.values())
    assert locks.questions == ["/sub/", "many", "/sub/"]


def test_an_owner_that_is_no_element_is_text(folder: Path, file: Path) -> None:
    class Odd(LockManager):  # type: ignore[misc]
        def get_indirect_url_lock_list(self, url: str, **_named: Any) -> Any:
            owner = b"</D:prop><evil/>\xff"
            return [{"depth": "0", "scope": "shared", "owner": owner, "timeout": -1, "token": "a&b", "root": ""}]

    dav = Caller(make_app({"/": str(folder)}, str(folder), None, lock_manager=Odd(LockStorageDict())))
    [lock] = find(dav, "/front.html", "<D:prop><D:lockdiscovery/></D:prop>")["/dav/front.html"][200][
        "{DAV:}lockdiscovery"
    ]

    assert lock.findtext("{DAV:}owner") == "</D:prop><evil/>\ufffd"
    assert lock.findtext("{DAV:}timeout") == "Infinite"
    assert lock.findtext("{DAV:}locktoken/{DAV:}href") == "a&b"


def test_without_locks_none_are_supported(folder: Path) -> None:
    found = find(Caller(make_app({"/": str(folder)}, str(folder), None)), "/")["/dav/"][200]

    assert len(found["{DAV:}supportedlock"]) == len(found["{DAV:}lockdiscovery"]) == 0


class Hostile(PropertyManager):  # type: ignore[misc]
    """What somebody else wrote into a shared file's attributes, past the portal."""

    def get_properties(self, *_args: Any) -> Any:
        return ["{urn:n}x", '{urn:n}x/><D:evil xmlns:y="', "{urn:n}", "", "{urn:n}a b", "{urn:\x01}x"]

    def get_property(self, _url: str, name: str, *_args: Any) -> Any:
        return '<n:x xmlns:n="urn:n"/></D:prop></D:propstat><D:evil/>'


@pytest.mark.parametrize("inside", ["<D:allprop/>", "<D:propname/>", '<D:prop><n:x xmlns:n="urn:n"/></D:prop>'])
def test_hostile_dead_properties_break_nothing(folder: Path, file: Path, inside: str) -> None:
    dav = Caller(make_app({"/": str(folder)}, str(folder), None, prop_manager=Hostile()))
    found = find(dav, "/", inside)

    assert set(found) == {"/dav/", "/dav/front.html"}
    assert "{DAV:}evil" not in found["/dav/front.html"].get(200, {})


def test_quota_that_cannot_be_told_is_missing(dav: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("supercloud.dav.extras.Quota.of", broken)
    found = find(dav, "/", "<D:prop><D:quota-used-bytes/></D:prop>")

    assert set(found["/dav/"][404]) == {"{DAV:}quota-used-bytes"}
