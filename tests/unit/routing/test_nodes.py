from __future__ import annotations

import contextlib
from unittest import mock

import pytest
from twisted.internet.task import Clock

from supercloud.errors import BadAddress, NothingListens
from supercloud.routing import names
from supercloud.routing.names import BELIEVED
from supercloud.routing.nodes import Nodes
from supercloud.target import Application
from tests.fakes.awaiting import run

NAMES = {
    "node1": ("10.77.0.1", "fd77::1"),
    "outside": ("192.0.2.1",),
    "both": ("192.0.2.1", "10.77.0.9"),
    "127.1": ("127.0.0.1",),
}


class Site:
    def __init__(self, *allow: str) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.nodes = Nodes(self._answer, self.clock, allow=allow, ports=(1024, 65535))

    async def _answer(self, node: str) -> tuple[str, ...]:
        self.asked.append(node)
        return NAMES.get(node, ())

    def addresses(self, node: str, port: int = 8080) -> tuple[str, ...]:
        return run(self.nodes.resolve(Application(node, port), 1001)).addresses


def test_a_named_node_is_pinned_to_its_addresses() -> None:
    assert Site("node[1-4]").addresses("node1") == ("10.77.0.1", "fd77::1")


def test_localhost_needs_no_look_up() -> None:
    site = Site("localhost")
    assert site.addresses("localhost") == ("127.0.0.1", "::1")
    assert site.asked == []


@pytest.mark.parametrize("port", [1, 22, 1023])
def test_a_low_port_is_refused_before_any_look_up(port: int) -> None:
    site = Site("node1")
    with pytest.raises(BadAddress):
        site.addresses("node1", port)
    assert site.asked == []
    assert site.addresses("node1", 1024)


@pytest.mark.parametrize("node", ["node5", "evil.test", "localhost"])
def test_a_node_that_is_not_named_is_refused_before_any_look_up(node: str) -> None:
    site = Site("node[1-4]")
    with pytest.raises(BadAddress):
        site.addresses(node)
    assert site.asked == []


def test_with_networks_a_name_is_pinned_to_what_is_inside_them() -> None:
    site = Site("10.77.0.0/24")
    assert site.addresses("both") == ("10.77.0.9",)
    for node in ("outside", "127.1", "unknown"):
        with pytest.raises(BadAddress):
            site.addresses(node)


@pytest.mark.parametrize(("node", "pinned"), [("10.77.0.5", "10.77.0.5"), ("fd77:0::2", "fd77::2")])
def test_an_address_inside_a_network_is_itself(node: str, pinned: str) -> None:
    assert Site("10.77.0.0/24", "fd77::/64").addresses(node) == (pinned,)


@pytest.mark.parametrize("node", ["10.78.0.5", "127.0.0.1", "::1", "::ffff:10.77.0.5", "fd77::1%eth0", "0.0.0.0", "::"])
def test_any_other_address_is_refused(node: str) -> None:
    with pytest.raises(BadAddress):
        Site("10.77.0.0/24", "fd77::/64").addresses(node)


def test_a_named_node_without_an_address_may_come_up_later() -> None:
    with pytest.raises(NothingListens):
        Site("node9").addresses("node9")


def test_a_look_up_is_believed_for_a_moment() -> None:
    site = Site("node1")
    site.addresses("node1")
    site.clock.advance(BELIEVED - 0.1)
    site.addresses("node1")
    assert len(site.asked) == 1
    site.clock.advance(0.2)
    site.addresses("node1")
    assert len(site.asked) == 2


def test_what_is_remembered_is_bounded() -> None:
    with mock.patch.object(names, "_MOST_REMEMBERED", 2):
        site = Site("node[1-4]", "10.77.0.0/24")
        for node in ("node1", "both", "both", "node2", "node1"):
            with contextlib.suppress(NothingListens):
                site.addresses(node)
    assert site.asked == ["node1", "both", "node2", "node1"]
