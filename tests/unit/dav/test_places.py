"""Where an address leads, by keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supercloud.dav.places import Place, found
from supercloud.dav.tree import NotServed, Tree
from supercloud.desk.identity import look_at
from supercloud.desk.wire import Key


@pytest.fixture
def tree(folder: Path, home: Path) -> Tree:
    return Tree({"/": "/", "/data": str(folder)}, str(home))


def place(tree: Tree, path: str) -> Place:
    with found(tree, tree.locate(path)) as seen:
        assert seen.handle is None or os.fstat(seen.handle)
        return seen


def key(path: Path | str) -> Key:
    return look_at(str(path)).key


def test_a_file_is_known_with_all_folders_above_it(tree: Tree, folder: Path) -> None:
    (folder / "file").touch()
    seen = place(tree, "/data/file")

    assert seen.key == key(folder / "file")
    assert seen.above == tuple(map(key, folder.resolve().joinpath("file").parents))
    assert (seen.url, seen.is_folder) == ("/data/file", False)


def test_every_way_leads_to_the_same_keys(tree: Tree, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").touch()
    (folder / "way").symlink_to("sub")
    (folder / "link").symlink_to("way/file")
    ways = [place(tree, path) for path in ("/data/sub/file", "/data/way/file", "/data/link", f"{folder}/sub/file")]

    assert len({seen.keys for seen in ways}) == 1


def test_what_is_not_there_has_the_folders_that_would_hold_it(tree: Tree, folder: Path) -> None:
    for path in ("/data/new", "/data/no/new"):
        seen = place(tree, path)
        assert (seen.key, seen.handle, seen.url) == (None, None, path)
        assert seen.above[0] == key(folder)
        assert seen.keys == seen.above


def test_folders_are_named_by_the_addresses_that_the_client_uses(tree: Tree, folder: Path) -> None:
    (folder / "a b").mkdir()
    (folder / "a b" / "file").touch()
    seen = place(tree, "/data/a%20b/file".replace("%20", " "))

    assert seen.url_of(seen.key) == "/data/a%20b/file"
    assert seen.url_of(key(folder / "a b")) == "/data/a%20b/"
    assert seen.url_of(key(folder)) == "/data/"


def test_what_has_no_address_is_named_by_the_place_itself(tree: Tree, folder: Path) -> None:
    (folder / "file").touch()
    seen = place(tree, "/data/file")

    assert seen.url_of(key("/")) == "/data/file"
    assert seen.url_of(Key(1, 2, 3)) == "/data/file"
    assert seen.url_of(None) == "/data/file"


def test_what_is_never_served_is_not_looked_at(tree: Tree, folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    with pytest.raises(NotServed):
        place(tree, "/data/pipe")


def test_looking_leaves_no_descriptor_open(tree: Tree, folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/data/", "/data/new", "/data/no/no/new"):
        place(tree, path)

    assert len(os.listdir("/proc/self/fd")) == before
