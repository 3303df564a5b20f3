"""One-time links."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from supercloud.authn.link import LIFE, Links


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def links(clock: Clock) -> Links:
    return Links(1001, now=clock.seconds)


def test_a_link_works_once(links: Links) -> None:
    secret = links.make()
    assert (links.uid, links.redeem(secret), links.redeem(secret)) == (1001, True, False)


def test_after_a_use_the_next_link_is_another(links: Links) -> None:
    first = links.make()
    links.redeem(first)
    second = links.make()
    assert (links.redeem(first), links.redeem(second)) == (False, True)


def test_a_new_link_ends_the_one_before(links: Links) -> None:
    first, second = links.make(), links.make()
    assert (links.redeem(first), links.redeem(second)) == (False, True)


@pytest.mark.parametrize(("seconds", "good"), [(LIFE - 1, True), (LIFE, False)])
def test_a_link_lives_for_a_day(links: Links, clock: Clock, seconds: float, good: bool) -> None:
    secret = links.make()
    clock.advance(seconds)
    assert links.redeem(secret) is good


@pytest.mark.parametrize("secret", ["", "\x00", "\ud800", "x" * 100_000])
def test_a_guess_is_refused_and_the_link_stays_good(links: Links, secret: str) -> None:
    assert not links.redeem(secret)
    made = links.make()
    assert not links.redeem(secret)
    assert links.redeem(made)


def test_a_part_of_a_link_is_not_a_link(links: Links) -> None:
    secret = links.make()
    assert not links.redeem(secret[:-1])
    assert len(secret) == 43
