"""Which addresses count as one."""

from __future__ import annotations

import pytest

from supercloud.authn.whence import shared_key, text_key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("127.0.0.1", "127.255.255.254", True),
        ("127.0.0.1", "::1", True),
        ("127.0.0.1", "::ffff:127.0.0.9", True),
        ("::1", "::2", False),
        ("127.0.0.1", "128.0.0.1", False),
        ("not an address", "neither", False),
    ],
)
def test_an_ipv6_network_is_one_and_so_is_this_host(one: str, other: str, same: bool) -> None:
    assert (shared_key(one) == shared_key(other)) is same


def test_a_text_of_any_length_is_a_short_key() -> None:
    assert len(text_key("x" * 10**6)) == len(text_key("\ud800")) == 16
    assert len(shared_key("x" * 10**6)) == 16
