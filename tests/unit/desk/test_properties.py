"""Dead properties that are kept at the desk."""

from __future__ import annotations

import pytest

from supercloud.desk.properties import PropertyBook
from supercloud.desk.property_wire import MOST_BYTES
from supercloud.desk.store import Store
from supercloud.desk.wire import Key, Refusal
from tests.unit.desk.proofs import ALICE, BOB, FILE, OTHER, PROJ, Clock, proof

DAY = 86400
ONE = {"{x}one": b"<one/>"}


def refused(code: str, call: object, *args: object) -> None:
    with pytest.raises(Refusal) as caught:
        call(*args)  # type: ignore[operator]
    assert caught.value.code == code


def test_what_is_stored_is_read_by_whoever_can_read_the_file(properties: PropertyBook) -> None:
    properties.replace(ALICE, proof(), ONE)

    assert properties.read(proof()) == ONE
    assert properties.read(proof(OTHER)) == {}
    assert properties.has(FILE) and not properties.has(OTHER)
    refused("not-readable", properties.read, proof(may_read=False))


def test_only_who_can_write_the_file_stores(properties: PropertyBook) -> None:
    refused("not-writable", properties.replace, ALICE, proof(may_write=False), ONE)
    assert not properties.has(FILE)


def test_those_that_have_any_are_found_among_others(properties: PropertyBook) -> None:
    properties.replace(ALICE, proof(), ONE)

    assert properties.filter([(OTHER.device, OTHER.inode), (FILE.device, FILE.inode), (2, FILE.inode)]) == (1,)
    assert properties.filter([]) == ()


def test_what_is_not_named_again_is_gone(properties: PropertyBook) -> None:
    properties.replace(ALICE, proof(), {**ONE, "{x}two": b"<two/>"})
    properties.replace(BOB, proof(), {"{x}three": b"<three/>"})

    assert properties.read(proof()) == {"{x}three": b"<three/>"}


@pytest.mark.parametrize(("size", "fits"), [(MOST_BYTES - 6, True), (MOST_BYTES - 5, False)])
def test_a_file_has_a_bound_with_the_names_counted(properties: PropertyBook, size: int, fits: bool) -> None:
    properties.replace(ALICE, proof(), ONE)
    large = {"{x}big": b"x" * size}
    if fits:
        properties.replace(ALICE, proof(), large)
    else:
        refused("too-large", properties.replace, ALICE, proof(), large)

    assert properties.read(proof()) == (large if fits else ONE)


def test_an_account_that_has_its_share_loses_what_was_used_longest_ago(store: Store, clock: Clock) -> None:
    properties = PropertyBook(store, now=clock, per_uid=100)
    for key in (FILE, OTHER):
        properties.replace(ALICE, proof(key), {"{x}y": b"x" * 40})
        clock.now += 2 * DAY
    properties.replace(BOB, proof(Key(1, 90, 0)), {"{x}y": b"x" * 80})
    properties.read(proof(FILE))
    clock.now += 1

    properties.replace(ALICE, proof(PROJ), {"{x}y": b"x" * 40})

    assert properties.has(FILE) and properties.has(PROJ)
    assert not properties.has(OTHER)
    assert properties.has(Key(1, 90, 0))


def test_what_is_over_the_whole_share_is_refused_and_nothing_lost(store: Store, clock: Clock) -> None:
    properties = PropertyBook(store, now=clock, per_uid=100)
    properties.replace(ALICE, proof(), {"{x}y": b"x" * 40})

    refused("too-large", properties.replace, ALICE, proof(OTHER), {"{x}y": b"x" * 100})
    assert properties.has(FILE)


def test_they_go_over_to_what_takes_the_name(properties: PropertyBook) -> None:
    properties.replace(ALICE, proof(), ONE)
    properties.replace(ALICE, proof(OTHER), {"{x}two": b"<two/>"})

    properties.move(FILE, OTHER)
    properties.move(OTHER, OTHER)

    assert properties.read(proof(OTHER)) == ONE
    assert not properties.has(FILE)
