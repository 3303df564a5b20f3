"""Connections that a group permitted are judged again and again, each ground once."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.errors import Busy, NotAuthorized, PortalError, Undecided
from supercloud.membership import LOOK, PATIENCE, Membership
from supercloud.ownership.authorize import Grant, Permit
from supercloud.ownership.rule import SocketOwner, Verdict
from supercloud.target import Application, Target
from tests.fakes.accounts import BOB, CAROL

TARGET = Target(Application("node1", 9191), ("10.0.0.1",))


def granted(verdict: Verdict = Verdict.TAKEN_GROUP, *, uid: int = 1001, gid: int = 2000, viewer: Any = BOB) -> Grant:
    owner = SocketOwner(uid, gid, 13, 1001, age=0.001)
    return Grant(Permit(viewer, TARGET, "10.0.0.1", owner, verdict), owner, verdict, "connection")


class Bench:
    """Implements `membership.Judge`, and what is needed of a watch and a pool."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.grants: list[Grant] = []
        self.judged: list[Grant] = []
        self.verdict: Verdict | PortalError | Deferred[Verdict] = Verdict.TAKEN_GROUP
        self.ended: list[tuple[Any, PortalError, str]] = []
        bench: Any = self
        self.membership = Membership(self.clock, authorizer=self, watch=bench, pool=bench)
        self.membership.start()

    async def judge_again(self, grant: Grant) -> Verdict:
        self.judged.append(grant)
        if isinstance(self.verdict, PortalError):
            raise self.verdict
        return await self.verdict if isinstance(self.verdict, Deferred) else self.verdict

    def end_grants(self, is_meant: Any, error: PortalError, told: str) -> None:
        self.ended.append((is_meant, error, told))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_ground_is_judged_once_however_many_connections_stand_on_it(bench: Bench) -> None:
    bench.grants = [granted() for _ in range(10)] + [granted(viewer=CAROL)]
    bench.clock.advance(LOOK)
    assert [grant.permit.principal.login for grant in bench.judged] == ["bob", "carol"]


def test_what_stands_on_no_group_is_not_asked_about(bench: Bench) -> None:
    bench.grants = [granted(Verdict.SAME_USER), granted(Verdict.FORWARD_OWNER), granted(Verdict.PUBLISHED)]
    bench.clock.advance(LOOK)
    assert bench.judged == []


def test_a_verdict_that_permits_no_more_ends_that_ground_only(bench: Bench) -> None:
    bench.grants = [granted()]
    bench.verdict = Verdict.NOT_OWNER
    bench.clock.advance(LOOK)
    [(is_meant, error, told)] = bench.ended
    assert isinstance(error, NotAuthorized)
    assert str(error) == "bob -> node1:9191: somebody else's, gid 2000"
    assert told == "you are not in its group any more"
    assert is_meant(granted())
    for other in (granted(viewer=CAROL), granted(gid=2001), granted(uid=1003)):
        assert not is_meant(other)


def test_an_account_that_is_gone_ends_what_it_was_let_in_to(bench: Bench) -> None:
    bench.grants = [granted()]
    bench.verdict = NotAuthorized("uid 1002 was bob")
    bench.clock.advance(LOOK)
    assert bench.ended[0][1] is bench.verdict


def test_what_nobody_can_say_ends_after_a_minute_without_an_answer(bench: Bench) -> None:
    bench.grants = [granted()]
    bench.clock.pump([LOOK] * 3)
    bench.verdict = Busy("no thread is free")
    bench.clock.pump([LOOK] * int(PATIENCE / LOOK))
    assert bench.ended == []
    bench.clock.advance(LOOK)
    assert isinstance(bench.ended[0][1], Undecided)


def test_a_directory_that_never_answers_does_not_hold_up_the_end(bench: Bench) -> None:
    bench.grants = [granted()]
    bench.verdict = Deferred()
    bench.clock.pump([LOOK] * int(PATIENCE / LOOK + 1))
    bench.grants.append(granted(viewer=CAROL))
    assert bench.ended == []
    bench.clock.advance(LOOK)
    [(is_meant, error, _)] = bench.ended
    assert isinstance(error, Undecided)
    assert [is_meant(grant) for grant in bench.grants] == [True, False]
    bench.clock.pump([LOOK] * int(PATIENCE / LOOK + 1))
    assert bench.ended[-1][0](bench.grants[1])


def test_no_timer_stays_behind(bench: Bench) -> None:
    bench.membership.stop()
    assert bench.clock.getDelayedCalls() == []
