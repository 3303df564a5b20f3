"""Who may change a folder's names (acl(5))."""

from __future__ import annotations

import struct

import pytest

from supercloud.desk.permission import Entry, may_change, read_list

OWNER, NAMED, MEMBER, STRANGER = 1001, 1002, 1003, 1004
PROJ, TEAM = 2001, 2002
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


def may(uid: int, groups: set[int], mode: int, *entries: Entry) -> bool:
    return may_change(uid, groups, owner=OWNER, group=PROJ, mode=mode, entries=entries)


@pytest.mark.parametrize(
    ("uid", "groups", "mode", "expected"),
    [
        (OWNER, set(), 0o700, True),
        (OWNER, set(), 0o500, False),
        (OWNER, set(), 0o600, False),
        (OWNER, {PROJ}, 0o077, False),
        (MEMBER, {PROJ}, 0o070, True),
        (MEMBER, {PROJ}, 0o707, False),
        (MEMBER, {PROJ}, 0o750, False),
        (STRANGER, {TEAM}, 0o770, False),
        (STRANGER, {TEAM}, 0o707, True),
        (STRANGER, set(), 0o705, False),
        (0, set(), 0, True),
    ],
)
def test_the_first_class_that_fits_decides(uid: int, groups: set[int], mode: int, expected: bool) -> None:
    assert may(uid, groups, mode) is expected


BASE = (Entry(USER_OBJ, 7, 0), Entry(GROUP_OBJ, 0, 0), Entry(OTHER, 0, 0))


def test_a_named_user_is_let_by_the_list_within_the_mask() -> None:
    assert may(NAMED, set(), 0o770, *BASE, Entry(USER, 7, NAMED), Entry(MASK, 7, 0))
    assert not may(NAMED, set(), 0o750, *BASE, Entry(USER, 7, NAMED), Entry(MASK, 5, 0))
    assert not may(STRANGER, set(), 0o770, *BASE, Entry(USER, 7, NAMED), Entry(MASK, 7, 0))


def test_a_named_user_who_is_denied_is_not_let_by_a_group() -> None:
    assert not may(NAMED, {TEAM}, 0o770, *BASE, Entry(USER, 0, NAMED), Entry(GROUP, 7, TEAM), Entry(MASK, 7, 0))


def test_any_of_several_groups_lets_in() -> None:
    entries = (*BASE, Entry(GROUP, 5, PROJ), Entry(GROUP, 7, TEAM), Entry(MASK, 7, 0))

    assert may(MEMBER, {PROJ, TEAM}, 0o770, *entries)
    assert not may(MEMBER, {PROJ}, 0o770, *entries)


def test_a_group_that_fits_and_denies_is_not_made_up_for_by_others() -> None:
    open_to_others = (Entry(USER_OBJ, 7, 0), Entry(GROUP_OBJ, 0, 0), Entry(OTHER, 7, 0))

    assert not may(MEMBER, {PROJ}, 0o777, *open_to_others, Entry(MASK, 7, 0))
    assert may(STRANGER, {TEAM}, 0o777, *open_to_others, Entry(MASK, 7, 0))


def test_the_mask_does_not_count_for_others() -> None:
    entries = (Entry(USER_OBJ, 7, 0), Entry(GROUP_OBJ, 0, 0), Entry(OTHER, 7, 0), Entry(MASK, 4, 0))
    assert may(STRANGER, set(), 0o747, *entries)


def test_a_list_whose_mask_is_empty_is_not_looked_at() -> None:
    """As the kernel has it: who is denied by name may do what others may."""
    entries = (Entry(USER_OBJ, 7, 0), Entry(USER, 0, NAMED), Entry(GROUP_OBJ, 0, 0), Entry(MASK, 0, 0))
    assert may(NAMED, set(), 0o707, *entries, Entry(OTHER, 7, 0))
    assert not may(NAMED, {PROJ}, 0o707, *entries, Entry(OTHER, 7, 0))


def test_a_list_is_read_as_the_kernel_writes_it() -> None:
    data = struct.pack("<I", 2) + struct.pack("<HHI", USER, 6, NAMED) + struct.pack("<HHI", OTHER, 4, 0xFFFFFFFF)

    assert read_list(data) == (Entry(USER, 6, NAMED), Entry(OTHER, 4, 0xFFFFFFFF))


@pytest.mark.parametrize("data", [b"", b"\2\0", struct.pack("<I", 3), struct.pack("<I", 2) + b"\0" * 7])
def test_what_is_no_list_is_not_read(data: bytes) -> None:
    with pytest.raises(ValueError, match="access list"):
        read_list(data)
