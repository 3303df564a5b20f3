"""The firewall rule as a table."""

from __future__ import annotations

import pytest

from supercloud.identity import Principal
from supercloud.ownership.rule import SocketOwner, Verdict, judge, judge_forward
from supercloud.target import Reservation

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


def test_six_verdicts_permit_and_no_other() -> None:
    assert {one for one in Verdict if one.permits} == {
        Verdict.SAME_USER,
        Verdict.PRIVATE_GROUP,
        Verdict.TAKEN_GROUP,
        Verdict.FORWARD_OWNER,
        Verdict.FORWARD_GROUP,
        Verdict.PUBLISHED,
    }


def file(uid: int = 1001, gid: int = 1001, mode: int = 0o700) -> Reservation:
    return Reservation(1, 1, 1, uid, gid, mode)


HERS = SocketOwner(1001, 1001, 1, 1001, True)
HERS_IN_USERS = SocketOwner(1001, 100, 1, 100, False)
HERS_FOR_PROJECT = SocketOwner(1001, 2000, 1, 1001, True)
HIS = SocketOwner(1002, 1002, 1, 1002, True)
HIS_IN_USERS = SocketOwner(1002, 200, 1, 200, False)
HIS_FOR_PROJECT = SocketOwner(1002, 2000, 1, 1002, True)
ROOTS = SocketOwner(0, 0, 1, 0, True)


@pytest.mark.parametrize(
    ("reserved", "owner", "verdict"),
    [
        (file(), HERS, Verdict.FORWARD_OWNER),
        (file(mode=0o755), HERS, Verdict.FORWARD_OWNER),
        (file(mode=0o1700), HERS, Verdict.FORWARD_OWNER),
        (file(gid=2000), HERS, Verdict.FORWARD_OWNER),
        (file(), SocketOwner(1001), Verdict.FORWARD_OWNER),
        (file(gid=2000, mode=0o720), HERS, Verdict.FORWARD_WRITABLE),
        (file(gid=2000, mode=0o702), HERS, Verdict.FORWARD_WRITABLE),
        (file(gid=2000, mode=0o722), HERS, Verdict.FORWARD_WRITABLE),
        (file(mode=0o720), HERS, Verdict.FORWARD_GROUP),
        (file(gid=2000, mode=0o720), HERS_FOR_PROJECT, Verdict.FORWARD_GROUP),
        (file(gid=2000), HIS_FOR_PROJECT, Verdict.FORWARD_GROUP),
        (file(gid=2000), HIS, Verdict.NOT_OWNER),
        (file(), HIS, Verdict.NOT_OWNER),
        (file(gid=1002), HIS, Verdict.FORWARD_GROUP),
        (file(gid=200), HIS_IN_USERS, Verdict.PRIMARY_GROUP),
        (file(gid=100, mode=0o720), HERS_IN_USERS, Verdict.SHARED_GROUP),
        (file(gid=100), HERS_IN_USERS, Verdict.FORWARD_OWNER),
        (file(gid=0), SocketOwner(1002, 0, 1, 1002, True), Verdict.SHARED_GROUP),
        (file(), ROOTS, Verdict.ROOT),
        (file(gid=0), ROOTS, Verdict.ROOT),
        (file(gid=2000), SocketOwner(0, 2000, 1, 0, True), Verdict.ROOT),
        (file(0, 0), ROOTS, Verdict.FORWARD_OWNER),
        (file(0, 0, 0o722), ROOTS, Verdict.FORWARD_WRITABLE),
        (file(0, 0), HERS, Verdict.NOT_OWNER),
        (file(0, 0, 0o1755), HERS, Verdict.PUBLISHED),
        (file(0, 0, 0o1755), ROOTS, Verdict.PUBLISHED),
        (file(0, 2000, 0o1750), HIS, Verdict.PUBLISHED),
        (file(1001, 1001, 0o1755), HIS, Verdict.NOT_OWNER),
    ],
)
def test_a_forward_leads_where_its_file_may(reserved: Reservation, owner: SocketOwner, verdict: Verdict) -> None:
    assert judge_forward(reserved, owner, SHARED) is verdict


def test_a_listener_of_root_is_roots_only_even_under_a_group_of_the_viewer() -> None:
    assert not judge(BOB, SocketOwner(0, 2000, 1, 0, True)).permits
    assert judge(Principal("root", 0, 0, frozenset({0})), SocketOwner(0, 0, 1, 0, True)) is Verdict.SAME_USER


def test_roots_group_permits_nobody_else_even_where_no_group_is_shared() -> None:
    assert judge(BOB, SocketOwner(1001, 0, 1, 1001, True)) is Verdict.SHARED_GROUP


def test_a_primary_group_that_everybody_has_is_not_a_decision_to_share() -> None:
    users = SocketOwner(1001, 100, 1, primary_gid=100, has_private_group=False)
    assert judge(BOB, users) is Verdict.PRIMARY_GROUP


def test_what_stands_on_a_group_permits() -> None:
    assert {verdict for verdict in Verdict if verdict.is_by_group} == {
        Verdict.PRIVATE_GROUP,
        Verdict.TAKEN_GROUP,
        Verdict.FORWARD_GROUP,
    }
