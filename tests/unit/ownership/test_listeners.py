from __future__ import annotations

from ipaddress import ip_address

import pytest

from supercloud.ownership.listeners import Listeners

OWN = frozenset(map(ip_address, ("10.0.0.1", "fd77::1", "127.0.0.1")))


def test_a_bound_listener_is_own_at_its_address_and_port_only() -> None:
    listeners = Listeners(OWN)
    listeners.add("10.0.0.1", 443)
    assert listeners.is_own("10.0.0.1", 443)
    assert not listeners.is_own("10.0.0.1", 444)
    assert not listeners.is_own("127.0.0.1", 443)


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
@pytest.mark.parametrize("address", ["10.0.0.1", "fd77::1", "127.0.0.1", "0.0.0.0", "::"])
def test_a_listener_on_all_addresses_is_own_at_each_of_this_host(everywhere: str, address: str) -> None:
    listeners = Listeners(OWN)
    listeners.add(everywhere, 443)
    assert listeners.is_own(address, 443)
    assert not listeners.is_own(address, 444)


def test_a_listener_on_all_addresses_is_not_own_at_another_host() -> None:
    listeners = Listeners(OWN)
    listeners.add("0.0.0.0", 443)
    assert not listeners.is_own("10.0.0.2", 443)


def test_nothing_is_own_before_it_is_bound() -> None:
    assert not Listeners(OWN).is_own("10.0.0.1", 443)
