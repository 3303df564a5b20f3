"""What macOS asks for in decomposed letters, which were composed when they were listed, or the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from supercloud.dav.app import Application
from supercloud.dav.tree import Tree
from tests.fakes.desk import FakeAsker
from tests.fakes.wsgi import Caller
from tests.unit.dav.multistatus import LOCK, find

FINDER = "WebDAVFS/3.0.0 (03008000) Darwin/23.6.0 (arm64)"


@pytest.fixture
def dav(folder: Path, home: Path, asker: FakeAsker) -> Caller:
    """For everybody, as a worker has it."""
    trees = (Tree({"/": str(folder)}, str(home), "alice", alike=alike) for alike in (False, True))
    others, macs = (Application(tree, "alice", asker) for tree in trees)
    return Caller(Application(others.tree, "alice", asker, for_macs=macs))


def test_a_file_is_read_locked_replaced_and_removed(dav: Caller, folder: Path) -> None:
    (folder / "\u00e9").write_bytes(b"old")

    assert dav.ask("GET", "/e%CC%81", user_agent=FINDER).body == b"old"
    locked = dav.ask("LOCK", "/e%CC%81", LOCK, user_agent=FINDER)
    assert locked.status == 200
    assert dav.ask("PUT", "/%C3%A9", b"another's").status == 423
    condition = f"({locked.fields['lock-token']})"
    assert dav.ask("PUT", "/e%CC%81", b"new", user_agent=FINDER, **{"if": condition}).status == 204
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("\u00e9", b"new")]
    assert dav.ask("DELETE", "/e%CC%81", user_agent=FINDER, **{"if": condition}).status == 204
    assert list(folder.iterdir()) == []


def test_a_file_is_moved_into_a_folder(dav: Caller, folder: Path) -> None:
    (folder / "\u00e9").mkdir()
    (folder / "a").touch()
    answer = dav.ask("MOVE", "/a", user_agent=FINDER, destination="https://portal.test/dav/e%CC%81/a")

    assert answer.status == 201
    assert (folder / "\u00e9" / "a").exists()


def test_a_folder_is_listed_by_the_address_that_was_asked_for(dav: Caller, folder: Path) -> None:
    """By it macOS knows the folder itself among the answers, and cuts its members' names."""
    (folder / "\u00e9").mkdir()
    (folder / "\u00e9" / "\u00e0").touch()

    found = find(dav, "/e%CC%81/", "<D:propname/>", user_agent=FINDER)
    assert set(found) == {"/dav/e%CC%81/", "/dav/e%CC%81/%C3%A0"}


def test_to_others_they_are_different_names(dav: Caller, folder: Path) -> None:
    (folder / "\u00e9").write_bytes(b"composed")

    assert dav.ask("GET", "/e%CC%81").status == 404
    assert dav.ask("PUT", "/e%CC%81", b"decomposed").status == 201
    assert dav.ask("GET", "/%C3%A9").body == b"composed"
    assert dav.ask("GET", "/e%CC%81", user_agent=FINDER).body == b"decomposed"
