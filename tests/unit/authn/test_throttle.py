"""Failed sign-ins cost time, and never the account."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from supercloud.authn import throttle as module
from supercloud.authn.throttle import (
    ACCOUNT_CAP,
    ADDRESS_CAP,
    FREE,
    HALF_LIFE,
    MAX_WAITING_PER_ADDRESS,
    UNDER_WAY,
    Throttle,
    delay_after,
)
from supercloud.errors import Busy

EVIL, HOME = "198.51.100.1", "192.0.2.7"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    clock.advance(1000)
    return Throttle(clock)


def _start(throttle: Throttle, address: str, account: str) -> list[object]:
    outcome: list[object] = []
    Deferred.fromCoroutine(throttle.admit(address, account)).addBoth(outcome.append)
    return outcome


def _wait(throttle: Throttle, clock: Clock, address: str, account: str) -> float:
    """Seconds until an attempt is let in."""
    begun = clock.seconds()
    outcome = _start(throttle, address, account)
    while not outcome:
        clock.advance(min(call.getTime() for call in clock.getDelayedCalls()) - clock.seconds())
    assert outcome == [None]
    return clock.seconds() - begun


def _fail(throttle: Throttle, clock: Clock, address: str, account: str, times: int) -> list[float]:
    waits = []
    for _ in range(times):
        waits.append(_wait(throttle, clock, address, account))
        throttle.failed(address, account)
    return waits


def test_each_failure_doubles_the_wait_up_to_the_cap() -> None:
    assert [delay_after(n, 8.0) for n in range(8)] == [0, 0, 0.5, 1, 2, 4, 8, 8]
    assert delay_after(10**6, 8.0) == 8.0


def test_an_address_that_keeps_failing_waits_longer_and_longer(throttle: Throttle, clock: Clock) -> None:
    assert _fail(throttle, clock, EVIL, "alice", 9) == pytest.approx([0, 0, 0.5, 1, 2, 4, 8, 8, 8])


def test_trying_other_accounts_does_not_help(throttle: Throttle, clock: Clock) -> None:
    waits = [_fail(throttle, clock, EVIL, f"account{n}", 1)[0] for n in range(5)]
    assert waits == pytest.approx([0, 0, 0.5, 1, 2])


def test_who_waited_by_themselves_does_not_wait_again(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 4)
    clock.advance(ADDRESS_CAP)
    assert _wait(throttle, clock, EVIL, "alice") == 0


def test_an_attack_on_an_account_costs_its_owner_at_most_the_small_cap(throttle: Throttle, clock: Clock) -> None:
    for n in range(200):
        _start(throttle, f"203.0.113.{n}", "alice")
        throttle.failed(f"203.0.113.{n}", "alice")
    assert 0 < _wait(throttle, clock, HOME, "alice") <= ACCOUNT_CAP


def test_an_attack_on_one_account_costs_another_nothing(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 8)
    assert _wait(throttle, clock, HOME, "bob") == 0


def test_a_success_forgets_the_accounts_failures(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 6)
    throttle.succeeded(HOME, "alice")
    assert _wait(throttle, clock, HOME, "alice") == 0


def test_signing_in_between_guesses_does_not_make_them_free(throttle: Throttle, clock: Clock) -> None:
    """Who has an account of their own must not reset the count of their address by it."""
    for _ in range(6):
        _fail(throttle, clock, EVIL, "alice", 1)
        _wait(throttle, clock, EVIL, "mallory")
        throttle.succeeded(EVIL, "mallory")
    assert _wait(throttle, clock, EVIL, "alice") >= 4


def test_guesses_at_once_are_spaced_as_if_they_failed(throttle: Throttle, clock: Clock) -> None:
    outcomes = [_start(throttle, EVIL, "alice") for _ in range(UNDER_WAY + FREE + 3)]
    free = [outcome for outcome in outcomes if outcome]
    assert UNDER_WAY <= len(free) <= UNDER_WAY + FREE + 1
    clock.advance(0.4)
    assert [outcome for outcome in outcomes if outcome] == free


def test_a_programs_first_requests_at_once_do_not_wait(throttle: Throttle) -> None:
    assert [_start(throttle, HOME, "alice") for _ in range(UNDER_WAY)] == [[None]] * UNDER_WAY


def test_one_address_has_so_many_waiting_and_one_more_is_told_to_try_again(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 6)
    waiting = [_start(throttle, EVIL, "alice") for _ in range(MAX_WAITING_PER_ADDRESS)]
    assert waiting == [[]] * MAX_WAITING_PER_ADDRESS
    [refused] = _start(throttle, EVIL, "alice")
    assert refused.type is Busy
    assert _wait(throttle, clock, HOME, "bob") == 0
    clock.pump([ADDRESS_CAP] * (MAX_WAITING_PER_ADDRESS + 1))
    assert waiting == [[None]] * MAX_WAITING_PER_ADDRESS
    assert clock.getDelayedCalls() == []


def test_all_addresses_together_have_a_limit_of_waiting_attempts(
    throttle: Throttle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    for n in range(3):
        _fail(throttle, clock, f"203.0.113.{n}", "alice", 4)
    outcomes = [_start(throttle, f"203.0.113.{n}", "alice") for n in range(3)]
    assert outcomes[:2] == [[], []]
    assert outcomes[2][0].type is Busy
    assert _wait(throttle, clock, HOME, "bob") == 0


def test_a_browser_that_leaves_no_longer_waits(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 6)
    waits = [Deferred.fromCoroutine(throttle.admit(EVIL, "alice")) for _ in range(MAX_WAITING_PER_ADDRESS)]
    gone: list[object] = []
    for wait in waits:
        wait.addErrback(lambda failure: gone.append(failure.type))
        wait.cancel()
    assert gone == [CancelledError] * MAX_WAITING_PER_ADDRESS
    assert clock.getDelayedCalls() == []
    assert _start(throttle, EVIL, "alice") == []


def test_failures_are_forgotten_with_time(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 40)
    clock.advance(HALF_LIFE * 4)
    assert _fail(throttle, clock, EVIL, "alice", 1) == [0]
    assert _wait(throttle, clock, EVIL, "alice") < 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("not an address", "neither", False),
    ],
)
def test_ipv6_counts_by_its_64(throttle: Throttle, clock: Clock, one: str, other: str, same: bool) -> None:
    _fail(throttle, clock, one, "alice", 5)
    assert (_wait(throttle, clock, other, "bob") > 0) is same


def test_names_that_an_attacker_chooses_take_bounded_memory(
    throttle: Throttle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)
    for n in range(50):
        throttle.failed(f"10.0.0.{n}", "x" * 10_000 + str(n))
        throttle.failed(f"10.0.0.{n}", "\ud800")
    assert len(throttle) == 20


def test_an_attempt_that_nobody_could_judge_counts_neither_way(throttle: Throttle, clock: Clock) -> None:
    for _ in range(FREE):
        _start(throttle, EVIL, "alice")
        throttle.failed(EVIL, "alice")
    clock.advance(ADDRESS_CAP)
    assert _start(throttle, EVIL, "alice") == [None]
    throttle.undecided(EVIL, "alice")
    waits = _start(throttle, EVIL, "alice")
    assert waits == []
    clock.advance(ADDRESS_CAP)
    assert waits == [None]


def test_an_account_is_calm_until_failures_cost_time(throttle: Throttle, clock: Clock) -> None:
    for _ in range(FREE):
        assert throttle.is_calm("alice")
        _start(throttle, EVIL, "alice")
        throttle.failed(EVIL, "alice")
    assert not throttle.is_calm("alice")
    assert throttle.is_calm("bob")
    clock.advance(HALF_LIFE)
    assert throttle.is_calm("alice")


def test_guesses_that_are_under_way_or_wait_disturb_an_account_before_they_fail(throttle: Throttle) -> None:
    for n in range(UNDER_WAY + FREE):
        assert throttle.is_calm("alice")
        _start(throttle, f"192.0.2.{n}", "alice")
    assert not throttle.is_calm("alice")


def test_an_attempt_that_is_over_no_longer_disturbs_its_account(throttle: Throttle, clock: Clock) -> None:
    for n in range(UNDER_WAY + FREE):
        _start(throttle, f"192.0.2.{n}", "alice")
    throttle.undecided("192.0.2.0", "alice")
    assert throttle.is_calm("alice")
    _start(throttle, "192.0.2.0", "alice")
    throttle.succeeded("192.0.2.0", "alice")
    assert throttle.is_calm("alice")


def test_a_wait_that_is_given_up_no_longer_disturbs_its_account(throttle: Throttle) -> None:
    for _ in range(FREE + 1):
        _start(throttle, EVIL, "bob")
        throttle.failed(EVIL, "bob")
    for n in range(UNDER_WAY + FREE - 1):
        _start(throttle, f"192.0.2.{n}", "alice")
    waits = Deferred.fromCoroutine(throttle.admit(EVIL, "alice"))
    assert not throttle.is_calm("alice")
    waits.addErrback(lambda failure: failure.trap(CancelledError))
    waits.cancel()
    assert throttle.is_calm("alice")
