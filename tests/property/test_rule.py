"""The firewall rule for every viewer and holder."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from supercloud.identity import Principal
from supercloud.ownership.rule import SocketOwner, Verdict, judge

# Few ids, so that they meet.
IDS = st.integers(0, 4)
GROUPS = st.frozensets(IDS)
PRINCIPALS = st.builds(Principal, st.just("alice"), IDS, IDS, GROUPS)
OWNERS = st.builds(
    SocketOwner,
    uid=IDS,
    gid=st.none() | IDS,
    pid=st.none() | st.integers(1, 9),
    primary_gid=st.none() | IDS,
    has_private_group=st.booleans(),
    is_accepted=st.booleans(),
)
QUICK = settings(max_examples=200, deadline=None)


@QUICK
@given(PRINCIPALS, OWNERS, GROUPS, GROUPS)
def test_judge_is_monotone_losing_a_group_never_permits(
    principal: Principal, owner: SocketOwner, shared: frozenset[int], lost: frozenset[int]
) -> None:
    fewer = replace(principal, groups=principal.groups - lost)
    assert judge(principal, owner, shared).permits or not judge(fewer, owner, shared).permits


@QUICK
@given(PRINCIPALS, OWNERS, GROUPS, GROUPS)
def test_one_more_shared_group_never_permits(
    principal: Principal, owner: SocketOwner, shared: frozenset[int], more: frozenset[int]
) -> None:
    assert judge(principal, owner, shared).permits or not judge(principal, owner, shared | more).permits


@QUICK
@given(PRINCIPALS, OWNERS, GROUPS)
def test_somebody_elses_listener_is_permitted_by_a_group_of_both_or_not_at_all(
    principal: Principal, owner: SocketOwner, shared: frozenset[int]
) -> None:
    verdict = judge(principal, owner, shared)
    assert isinstance(verdict, Verdict)
    if verdict.permits and owner.uid != principal.uid:
        assert owner.gid in principal.groups - shared - {0}
        assert owner.uid != 0


@QUICK
@given(PRINCIPALS, OWNERS, GROUPS)
def test_what_the_account_database_does_not_know_permits_nobody_else(
    principal: Principal, owner: SocketOwner, shared: frozenset[int]
) -> None:
    unknown = msgspec.structs.replace(owner, primary_gid=None, has_private_group=False)
    assert judge(principal, unknown, shared).permits == (owner.uid == principal.uid)
