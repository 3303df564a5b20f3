"""Whom a listener, and then a connection, is given to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from supercloud.errors import NotAuthorized, NothingListens, Undecided
from supercloud.identity import Principal
from supercloud.ownership.authorize import Authorizer, Grant, Permit
from supercloud.ownership.listeners import Listeners
from supercloud.ownership.rule import SocketOwner, Verdict
from supercloud.target import Application, Target
from tests.fakes.accounts import ALICE, BOB, CAROL, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.owners import FakeOwners

PORT = 8080
HERS = SocketOwner(1001, 1001, 11, 1001, True)
HIS = SocketOwner(1002, 1002, 12, 1002, True)
TAKEN = SocketOwner(1001, 2000, 13, 1001, True)
WAITS = SocketOwner(1001, is_accepted=False)


class Owners(FakeOwners):
    """Tells different listeners at different addresses, and owners' groups only when it is asked for them.

    :ivar at: listeners by address.
    :ivar script: answers about connections, the last again and again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, SocketOwner | None] = {}
        self.script: list[SocketOwner | None] = []
        self.groups_asked = 0

    async def listener(self, address: str, port: int) -> SocketOwner | None:
        found = await super().listener(address, port)
        return self.at.get(address, found)

    async def connection(self, address: str, port: int, peer: str, peer_port: int) -> SocketOwner | None:
        found = await super().connection(address, port, peer, peer_port)
        if not self.script:
            return found
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def with_group(self, owner: SocketOwner) -> SocketOwner:
        self.groups_asked += 1
        return owner


class Accounts(FakeAccounts):
    """Counts what it is asked."""

    def __init__(self, *principals: Principal) -> None:
        super().__init__(*principals)
        self.asked: list[str | int] = []

    async def find(self, key: str | int) -> Principal:
        self.asked.append(key)
        return await super().find(key)


class Bench:
    """An authorizer and what it asks."""

    def __init__(self, *, shared_gids: frozenset[int] = frozenset()) -> None:
        self.clock = Clock()
        self.owners = Owners()
        self.owners.listeners[PORT] = HERS
        self.accounts = Accounts()
        self.own = Listeners(())
        self.authorizer = Authorizer(self.owners, self.accounts, self.clock, own=self.own, shared_gids=shared_gids)

    def authorize(self, principal: Principal = ALICE, *addresses: str) -> Permit:
        target = Target(Application("node1", PORT), addresses or ("10.0.0.1",))
        return run(self.authorizer.authorize(principal, target))

    def verify(self, permit: Permit) -> list[object]:
        """Starts to verify; the list holds the outcome once there is one."""
        outcome: list[object] = []
        waiting = Deferred.fromCoroutine(self.authorizer.verify(permit, "10.0.0.9", 50000))
        waiting.addErrback(lambda failure: failure.value)
        waiting.addCallback(outcome.append)
        return outcome

    def questions(self, kind: str) -> int:
        return [asked[0] for asked in self.owners.asked].count(kind)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_ones_own_listener_is_permitted_without_a_look_at_any_group(bench: Bench) -> None:
    permit = bench.authorize()
    assert (permit.address, permit.owner, permit.verdict) == ("10.0.0.1", HERS, Verdict.SAME_USER)
    assert bench.accounts.asked == []
    assert bench.owners.groups_asked == 0


def test_the_first_permitted_address_is_taken_and_no_later_one_is_asked(bench: Bench) -> None:
    assert bench.authorize(ALICE, "10.0.0.1", "10.0.0.2").address == "10.0.0.1"
    assert bench.questions("listener") == 1


def test_an_address_where_nobody_listens_does_not_end_the_search(bench: Bench) -> None:
    bench.owners.at = {"10.0.0.1": None}
    assert bench.authorize(ALICE, "10.0.0.1", "10.0.0.2").address == "10.0.0.2"


def test_an_address_held_by_somebody_else_does_not_end_the_search(bench: Bench) -> None:
    bench.owners.at = {"10.0.0.1": HIS}
    assert bench.authorize(ALICE, "10.0.0.1", "10.0.0.2").address == "10.0.0.2"


def test_a_listener_of_somebody_else_is_refused_and_the_log_says_whose_it_is(bench: Bench) -> None:
    bench.owners.at = {"10.0.0.1": HIS, "10.0.0.2": None}
    with pytest.raises(NotAuthorized, match=r"alice -> node1:8080 at 10\.0\.0\.1: somebody else's, uid 1002") as caught:
        bench.authorize(ALICE, "10.0.0.1", "10.0.0.2")
    assert "1002" not in caught.value.public


def test_the_first_refusal_is_the_one_that_is_told(bench: Bench) -> None:
    bench.owners.at = {"10.0.0.1": HIS, "10.0.0.2": SocketOwner(0, 0, 1, 0, True)}
    with pytest.raises(NotAuthorized, match="uid 1002"):
        bench.authorize(ALICE, "10.0.0.1", "10.0.0.2")


def test_where_nobody_listens_at_any_address_nothing_listens(bench: Bench) -> None:
    bench.owners.listeners.clear()
    with pytest.raises(NothingListens, match="nothing listens at node1:8080"):
        bench.authorize(ALICE, "10.0.0.1", "10.0.0.2")


def test_the_portals_own_listener_is_refused_without_a_question(bench: Bench) -> None:
    bench.own.add("10.0.0.1", PORT)
    with pytest.raises(NotAuthorized, match="is the portal's own listener"):
        bench.authorize()
    assert bench.owners.asked == []


def test_beside_the_portals_own_listener_another_address_may_be_permitted(bench: Bench) -> None:
    bench.own.add("10.0.0.1", PORT)
    assert bench.authorize(ALICE, "10.0.0.1", "10.0.0.2").address == "10.0.0.2"


def test_a_node_that_does_not_answer_lets_nobody_in(bench: Bench) -> None:
    bench.owners.is_silent = True
    with pytest.raises(Undecided):
        bench.authorize()


def test_groups_are_looked_up_afresh_where_they_decide(bench: Bench) -> None:
    bench.owners.listeners[PORT] = TAKEN
    stale = replace(BOB, groups=frozenset({1002}))
    permit = bench.authorize(stale)
    assert permit.verdict is Verdict.TAKEN_GROUP
    assert permit.principal == BOB
    assert bench.accounts.asked == [1002]
    assert bench.owners.groups_asked == 1


def test_a_group_that_the_viewer_has_left_since_signing_in_permits_no_more(bench: Bench) -> None:
    bench.owners.listeners[PORT] = TAKEN
    carol = replace(CAROL, groups=frozenset({1003, 2000}))
    with pytest.raises(NotAuthorized):
        bench.authorize(carol)


def test_an_account_that_is_gone_has_no_groups(bench: Bench) -> None:
    bench.owners.listeners[PORT] = TAKEN
    bench.accounts.known.clear()
    with pytest.raises(NotAuthorized, match="bob: no account 1002"):
        bench.authorize(BOB)


def test_a_uid_that_went_to_another_account_does_not_bring_its_groups(bench: Bench) -> None:
    bench.owners.listeners[PORT] = TAKEN
    bench.accounts.known[BOB.uid] = replace(BOB, login="mallory")
    with pytest.raises(NotAuthorized, match="uid 1002 was bob, is mallory"):
        bench.authorize(BOB)


def test_a_group_that_the_site_shares_permits_nobody() -> None:
    bench = Bench(shared_gids=frozenset({2000}))
    bench.owners.listeners[PORT] = TAKEN
    with pytest.raises(NotAuthorized, match="shared by everybody"):
        bench.authorize(BOB)


def test_an_accepted_connection_is_granted_at_once(bench: Bench) -> None:
    permit = bench.authorize()
    [grant] = bench.verify(permit)
    assert grant == Grant(permit, HERS, Verdict.SAME_USER, "connection")
    assert bench.clock.getDelayedCalls() == []


def test_a_connection_accepted_a_little_later_is_granted_as_a_connection(bench: Bench) -> None:
    bench.owners.script = [WAITS, WAITS, HERS]
    outcome = bench.verify(bench.authorize())
    assert outcome == []
    bench.clock.pump([0.001, 0.003])
    [grant] = outcome
    assert isinstance(grant, Grant)
    assert grant.basis == "connection"
    assert bench.questions("connection") == 3


def test_a_connection_that_nobody_accepts_for_20_ms_is_decided_by_its_listener(bench: Bench) -> None:
    bench.owners.script = [WAITS]
    permit = bench.authorize()
    outcome = bench.verify(permit)
    bench.clock.pump([0.001, 0.003, 0.006, 0.0099])
    assert outcome == []
    bench.clock.advance(0.0001)
    assert outcome == [Grant(permit, HERS, Verdict.SAME_USER, "listener")]
    assert bench.clock.seconds() == pytest.approx(0.020)
    assert bench.questions("connection") == 5


def test_takeover_of_the_listener_while_nobody_accepts_is_refused(bench: Bench) -> None:
    bench.owners.script = [WAITS]
    outcome = bench.verify(bench.authorize())
    bench.owners.listeners[PORT] = HIS
    bench.clock.pump([0.001, 0.003, 0.006, 0.010])
    [refused] = outcome
    assert isinstance(refused, NotAuthorized)
    assert "the listener is uid 1002's" in str(refused)


def test_a_listener_that_is_gone_before_anybody_accepted_listens_no_more(bench: Bench) -> None:
    bench.owners.script = [WAITS]
    outcome = bench.verify(bench.authorize())
    bench.owners.listeners.clear()
    bench.clock.pump([0.001, 0.003, 0.006, 0.010])
    [refused] = outcome
    assert isinstance(refused, NothingListens)


def test_port_reuse_between_check_and_connect_is_refused(bench: Bench) -> None:
    permit = bench.authorize()
    bench.owners.connections[PORT] = HIS
    [refused] = bench.verify(permit)
    assert isinstance(refused, NotAuthorized)
    assert "the connection is uid 1002's (somebody else's), when asked before it was uid 1001's" in str(refused)


def test_port_reuse_by_another_permitted_owner_is_refused_too(bench: Bench) -> None:
    bench.owners.listeners[PORT] = TAKEN
    permit = bench.authorize(BOB)
    bench.owners.connections[PORT] = HIS
    [refused] = bench.verify(permit)
    assert isinstance(refused, NotAuthorized)
    assert "went from uid 1001 to uid 1002" in str(refused)


def test_a_connection_that_the_node_does_not_know_decides_nothing(bench: Bench) -> None:
    permit = bench.authorize()
    bench.owners.connections[PORT] = None
    [refused] = bench.verify(permit)
    assert isinstance(refused, Undecided)


def test_a_node_that_falls_silent_after_the_permit_lets_nobody_in(bench: Bench) -> None:
    permit = bench.authorize()
    bench.owners.is_silent = True
    [refused] = bench.verify(permit)
    assert isinstance(refused, Undecided)


def test_a_viewer_who_leaves_while_nobody_accepts_leaves_no_timer(bench: Bench) -> None:
    bench.owners.script = [WAITS]
    waiting = Deferred.fromCoroutine(bench.authorizer.verify(bench.authorize(), "10.0.0.9", 50000))
    bench.clock.advance(0.001)
    waiting.cancel()
    assert waiting.addErrback(lambda failure: failure.type).result is CancelledError
    assert bench.clock.getDelayedCalls() == []


def test_a_grant_is_judged_again_by_the_groups_of_now_and_no_node_is_asked(bench: Bench) -> None:
    bench.owners.listeners[PORT] = TAKEN
    [grant] = bench.verify(bench.authorize(BOB))
    assert isinstance(grant, Grant)
    bench.owners.asked.clear()
    bench.owners.is_silent = True
    assert run(bench.authorizer.judge_again(grant)) is Verdict.TAKEN_GROUP
    bench.accounts.known[BOB.uid] = replace(BOB, groups=frozenset({1002}))
    assert run(bench.authorizer.judge_again(grant)) is Verdict.NOT_OWNER
    bench.accounts.known.clear()
    with pytest.raises(NotAuthorized):
        run(bench.authorizer.judge_again(grant))
    assert bench.owners.asked == []


def test_a_look_tells_who_listens_and_the_verdict_whatever_it_is(bench: Bench) -> None:
    target = Target(Application("node1", PORT), ("10.0.0.1",))
    found = run(bench.authorizer.look(CAROL, target, "10.0.0.1"))
    assert found is not None
    assert found[1:] == (HERS, Verdict.NOT_OWNER)
    bench.owners.listeners.clear()
    assert run(bench.authorizer.look(CAROL, target, "10.0.0.1")) is None
