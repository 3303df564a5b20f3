"""Failed sign-ins cost time, and never the account."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    Attempt,
    Throttle,
    delay_after,
)
from supercloud.errors import Busy

EVIL, HOME = "198.51.100.1", "192.0.2.7"
BROWSER = b"0123456789abcdef"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    clock.advance(1000)
    return Throttle(clock)


def _start(throttle: Throttle, address: str, account: str, known: bytes = b"") -> list[object]:
    outcome: list[object] = []
    Deferred.fromCoroutine(throttle.admit(address, account, known)).addBoth(outcome.append)
    return outcome


def _is_in(outcome: list[object]) -> bool:
    return bool(outcome) and isinstance(outcome[0], Attempt)


def _attempt(throttle: Throttle, address: str, account: str, known: bytes = b"") -> Attempt:
    [attempt] = _start(throttle, address, account, known)
    assert isinstance(attempt, Attempt)
    return attempt


def _wait(throttle: Throttle, clock: Clock, address: str, account: str, known: bytes = b"") -> tuple[float, Attempt]:
    """Seconds until an attempt is let in."""
    begun = clock.seconds()
    outcome = _start(throttle, address, account, known)
    while not outcome:
        clock.advance(min(call.getTime() for call in clock.getDelayedCalls()) - clock.seconds())
    [attempt] = outcome
    assert isinstance(attempt, Attempt)
    return clock.seconds() - begun, attempt


def _waits(throttle: Throttle, clock: Clock, address: str, account: str, known: bytes = b"") -> float:
    """The same, of one that is undecided then."""
    seconds, attempt = _wait(throttle, clock, address, account, known)
    attempt.undecided()
    return seconds


def _fail(throttle: Throttle, clock: Clock, address: str, account: str, times: int, known: bytes = b"") -> list[float]:
    waits = []
    for _ in range(times):
        seconds, attempt = _wait(throttle, clock, address, account, known)
        waits.append(seconds)
        attempt.failed()
    return waits


def _attack(throttle: Throttle, clock: Clock, account: str, times: int) -> None:
    """One failure from each of so many addresses, at once."""
    for attempt in [_attempt(throttle, f"203.0.113.{n}", account) for n in range(times)]:
        attempt.failed()


def test_each_failure_doubles_the_wait_up_to_the_cap() -> None:
    assert [delay_after(n, 8.0) for n in range(8)] == [0, 0, 0.5, 1, 2, 4, 8, 8]
    assert delay_after(10**6, 8.0) == 8.0


def test_an_address_that_keeps_failing_waits_longer_and_longer(throttle: Throttle, clock: Clock) -> None:
    assert _fail(throttle, clock, EVIL, "alice", 9) == pytest.approx([0, 0, 0.5, 1, 2, 4, 8, 8, 8])


def test_trying_other_accounts_helps_no_further_than_mistyping(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 9)
    assert _fail(throttle, clock, EVIL, "bob", FREE + 3) == pytest.approx([0, 0, 8, 8, 8])


def test_who_waited_by_themselves_does_not_wait_again(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 4)
    clock.advance(ADDRESS_CAP)
    assert _waits(throttle, clock, EVIL, "alice") == 0


def test_an_attack_on_an_account_costs_its_owner_at_most_the_small_cap(throttle: Throttle, clock: Clock) -> None:
    _attack(throttle, clock, "alice", 200)
    assert 0 < _waits(throttle, clock, HOME, "alice") <= ACCOUNT_CAP


def test_an_attack_on_one_account_costs_another_nothing(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 8)
    assert _waits(throttle, clock, HOME, "bob") == 0


def test_a_success_forgets_the_accounts_failures(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 6)
    _wait(throttle, clock, HOME, "alice")[1].succeeded()
    assert _waits(throttle, clock, HOME, "alice") == 0


def test_signing_in_between_guesses_does_not_make_them_free(throttle: Throttle, clock: Clock) -> None:
    """Who has an account of their own must not reset the count of their address by it."""
    for _ in range(6):
        _fail(throttle, clock, EVIL, "alice", 1)
        _wait(throttle, clock, EVIL, "mallory")[1].succeeded()
    assert _waits(throttle, clock, EVIL, "alice") >= 4


def test_guesses_at_once_are_spaced_as_if_they_failed(throttle: Throttle, clock: Clock) -> None:
    outcomes = [_start(throttle, EVIL, "alice") for _ in range(UNDER_WAY + 2 * FREE + 3)]
    free = [outcome for outcome in outcomes if outcome]
    assert UNDER_WAY <= len(free) <= UNDER_WAY + 2 * FREE + 1
    clock.advance(0.4)
    assert [outcome for outcome in outcomes if outcome] == free


def test_a_programs_first_requests_at_once_do_not_wait(throttle: Throttle) -> None:
    assert all(_is_in(_start(throttle, HOME, "alice")) for _ in range(UNDER_WAY))


def test_fourteen_clients_with_wrong_passwords_keep_no_neighbour_out(throttle: Throttle, clock: Clock) -> None:
    """They share an address, and all the places that it has to wait in."""
    under_way: list[list[object]] = []
    for _ in range(60):
        under_way = [one for one in under_way if not (one and not _is_in(one))]
        for one in [one for one in under_way if _is_in(one)]:
            under_way.remove(one)
            one[0].failed()  # type: ignore[attr-defined]
        under_way += [_start(throttle, EVIL, f"account{n}") for n in range(14 - len(under_way))]
        clock.advance(1)
    assert len([one for one in under_way if not one]) == MAX_WAITING_PER_ADDRESS
    _attempt(throttle, EVIL, "bob").succeeded()


def test_what_goes_by_is_no_more_than_mistyping_and_counts_before_it_has_failed(throttle: Throttle) -> None:
    clock = Clock()
    throttle = Throttle(clock)
    _fail(throttle, clock, EVIL, "alice", 8)
    assert [_is_in(_start(throttle, EVIL, "bob")) for _ in range(FREE + 1)] == [True] * FREE + [False]


def test_nobody_can_make_room_for_guesses_by_leaving_or_by_what_nobody_can_say(
    throttle: Throttle, clock: Clock
) -> None:
    _fail(throttle, clock, EVIL, "alice", 8)
    for _ in range(FREE):
        _attempt(throttle, EVIL, "bob").failed()
    waits = Deferred.fromCoroutine(throttle.admit(EVIL, "bob"))
    waits.addErrback(lambda failure: failure.trap(CancelledError))
    waits.cancel()
    _wait(throttle, clock, EVIL, "bob")[1].undecided()
    assert not _is_in(_start(throttle, EVIL, "bob"))


def test_a_known_browser_is_not_kept_out_by_its_address_nor_by_an_attack_on_its_account(
    throttle: Throttle, clock: Clock
) -> None:
    _fail(throttle, clock, EVIL, "alice", 9)
    for _ in range(MAX_WAITING_PER_ADDRESS):
        _start(throttle, EVIL, "alice")
    assert _start(throttle, EVIL, "alice")[0].type is Busy  # type: ignore[attr-defined]
    _attempt(throttle, EVIL, "alice", BROWSER).succeeded()


def test_what_fails_in_a_known_browser_counts_against_it(throttle: Throttle, clock: Clock) -> None:
    """A stolen cookie is worth one more address to guess from."""
    _attack(throttle, clock, "alice", FREE + 1)
    assert _fail(throttle, clock, EVIL, "alice", 9, BROWSER) == pytest.approx([0, 0, 0.5, 1, 2, 4, 8, 8, 8])
    assert _fail(throttle, clock, "192.0.2.99", "alice", 1, BROWSER) == [8], "wherever it is used"


def test_what_fails_in_a_known_browser_costs_its_address_nothing(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, HOME, "alice", 9, BROWSER)
    _attack(throttle, clock, "bob", FREE)
    assert _waits(throttle, clock, HOME, "bob") <= ACCOUNT_CAP


class Guesser:
    """Guesses one account's password as fast as it is let."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.throttle = Throttle(self.clock)
        self.guesses = 0
        self._under_way: list[list[object]] = []

    def try_it(self, address: str, known: bytes) -> None:
        self._under_way.append(_start(self.throttle, address, "alice", known))

    def hear(self) -> None:
        """All that were let in were wrong."""
        for outcome in [one for one in self._under_way if one]:
            self._under_way.remove(outcome)
            if _is_in(outcome):
                self.guesses += 1
                outcome[0].failed()  # type: ignore[attr-defined]


SOURCES = st.sampled_from([(EVIL, b""), ("127.0.0.1", b""), ("::1", b""), (HOME, BROWSER), (EVIL, BROWSER)])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.lists(SOURCES, max_size=30), st.booleans(), st.floats(0, 400)), max_size=40),
)
def test_guesses_of_one_account_are_bounded_however_they_are_timed(
    turns: list[tuple[list[tuple[str, bytes]], bool, float]],
) -> None:
    """Two addresses, as loopback is one, and one known browser: each has its rate, and what goes by is for all."""
    guesser, sources = Guesser(), 3
    for tried, hears, seconds in turns:
        for address, known in tried:
            guesser.try_it(address, known)
        if hears:
            guesser.hear()
        guesser.clock.advance(seconds)
    took = guesser.clock.seconds() - 1000
    guesser.hear()
    at_once = UNDER_WAY + FREE + 1
    # A source's failures are forgotten too: after a half-life without one it has some of what it had at once again.
    each = at_once * (1 + took / HALF_LIFE) + took / ADDRESS_CAP
    goes_by = FREE + took / HALF_LIFE
    assert guesser.guesses <= sources * each + goes_by


def test_a_guesser_that_never_rests_has_an_addresss_rate() -> None:
    guesser = Guesser()
    for _ in range(3600):
        guesser.try_it(EVIL, b"")
        guesser.hear()
        guesser.clock.advance(1)
    assert guesser.guesses <= UNDER_WAY + FREE + 1 + 3600 / ADDRESS_CAP + FREE + 3600 / HALF_LIFE


def test_names_that_are_tried_once_do_not_make_it_forget_whom_one_attacks(
    throttle: Throttle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)
    _fail(throttle, clock, EVIL, "alice", 8)
    for n in range(100):
        _attempt(throttle, EVIL, f"account{n}").undecided()
    assert not _is_in(_start(throttle, EVIL, "alice"))


def test_one_address_has_so_many_waiting_and_one_more_is_told_to_try_again(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", 6)
    waiting = [_start(throttle, EVIL, "alice") for _ in range(MAX_WAITING_PER_ADDRESS)]
    assert waiting == [[]] * MAX_WAITING_PER_ADDRESS
    [refused] = _start(throttle, EVIL, "alice")
    assert refused.type is Busy  # type: ignore[attr-defined]
    assert "your network address" in refused.value.public  # type: ignore[attr-defined]
    assert _waits(throttle, clock, HOME, "bob") == 0
    clock.pump([ADDRESS_CAP] * (MAX_WAITING_PER_ADDRESS + 1))
    assert all(_is_in(one) for one in waiting)
    assert clock.getDelayedCalls() == []


def test_all_addresses_together_have_a_limit_of_waiting_attempts(
    throttle: Throttle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    for n in range(3):
        _fail(throttle, clock, f"203.0.113.{n}", "alice", 4)
    outcomes = [_start(throttle, f"203.0.113.{n}", "alice") for n in range(3)]
    assert outcomes[:2] == [[], []]
    assert outcomes[2][0].type is Busy  # type: ignore[attr-defined]
    assert _waits(throttle, clock, HOME, "bob") == 0


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
    assert _waits(throttle, clock, EVIL, "alice") < 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("127.0.0.1", "::1", True),
    ],
)
def test_addresses_count_together(throttle: Throttle, clock: Clock, one: str, other: str, same: bool) -> None:
    _fail(throttle, clock, one, "alice", 5)
    _attack(throttle, clock, "bob", FREE)
    clock.advance(ACCOUNT_CAP)
    assert (_waits(throttle, clock, other, "bob") > 0) is same


def test_names_that_an_attacker_chooses_take_bounded_memory(
    throttle: Throttle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)
    for n in range(50):
        _attempt(throttle, f"10.0.0.{n}", "x" * 10_000 + str(n)).failed()
        _wait(throttle, clock, f"10.0.0.{n}", "\ud800")[1].failed()
    assert len(throttle) == 20


def test_an_attempt_that_nobody_could_judge_counts_neither_way(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "alice", FREE)
    clock.advance(ADDRESS_CAP)
    _attempt(throttle, EVIL, "alice").undecided()
    waits = _start(throttle, EVIL, "alice")
    assert waits == []
    clock.advance(ADDRESS_CAP)
    assert _is_in(waits)


def test_an_account_is_calm_until_failures_cost_time(throttle: Throttle, clock: Clock) -> None:
    for _ in range(FREE):
        assert throttle.is_calm("alice")
        _attempt(throttle, EVIL, "alice").failed()
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
    first, *_ = [_attempt(throttle, f"192.0.2.{n}", "alice") for n in range(UNDER_WAY + FREE)]
    assert not throttle.is_calm("alice")
    first.undecided()
    assert throttle.is_calm("alice")
    again = _attempt(throttle, "192.0.2.0", "alice")
    assert not throttle.is_calm("alice")
    again.succeeded()
    assert throttle.is_calm("alice")


def test_a_wait_that_is_given_up_no_longer_disturbs_its_account(throttle: Throttle, clock: Clock) -> None:
    _fail(throttle, clock, EVIL, "bob", 5)
    under_way = [_attempt(throttle, f"192.0.2.{n}", "alice") for n in range(UNDER_WAY + FREE - 1)]
    going_by = [_attempt(throttle, EVIL, "alice"), _attempt(throttle, EVIL, "alice")]
    for one in (under_way.pop(), under_way.pop()):
        one.undecided()
    waits = Deferred.fromCoroutine(throttle.admit(EVIL, "alice"))
    assert not throttle.is_calm("alice")
    waits.addErrback(lambda failure: failure.trap(CancelledError))
    waits.cancel()
    assert throttle.is_calm("alice")
    assert len(going_by) == 2
