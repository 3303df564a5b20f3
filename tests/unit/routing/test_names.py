"""Looking names up: whoever asks for names that nobody answers waits alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from supercloud.errors import Busy, Undecided
from supercloud.routing.names import BELIEVED, EACH, PATIENCE, PLACES, WAITING, Addresses, Names

EVIL, ALICE = 1001, 1002


class Site:
    """A resolver that the test plays: a name is answered when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: dict[str, Deferred[Addresses]] = {}
        self.count = 0
        self.names = Names(self._resolve, self.clock)

    async def _resolve(self, name: str) -> Addresses:
        self.count += 1
        assert name not in self.asked, "a name is not asked about twice at once"
        self.asked[name] = Deferred()
        try:
            return await self.asked[name]
        finally:
            del self.asked[name]

    def ask(self, name: str, uid: int) -> Deferred[Addresses]:
        return Deferred.fromCoroutine(self.names.addresses(name, uid))

    def flood(self, names: int) -> list[Deferred[object]]:
        """An account asks for so many names that nobody answers; what became of that."""
        return [self.ask(f"stalled{n}.evil.test", EVIL).addErrback(lambda failure: failure.type) for n in range(names)]


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    while made.asked:
        next(iter(made.asked.values())).callback(())
    assert made.clock.getDelayedCalls() == []


def test_450_names_whose_dns_never_answers_keep_nobody_else_from_a_name(site: Site) -> None:
    flood = site.flood(450)
    assert len(site.asked) == EACH
    assert [one.result for one in flood if one.called] == [Busy] * (450 - EACH - WAITING)
    found = site.ask("node1", ALICE)
    site.asked["node1"].callback(("10.0.0.1",))
    assert found.result == ("10.0.0.1",)
    site.clock.advance(PATIENCE)
    assert all(one.called for one in flood)


def test_who_asks_for_too_many_is_told_so_before_anything_is_looked_up(site: Site) -> None:
    refused = site.flood(450)[-1]
    assert refused.result is Busy
    assert "stalled449.evil.test" not in site.asked
    with pytest.raises(Busy, match="wait for names of nodes") as told:
        site.names.addresses("one-more.evil.test", EVIL).send(None)
    assert "names of nodes" in told.value.public


def test_a_name_that_does_not_come_is_given_up_and_said_to_be_slow(site: Site) -> None:
    found = site.ask("stalled", ALICE)
    site.clock.advance(PATIENCE)
    failure = found.result
    assert failure.type is Undecided
    assert "in time" in failure.value.public
    found.addErrback(lambda _: None)


def test_a_stalled_name_is_asked_about_once_whoever_asks(site: Site) -> None:
    waiting = [site.ask("node1", uid) for uid in (EVIL, EVIL, ALICE)]
    assert site.count == 1
    site.asked["node1"].callback(("10.0.0.1",))
    assert [one.result for one in waiting] == [("10.0.0.1",)] * 3
    site.clock.advance(BELIEVED - 0.1)
    assert site.ask("node1", ALICE).result == ("10.0.0.1",)
    assert site.count == 1


def test_a_name_that_waits_in_anothers_line_is_looked_up_for_who_asks_now(site: Site) -> None:
    site.flood(EACH)
    theirs, again = site.ask("node1", EVIL), site.ask("node1", EVIL)
    mine = site.ask("node1", ALICE)
    site.asked["node1"].callback(("10.0.0.1",))
    assert mine.result == ("10.0.0.1",)
    site.asked["stalled0.evil.test"].callback(())
    assert theirs.result == again.result == ("10.0.0.1",), "their turn found it known"
    assert site.count == EACH + 1


def test_whose_turn_comes_while_another_looks_it_up_waits_for_that_answer(site: Site) -> None:
    site.flood(EACH)
    theirs, mine = site.ask("node1", EVIL), site.ask("node1", ALICE)
    site.asked["stalled0.evil.test"].callback(())
    assert (theirs.called, site.count) == (False, EACH + 1)
    site.asked["node1"].callback(())
    assert theirs.result == mine.result == ()


def test_what_nobody_waits_for_any_more_is_not_looked_up(site: Site) -> None:
    site.flood(EACH)
    left = site.ask("node1", EVIL)
    left.addErrback(lambda failure: failure.trap(CancelledError))
    left.cancel()
    site.asked["stalled0.evil.test"].callback(())
    assert "node1" not in site.asked
    assert site.ask("node2", EVIL) and "node2" in site.asked, "its place is free"


def test_a_resolver_that_fails_gives_its_place_back(site: Site) -> None:
    for n in range(PLACES + 1):
        asked = site.ask(f"node{n}", EVIL)
        site.asked[f"node{n}"].errback(OSError("no resolver"))
        assert asked.result.type is OSError
        asked.addErrback(lambda _: None)
