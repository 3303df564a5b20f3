"""Places and lines: nobody waits behind what another one asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from supercloud.errors import Busy
from supercloud.lines import Line, Shares


def drain(line: Line[str]) -> list[str]:
    return [line.take() for _ in range(len(line))]


def test_accounts_take_turns_and_each_keeps_its_order() -> None:
    line: Line[str] = Line()
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        line.put((item[0],), item)
    assert drain(line) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_thousand_before_it_cost_a_newcomer_one_turn() -> None:
    line: Line[str] = Line()
    for _ in range(1000):
        line.put(("evil",), "evil")
    line.put(("alice",), "alice")
    assert [line.take(), line.take()] == ["evil", "alice"]


def test_accounts_take_turns_at_their_address_and_addresses_among_each_other() -> None:
    line: Line[str] = Line()
    for account in "abc":
        line.put(("evil", account), f"evil {account}")
    line.put(("home", "alice"), "home alice")
    line.put(("evil", "a"), "evil a again")
    line.put(("evil", "d"), "evil d")
    assert drain(line) == ["evil a", "home alice", "evil b", "evil c", "evil d", "evil a again"]


def test_what_is_nobodys_goes_first() -> None:
    line: Line[str] = Line()
    line.put(("a",), "a")
    line.put((), "own")
    assert drain(line) == ["own", "a"]


def test_who_may_not_now_is_passed_over_and_keeps_their_turn() -> None:
    line: Line[str] = Line()
    line.put(("a",), "a")
    line.put(("b",), "b")
    assert line.take(lambda key: key != "a") == "b"
    with pytest.raises(LookupError):
        line.take(lambda key: key != "a")
    assert line.take() == "a"


def test_who_left_is_not_in_the_line() -> None:
    line: Line[str] = Line()
    line.put(("a", "x"), "1")
    line.put((), "own")
    line.remove(("a", "x"), "1")
    line.remove((), "own")
    assert len(line) == 0
    with pytest.raises(LookupError):
        line.take()
    with pytest.raises(KeyError):
        line.remove(("a", "x"), "1")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=40))
def test_what_goes_in_comes_out_once(paths: list[tuple[str, str]]) -> None:
    line: Line[str] = Line()
    for number, path in enumerate(paths):
        line.put(path, f"{path}{number}")
    assert sorted(drain(line)) == sorted(f"{path}{number}" for number, path in enumerate(paths))
    assert not line._below


def fired(waiting: list[Deferred[None]]) -> list[bool]:
    return [one.called for one in waiting]


def test_one_account_takes_its_share_and_leaves_the_rest() -> None:
    shares = Shares("x", places=4, each=2, waiting=10)
    assert fired([shares.enter("evil") for _ in range(4)]) == [True, True, False, False]
    assert fired([shares.enter("alice"), shares.enter("bob")]) == [True, True]
    assert not shares.has_room("carol")


def test_a_place_that_is_given_back_goes_to_whoever_has_fewest_turns() -> None:
    shares = Shares("x", places=1, waiting=10)
    shares.enter("evil")
    evil = [shares.enter("evil") for _ in range(3)]
    alice = shares.enter("alice")
    shares.leave("evil")
    assert (fired(evil), alice.called) == ([True, False, False], False)
    shares.leave("evil")
    assert (fired(evil), alice.called) == ([True, False, False], True)
    shares.leave("alice")
    shares.leave("evil")
    shares.leave("evil")
    assert all(fired(evil))
    assert shares.has_room("evil")
    assert (shares._held, shares._waits) == ({}, {})


def test_who_waits_for_too_much_is_refused_in_words_and_nobody_else_is() -> None:
    shares = Shares("names", places=1, waiting=2, public="Too many names.")
    shares.enter("evil")
    waiting = [shares.enter("evil"), shares.enter("evil")]
    with pytest.raises(Busy) as refused:
        shares.enter("evil")
    assert refused.value.public == "Too many names."
    assert "names" in str(refused.value)
    alice = shares.enter("alice")
    shares.leave("evil")
    shares.leave("evil")
    assert alice.called
    assert fired(waiting) == [True, False]


def test_the_portals_own_goes_before_accounts_and_has_no_share() -> None:
    shares = Shares("x", places=2, each=1, waiting=10)
    assert fired([shares.enter(), shares.enter()]) == [True, True]
    alice, own = shares.enter("alice"), shares.enter()
    shares.leave()
    assert (alice.called, own.called) == (False, True)
    shares.leave()
    assert alice.called


def test_who_does_not_wait_any_more_takes_no_place() -> None:
    shares = Shares("x", places=1, waiting=1)
    shares.enter("alice")
    waiting = shares.enter("bob")
    waiting.addErrback(lambda failure: failure.trap(CancelledError))
    waiting.cancel()
    again = shares.enter("bob")
    shares.leave("alice")
    assert again.called


def test_thousands_whose_turn_is_over_at_once_leave_all_places_free() -> None:
    shares = Shares("things", places=1, waiting=10)
    shares.enter("first")
    waiting = [shares.enter(account) for account in range(3000)]
    for account, entered in enumerate(waiting):
        entered.addCallback(lambda _, account=account: shares.leave(account))
    shares.leave("first")
    assert [one.result for one in waiting] == [None] * 3000
    assert shares.has_room("anybody")
