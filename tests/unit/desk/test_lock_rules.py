"""RFC 4918 sections 6 and 7 as a table."""

from __future__ import annotations

import pytest

from supercloud.desk.lock_rules import Held, Place, binding, forbidding, hindering
from supercloud.desk.lock_wire import Depth, Scope
from supercloud.desk.wire import Key

ALICE, BOB = 1001, 1002


def held(
    place: Place = "here", *, scope: Scope = "exclusive", depth: Depth = "0", uid: int = ALICE, at: int = 1
) -> Held:
    return Held(at, f"token-{uid}-{at}", uid, scope, depth, Key(1, at, 0), place)


@pytest.mark.parametrize(
    ("there", "new", "may"),
    [
        ("shared", "shared", True),
        ("shared", "exclusive", False),
        ("exclusive", "shared", False),
        ("exclusive", "exclusive", False),
    ],
)
@pytest.mark.parametrize("uid", [ALICE, BOB])
def test_only_shared_locks_stand_beside_each_other_whoevers_they_are(
    there: Scope, new: Scope, may: bool, uid: int
) -> None:
    assert (hindering([held(scope=there, uid=uid)], new, "0") == []) is may


@pytest.mark.parametrize(
    ("place", "depth", "below", "binds"),
    [
        ("here", "0", False, True),
        ("here", "infinity", False, True),
        ("above", "0", False, False),
        ("above", "0", True, False),
        ("above", "infinity", False, True),
        ("below", "0", False, False),
        ("below", "0", True, True),
        ("below", "infinity", True, True),
    ],
)
def test_what_binds_depends_on_where_it_lies(place: Place, depth: Depth, below: bool, binds: bool) -> None:
    assert (binding([held(place, depth=depth)], below=below) != []) is binds


def test_a_lock_of_infinite_depth_is_hindered_by_any_below() -> None:
    assert hindering([held("below")], "exclusive", "infinity")
    assert not hindering([held("below")], "exclusive", "0")
    assert not hindering([held("below", scope="shared")], "shared", "infinity")


def test_without_the_token_even_the_owner_is_forbidden() -> None:
    assert forbidding([held()], ALICE, [], below=False)
    assert not forbidding([held()], ALICE, ["token-1001-1"], below=False)


def test_somebody_elses_token_is_worth_nothing() -> None:
    assert forbidding([held()], BOB, ["token-1001-1"], below=False)


def test_of_several_shared_locks_one_own_is_enough() -> None:
    locks = [held(scope="shared"), Held(2, "bobs", BOB, "shared", "0", Key(1, 1, 0), "here")]

    assert not forbidding(locks, BOB, ["bobs"], below=False)
    assert forbidding(locks, BOB, ["token-1001-1"], below=False) == locks


def test_each_locked_resource_needs_its_own_token() -> None:
    here, below = held(), held("below", at=2)

    assert forbidding([here, below], ALICE, [here.token], below=True) == [below]
    assert forbidding([here, below], ALICE, [here.token, below.token], below=True) == []
