"""Requests about dead properties, with real descriptors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supercloud.desk.property_wire import Properties, ReadProperties, ReplaceProperties
from supercloud.desk.wire import Done, Refusal
from tests.fakes.desk import FakeDesk

STORED = {"{x}y": b"<y xmlns='x'/>"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FakeDesk]:
    made = FakeDesk(tmp_path)
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.touch()
    return made


def test_who_can_write_stores_and_who_can_read_reads(desk: FakeDesk, file: Path) -> None:
    with file.open("wb") as writing, file.open("rb") as reading:
        desk.asker(1).ask(ReplaceProperties(STORED), Done, descriptors=(writing.fileno(),))
        told = desk.asker(2).ask(ReadProperties(), Properties, descriptors=(reading.fileno(),))

    assert told.properties == STORED


def test_nobody_stores_with_a_descriptor_for_reading_nor_reads_with_one_for_writing(desk: FakeDesk, file: Path) -> None:
    with file.open("wb") as writing, file.open("rb") as reading:
        with pytest.raises(Refusal, match="not-writable"):
            desk.asker().ask(ReplaceProperties(STORED), Done, descriptors=(reading.fileno(),))
        with pytest.raises(Refusal, match="not-readable"):
            desk.asker().ask(ReadProperties(), Properties, descriptors=(writing.fileno(),))


def test_a_folders_are_stored_by_who_may_change_it(desk: FakeDesk, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    handle = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(Refusal, match="not-writable"):
            desk.asker(os.geteuid() + 5000).ask(ReplaceProperties(STORED), Done, descriptors=(handle,))
        desk.asker().ask(ReplaceProperties(STORED), Done, descriptors=(handle,))
    finally:
        os.close(handle)
