from __future__ import annotations

from twisted.internet.task import Clock

from supercloud.front.places import Places
from supercloud.shares import Shares

_SHARES = Shares(Clock())
A, B, C = (_SHARES.of(network) for network in ("192.0.2.1", "192.0.2.2", "2001:db8::/64"))


class Guest:
    def __init__(self, share=A) -> None:  # type: ignore[no-untyped-def]
        self.share = share
        self.is_gone = False

    def abort(self) -> None:
        self.is_gone = True


def _greeting(places: Places, share=A) -> Guest:  # type: ignore[no-untyped-def]
    guest = Guest(share)
    assert places.make_room()
    places.enter(guest)
    return guest


def _idle(places: Places, share=A) -> Guest:  # type: ignore[no-untyped-def]
    guest = _greeting(places, share)
    places.idle(guest)
    return guest


def _busy(places: Places, share=A) -> Guest:  # type: ignore[no-untyped-def]
    guest = _greeting(places, share)
    places.busy(guest)
    return guest


def test_while_there_are_places_nobody_goes() -> None:
    places = Places(most=3, greeting=3)
    guests = [_idle(places) for _ in range(3)]
    assert len(places) == 3
    assert not any(guest.is_gone for guest in guests)


def test_the_one_that_was_idle_longest_goes() -> None:
    places = Places(most=3, greeting=3)
    first, second, third = (_idle(places) for _ in range(3))
    places.busy(first)
    places.idle(first)  # it was used last
    _idle(places)
    assert [one.is_gone for one in (first, second, third)] == [False, True, False]
    assert len(places) == 3


def test_whoever_has_most_gives_up_one_however_short_it_was_idle() -> None:
    places = Places(most=4, greeting=4)
    others = _idle(places, B)
    own = [_idle(places, A) for _ in range(3)]
    newcomer = _idle(places, C)
    assert (others.is_gone, newcomer.is_gone) == (False, False)
    assert [one.is_gone for one in own] == [True, False, False]


def test_where_all_have_as_many_the_longest_idle_goes() -> None:
    places = Places(most=3, greeting=3)
    first, second, third = (_idle(places, share) for share in (A, B, C))
    places.idle(first)
    _idle(places, _SHARES.of("192.0.2.9"))
    assert [one.is_gone for one in (first, second, third)] == [False, True, False]


def test_a_connection_without_a_handshake_goes_before_those_with_one() -> None:
    places = Places(most=3, greeting=3)
    first, silent, third = _idle(places), _greeting(places), _idle(places)
    _idle(places, B)
    assert [one.is_gone for one in (first, silent, third)] == [False, True, False]


def test_handshakes_are_few_and_a_network_that_has_most_of_them_gives_up_its_own() -> None:
    places = Places(most=100, greeting=3)
    others = _greeting(places, B)
    silent = [_greeting(places) for _ in range(5)]
    assert [one.is_gone for one in silent] == [True, True, True, False, False]
    assert not others.is_gone
    assert len(places) == 3


def test_a_request_under_way_is_not_ended_for_a_newcomer() -> None:
    places = Places(most=2, greeting=2)
    guests = [_busy(places) for _ in range(2)]
    assert not places.make_room()
    assert not any(guest.is_gone for guest in guests)
    places.idle(guests[1])
    assert places.make_room()
    assert [guest.is_gone for guest in guests] == [False, True]


def test_who_signs_in_counts_as_an_account_from_then_on() -> None:
    places, account = Places(most=4, greeting=4), _SHARES.of(1001)
    own = [_idle(places, network) for network in (A, B, C)]
    for guest in own:
        guest.share = account
        places.busy(guest)
        places.idle(guest)
    others = _idle(places, A)
    _idle(places, B)
    assert [guest.is_gone for guest in own] == [True, False, False]
    assert not others.is_gone


def test_who_has_left_has_no_place_and_is_given_none_again() -> None:
    places = Places(most=1, greeting=1)
    guest = _idle(places)
    places.leave(guest)
    places.leave(guest)
    places.idle(guest)
    places.busy(guest)
    assert len(places) == 0
    assert places.make_room()
    assert not guest.is_gone
