"""Names of what is not finished, and their litter."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supercloud.dav import part
from supercloud.dav.part import ABANDONED, is_due, is_part_name, litter, part_name, resumable_name


@pytest.fixture
def handle(folder: Path) -> Iterator[int]:
    opened = os.open(folder, os.O_PATH)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("name", ["file", "x" * 255, "\udcff\udcfe", "new\nline", ".hidden", "caf\u00e9"])
def test_a_part_fits_into_a_name_and_is_known_as_one(folder: Path, name: str) -> None:
    for made in (part_name(name), resumable_name(name, 10)):
        (folder / made).touch()
        assert is_part_name(made)
        assert len(os.fsencode(made)) <= 255


def test_parts_of_one_name_are_different_and_pieces_of_one_upload_the_same() -> None:
    assert part_name("file") != part_name("file")
    assert resumable_name("file", 10) == resumable_name("file", 10)
    assert len({resumable_name("file", 10), resumable_name("file", 11), resumable_name("other", 10)}) == 3


@pytest.mark.parametrize(
    "name", ["file.part", ".file.part", ".file.supercloud-.part", ".file.supercloud-t123.part", "x.supercloud-r1.part"]
)
def test_files_of_users_are_not_taken_for_parts(name: str) -> None:
    assert not is_part_name(name)


def test_a_part_whose_writer_is_gone_is_litter(folder: Path, handle: int) -> None:
    dead, alive = part_name("file").replace(f"{os.getpid():06x}", "fffffe"), part_name("file")
    for name in (dead, alive, "file", resumable_name("file", 1)):
        (folder / name).touch()

    assert litter(handle, time.time()) == [dead]


def test_what_nobody_touched_for_a_day_is_litter(folder: Path, handle: int) -> None:
    name = resumable_name("file", 1)
    (folder / name).touch()

    assert litter(handle, time.time() + ABANDONED - 60) == []
    assert litter(handle, time.time() + ABANDONED + 60) == [name]


def test_parts_of_other_accounts_and_links_are_not_litter(
    folder: Path, handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / resumable_name("link", 1)).symlink_to("elsewhere")
    assert litter(handle, time.time() + 2 * ABANDONED) == []
    (folder / resumable_name("file", 1)).touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert litter(handle, time.time() + 2 * ABANDONED) == []


@pytest.mark.parametrize(("mode", "found"), [(0o755, True), (0o1777, True), (0o775, False), (0o2770, False)])
def test_a_folder_that_somebody_else_could_have_named_a_part_is_not_litter(
    folder: Path, handle: int, mode: int, *, found: bool
) -> None:
    name = part_name("precious").replace(f"{os.getpid():06x}", "fffffe")
    (folder / name).mkdir()
    folder.chmod(mode)

    assert litter(handle, time.time()) == ([name] if found else [])


def test_a_folder_is_looked_through_once_an_hour(handle: int) -> None:
    now = time.monotonic() + 10**6

    assert [is_due(handle, now), is_due(handle, now + 3599), is_due(handle, now + 3600)] == [True, False, True]


def test_not_all_folders_are_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "_MAX_SWEPT", 2)
    monkeypatch.setattr(part, "_swept", {})
    for number in range(5):
        (folder / str(number)).mkdir()
        opened = os.open(folder / str(number), os.O_PATH)
        assert is_due(opened, 0)
        os.close(opened)

    assert len(part._swept) <= 2


def test_a_folder_that_cannot_be_listed_has_no_litter_to_find() -> None:
    assert litter(987654, 0) == []
