"""The firewall rule as a table."""

from __future__ import annotations

import pytest

from supercloud.identity import Principal
from supercloud.ownership.rule import SocketOwner, Verdict, judge

BOB = Principal("bob", 1002, 1002, frozenset({1002, 1001, 2000, 100, 0}))
SHARED = frozenset({100})


@pytest.mark.parametrize(
    ("owner", "verdict"),
    [
        (SocketOwner(1002, 1002, 1, 1002, True), Verdict.SAME_USER),
        (SocketOwner(1002), Verdict.SAME_USER),
        (SocketOwner(1002, 100, 1, 100, False), Verdict.SAME_USER),
        (SocketOwner(1001, 1001, 1, 1001, True), Verdict.PRIVATE_GROUP),
        (SocketOwner(1001, 1001, 1, 1001, False), Verdict.PRIMARY_GROUP),
        (SocketOwner(1001, 2000, 1, 1001, True), Verdict.TAKEN_GROUP),
        (SocketOwner(1001, 2000, 1, 1001, False), Verdict.TAKEN_GROUP),
        (SocketOwner(1001, 2000, 1, 2000, False), Verdict.PRIMARY_GROUP),
        (SocketOwner(1001, 2000, 1, None, False), Verdict.NOT_OWNER),
        (SocketOwner(1001, 3000, 1, 1001, True), Verdict.NOT_OWNER),
        (SocketOwner(1001, None, None, 1001, True), Verdict.NOT_OWNER),
        (SocketOwner(1001, 100, 1, 1001, True), Verdict.SHARED_GROUP),
        (SocketOwner(1001, 100, 1, 100, True), Verdict.SHARED_GROUP),
        (SocketOwner(1001, 0, 1, 1001, True), Verdict.SHARED_GROUP),
        (SocketOwner(0, 0, 1, 0, True), Verdict.ROOT),
        (SocketOwner(0, 2000, 1, 0, True), Verdict.ROOT),
        (SocketOwner(0, 1002, 1, 1002, True), Verdict.ROOT),
    ],
)
def test_each_holder_has_one_verdict(owner: SocketOwner, verdict: Verdict) -> None:
    assert judge(BOB, owner, SHARED) is verdict


def test_three_verdicts_permit_and_no_other() -> None:
    assert {one for one in Verdict if one.permits} == {
        Verdict.SAME_USER,
        Verdict.PRIVATE_GROUP,
        Verdict.TAKEN_GROUP,
    }


def test_a_listener_of_root_is_roots_only_even_under_a_group_of_the_viewer() -> None:
    assert not judge(BOB, SocketOwner(0, 2000, 1, 0, True)).permits
    assert judge(Principal("root", 0, 0, frozenset({0})), SocketOwner(0, 0, 1, 0, True)) is Verdict.SAME_USER


def test_roots_group_permits_nobody_else_even_where_no_group_is_shared() -> None:
    assert judge(BOB, SocketOwner(1001, 0, 1, 1001, True)) is Verdict.SHARED_GROUP


def test_a_primary_group_that_everybody_has_is_not_a_decision_to_share() -> None:
    users = SocketOwner(1001, 100, 1, primary_gid=100, has_private_group=False)
    assert judge(BOB, users) is Verdict.PRIMARY_GROUP
