"""Counts of work in a turn, by a clock that the work itself moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from twisted.logger import LogEvent

from supercloud.shares import BUDGET, ROUND, Share, Shares, network_of
from tests.fakes.reactor import Turning

COST = BUDGET / 4  # of one event
A_TURN = 4  # events of one account


class Socket:
    def __init__(self, share: Share | None) -> None:
        self.share = share


class Site:
    def __init__(self) -> None:
        self.clock, self.now = Turning(), 0.0
        self.shares = Shares(self.clock, lambda: self.now)
        self.done: list[Any] = []

    def do(self, name: Any) -> None:
        self.now += COST
        self.done.append(name)

    def serve(self, *ready: tuple[Share | None, int]) -> list[int]:
        """Descriptors that a turn served."""
        self.done.clear()
        sockets = {number: Socket(share) for share, number in ready}
        self.shares.serve([(number, 1) for number in sockets], sockets.get, lambda _, number, event: self.do(number))
        return list(self.done)

    def work(self, name: Any) -> Callable[[], None]:
        return lambda: self.do(name)

    def turn(self) -> list[Any]:
        """What was done of what waits."""
        self.done.clear()
        self.clock.turn()
        return list(self.done)


@pytest.fixture
def site() -> Site:
    return Site()


def test_one_account_has_its_share_of_a_turn_and_the_others_all_of_theirs(site: Site) -> None:
    greedy, modest = site.shares.of(1), site.shares.of(2)
    served = site.serve(*((greedy, number) for number in range(100)), (modest, 1000), (None, 1001))
    assert served == [0, 1, 2, 3, 1000, 1001]


def test_what_was_left_is_served_first_in_the_next_turn_so_that_all_have_theirs(site: Site) -> None:
    greedy = site.shares.of(1)
    ready = [(greedy, number) for number in range(10)]
    turns = [site.serve(*ready) for _ in range(5)]
    assert turns[:3] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
    assert min(Counter(number for turn in turns for number in turn).values()) >= 1


def test_who_was_over_comes_after_everybody_else(site: Site) -> None:
    greedy, modest = site.shares.of(1), site.shares.of(2)
    site.serve(*((greedy, number) for number in range(10)))
    assert site.serve((greedy, 5), (greedy, 6), (modest, 100), (None, 101))[:2] == [100, 101]


def test_who_has_become_modest_is_served_like_the_others_again(site: Site) -> None:
    once, other = site.shares.of(1), site.shares.of(2)
    site.serve(*((once, number) for number in range(10)))
    for _ in range(4):
        site.serve((other, 100))
    assert site.serve((once, 1), (other, 100)) == [1, 100]


def test_however_many_accounts_are_over_a_turn_does_not_grow(site: Site) -> None:
    shares = [site.shares.of(number) for number in range(50)]
    ready = [(share, 100 * share.key + number) for share in shares for number in range(10)]  # type: ignore[operator]
    site.serve(*ready)  # nobody was over before
    for _ in range(20):
        began = site.now
        site.serve(*ready, (None, -1))
        assert site.now - began <= ROUND + BUDGET + 2 * COST
        assert site.done[0] == -1


def test_accounts_that_are_over_take_turns(site: Site) -> None:
    shares = [site.shares.of(number) for number in range(12)]
    ready = [(share, 100 * share.key + number) for share in shares for number in range(10)]  # type: ignore[operator]
    site.serve(*ready)
    served: Counter[int] = Counter()
    for _ in range(12):
        served.update(number // 100 for number in site.serve(*ready))
    assert set(served) == set(range(12))
    assert max(served.values()) - min(served.values()) <= A_TURN


def test_an_event_that_takes_long_delays_no_more_than_itself(site: Site) -> None:
    slow, modest = site.shares.of(1), site.shares.of(2)

    def do(what: Socket, number: int, event: int) -> None:
        site.now += 1.0 if what.share is slow else COST
        site.done.append(number)

    sockets = {1: Socket(slow), 2: Socket(slow), 10: Socket(modest)}
    site.shares.serve([(number, 1) for number in sockets], sockets.get, do)
    assert site.done == [1, 10]


def test_work_waits_for_later_turns_by_turns_of_the_accounts(site: Site) -> None:
    greedy, modest = site.shares.of(1), site.shares.of(2)
    for number in range(10):
        greedy.later(site.work(("greedy", number)))
    modest.later(site.work("modest"))
    assert site.done == []
    assert site.turn() == [("greedy", 0), ("greedy", 1), ("greedy", 2), ("greedy", 3), "modest"]
    assert site.turn() == [("greedy", number) for number in range(4, 8)]
    assert site.turn() == [("greedy", 8), ("greedy", 9)]
    assert not site.clock.calls


def test_the_work_of_all_has_so_much_of_a_turn(site: Site) -> None:
    shares = [site.shares.of(number) for number in range(30)]
    for share in shares:
        for _ in range(8):
            share.later(site.work(share.key))
    most = round(ROUND / COST) + A_TURN
    first = [site.turn() for _ in range(11)]
    assert all(0 < len(turn) <= most for turn in first)
    assert {key for turn in first for key in turn} == set(range(30))  # before anybody had a second turn


def test_work_that_makes_work_does_not_keep_a_turn_from_ending(site: Site) -> None:
    share = site.shares.of(1)

    def again() -> None:
        site.do("again")
        share.later(again)

    share.later(again)
    assert len(site.turn()) == A_TURN
    assert len(site.turn()) == A_TURN


def test_what_was_cancelled_is_not_done(site: Site) -> None:
    share = site.shares.of(1)
    first, second = share.later(site.work(1)), share.later(site.work(2))
    first.cancel()
    assert site.turn() == [2]
    second.cancel()
    assert site.turn() == []


def test_a_mistake_in_one_piece_of_work_keeps_nothing_else_from_it(site: Site, logged: list[LogEvent]) -> None:
    def fail() -> None:
        raise RuntimeError("a mistake")

    site.shares.of(1).later(fail)
    site.shares.of(1).later(site.work(1))
    site.shares.of(2).later(site.work(2))
    assert site.turn() == [1, 2]
    assert any("a mistake" in str(event.get("log_failure", "")) for event in logged)


def test_an_account_has_one_share_while_anybody_holds_it(site: Site) -> None:
    share = site.shares.of(1001)
    assert site.shares.of(1001) is share
    assert site.shares.of("192.0.2.1") is not share


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("127.0.0.1", "127.9.9.9", True),
        ("127.0.0.1", "::1", True),
        ("::ffff:127.0.0.1", "::1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "127.0.0.1", False),
    ],
)
def test_what_counts_as_one_network(one: str, other: str, is_same: bool) -> None:
    assert (network_of(one) == network_of(other)) is is_same


def test_a_descriptor_that_became_another_while_it_waited_is_not_served(site: Site) -> None:
    """Its number is given to the next connection at once."""
    greedy = site.shares.of(1)
    site.serve(*((greedy, number) for number in range(10)))
    sockets = {number: Socket(greedy) for number in (1, 2)}

    def do(what: Socket, number: int, event: int) -> None:
        site.done.append(number)
        sockets[2] = Socket(greedy)

    site.done.clear()
    site.shares.serve([(1, 1), (2, 1), (3, 1)], sockets.get, do)
    assert site.done == [1]
