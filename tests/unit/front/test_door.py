from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from supercloud.config import Limits
from supercloud.events import Audit
from supercloud.front.door import Door
from supercloud.front.places import Places
from supercloud.shares import Shares
from tests.fakes.portal import FakePortal

_ADDRESS = IPv4Address("TCP", "127.0.0.1", 1)


def _door(**options: object) -> Door:
    clock = Clock()
    return Door(
        clock,
        Limits(),
        Audit(clock, lambda lines: None),
        now=clock.seconds,
        shares=Shares(clock),
        places=Places(most=9, greeting=9),
        **options,
    )


def test_before_the_stages_are_made_nobody_is_let_in() -> None:
    assert _door().buildProtocol(_ADDRESS) is None


def test_who_is_not_admitted_is_not_let_in() -> None:
    portal = FakePortal()
    for admits, expected in ((True, True), (False, False)):
        door = _door(admits=lambda address, admits=admits: admits)
        door.open(portal.pipeline, portal.site)
        assert (door.buildProtocol(_ADDRESS) is not None) is expected
        assert door.buildProtocol(None) is None


def test_it_counts_connections_until_they_are_gone() -> None:
    portal = FakePortal(limits=Limits(connections=2))
    browsers = [portal.browser(), portal.browser()]
    assert portal.door.connections == 2
    browsers[0].leave()
    assert portal.door.connections == len(portal.places) == 1
