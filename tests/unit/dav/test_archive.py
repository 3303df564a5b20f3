"""A folder with all that is below it, as one file."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from supercloud.dav.archive import archive
from supercloud.dav.tree import Tree
from tests.fakes.wsgi import Caller

BYTES = bytes(range(256)) * 4000


@pytest.fixture
def results(folder: Path) -> Path:
    made = folder / "r\u00e9sults"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "big").write_bytes(BYTES)
    os.utime(made / "deep" / "big", (0, 1_700_000_000))
    (made / "run.sh").write_bytes(b"#!/bin/sh\n")
    (made / "run.sh").chmod(0o750)
    return made


def read(data: bytes) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(data), errorlevel=2)


def test_everything_is_in_it_with_modes_and_times(dav: Caller, results: Path) -> None:
    answer = dav.ask("GET", "/r%C3%A9sults", query="tar")

    assert answer.status == 200
    assert answer.fields["content-type"] == "application/x-tar"
    assert answer.fields["content-disposition"] == "attachment; filename*=UTF-8''r%C3%A9sults.tar"
    made = read(answer.body)
    top = "r\u00e9sults"
    assert sorted(made.getnames()) == [top, f"{top}/deep", f"{top}/deep/big", f"{top}/run.sh"]
    big = made.extractfile(f"{top}/deep/big")
    assert big is not None
    assert big.read() == BYTES
    assert made.getmember(f"{top}/deep/big").mtime == 1_700_000_000
    assert made.getmember(f"{top}/run.sh").mode == 0o750


def test_links_are_stored_and_lead_nowhere_else(dav: Caller, folder: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (results / "link").symlink_to(tmp_path / "secret")
    (results / "round").symlink_to(results)
    answer = dav.ask("GET", "/r%C3%A9sults", query="tar")

    assert b"secret\0" not in answer.body.replace(str(tmp_path / "secret").encode(), b"")
    made = read(answer.body)
    assert made.getmember("r\u00e9sults/link").linkname == str(tmp_path / "secret")
    assert made.getmember("r\u00e9sults/round").issym()


def test_a_file_that_became_a_link_out_of_the_root_is_left_out(folder: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    pieces = archive(tree := Tree({"/": str(folder)}, "/home/alice"), tree.locate("/r\u00e9sults"))
    sent = [next(pieces)]
    for path in (results / "run.sh", results / "deep" / "big"):
        path.unlink()
        path.symlink_to(tmp_path / "secret")
    made = read(b"".join([*sent, *pieces]))

    assert not any(one.isreg() and one.size == 6 for one in made.getmembers())


def test_what_cannot_be_read_is_named_at_the_end(dav: Caller, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Tree.opened

    def refuse(self: Tree, located: object, *rest: object, **named: object) -> object:
        if str(located).count("run.sh"):
            raise PermissionError(13, "Permission denied")
        return opened(self, located, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Tree, "opened", refuse)
    os.mkfifo(results / "fifo")
    made = read(dav.ask("GET", "/r%C3%A9sults", query="tar").body)

    told = made.extractfile("r\u00e9sults/NOT IN THIS ARCHIVE.txt")
    assert told is not None
    assert told.read().decode() == "r\u00e9sults/run.sh\n"


def test_a_file_that_shrinks_breaks_it_off(folder: Path, results: Path) -> None:
    tree = Tree({"/": str(folder)}, "/home/alice")
    pieces = archive(tree, tree.locate("/r\u00e9sults/deep"))
    for _ in range(3):
        next(pieces)
    os.truncate(results / "deep" / "big", 10)

    with pytest.raises(OSError, match="shorter"):
        list(pieces)


def test_head_makes_none(dav: Caller, results: Path) -> None:
    assert dav.ask("HEAD", "/r%C3%A9sults", query="tar").body == b""


def test_it_is_the_same_at_the_folders_address_with_a_slash(dav: Caller, results: Path) -> None:
    with_slash, without = (dav.ask("GET", address, query="tar") for address in ("/r%C3%A9sults/", "/r%C3%A9sults"))
    assert with_slash.fields == without.fields
    assert with_slash.body == without.body


def test_names_that_are_not_utf8_and_long_ones_are_kept(dav: Caller, folder: Path) -> None:
    name = b"caf\xe9" + b"x" * 200
    (folder / "d").mkdir()
    (folder / "d" / os.fsdecode(name)).touch()
    made = read(dav.ask("GET", "/d", query="tar").body)

    assert f"d/{os.fsdecode(name)}" in made.getnames()


def test_the_page_leads_to_it(dav: Caller, results: Path) -> None:
    page = dav.ask("GET", "/r%C3%A9sults/", accept="text/html").body
    assert b'href="/dav/r%C3%A9sults?tar"' in page
    assert b"?tar" not in dav.ask("GET", "/", accept="text/html").body
