"""Writes that go on."""

from __future__ import annotations

import pytest

from supercloud.desk.wire import Key, Refusal
from supercloud.desk.writes import MOST, Writes, is_below
from tests.unit.desk.proofs import FILE, OTHER, PROJ, proof

ALICES, BOBS = object(), object()


def test_a_write_is_known_to_its_own_connection_only() -> None:
    writes = Writes()
    write = writes.begin(ALICES, proof(), ())

    assert writes.find(ALICES, write.number) is write
    with pytest.raises(Refusal, match="unknown-write"):
        writes.find(BOBS, write.number)
    writes.end(BOBS, write.number)
    assert writes.find(ALICES, write.number) is write


def test_a_write_ends_once_it_is_ended() -> None:
    writes = Writes()
    write = writes.begin(ALICES, proof(), ())
    writes.end(ALICES, write.number)
    writes.end(ALICES, write.number)

    with pytest.raises(Refusal):
        writes.find(ALICES, write.number)
    assert not writes.hinder_lock(proof(), members=False)


def test_all_writes_end_with_their_connection() -> None:
    writes = Writes()
    writes.begin(ALICES, proof(), ())
    theirs = writes.begin(BOBS, proof(OTHER), ())
    writes.end_all(ALICES)

    assert not writes.hinder_lock(proof(), members=False)
    assert writes.find(BOBS, theirs.number) is theirs


def test_a_connection_has_a_bound_on_its_writes() -> None:
    writes = Writes()
    for _ in range(MOST):
        writes.begin(ALICES, proof(), ())

    with pytest.raises(Refusal, match="too-many"):
        writes.begin(ALICES, proof(), ())
    writes.begin(BOBS, proof(), ())


def test_what_will_take_the_name_is_nobody_elses() -> None:
    writes = Writes()
    write = writes.begin(ALICES, proof(), ())
    write.guarded = {Key(1, 40, 9)}

    assert writes.forbid(BOBS, Key(1, 40, 9))
    assert not writes.forbid(ALICES, Key(1, 40, 9))
    assert not writes.forbid(BOBS, FILE)
    assert not writes.forbid(BOBS, None)
    assert writes.hinder_lock(proof(Key(1, 40, 9)), members=False)


def test_a_lock_on_all_that_is_below_waits_for_what_is_written_there() -> None:
    writes = Writes()
    writes.begin(ALICES, proof(), ())

    assert writes.hinder_lock(proof(PROJ), members=True)
    assert not writes.hinder_lock(proof(PROJ), members=False)


@pytest.mark.parametrize(
    ("path", "device", "folder", "below"),
    [
        (b"/a/b", 1, b"/a", True),
        (b"/a/b", 1, b"/", True),
        (b"/ab", 1, b"/a", False),
        (b"/a", 1, b"/a", False),
        (b"/a/b", 2, b"/a", False),
        (b"", 1, b"/", False),
    ],
)
def test_below_means_within_and_on_the_same_file_system(path: bytes, device: int, folder: bytes, below: bool) -> None:
    assert is_below(proof(path=path), device, folder) is below
