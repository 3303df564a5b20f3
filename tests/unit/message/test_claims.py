"""Which names are held; what becomes of such fields: tests/scenario/test_nobody_claims_to_be_somebody_else.py."""

from __future__ import annotations

import pytest

from supercloud.message.claims import USUAL, Claims


@pytest.mark.parametrize("name", [b"remote-user", b"x-auth-user", b"x-anything-user", b"x-forwarded-for", b"eppn"])
def test_a_name_by_which_gateways_tell_who_looks_is_held(name: bytes) -> None:
    assert USUAL.hold(name)


@pytest.mark.parametrize("name", [b"user-agent", b"sec-fetch-user", b"x-auth-token", b"authorization", b"x-api-key"])
def test_a_clients_own_is_not(name: bytes) -> None:
    assert not USUAL.hold(name)


def test_a_name_of_any_length_is_judged() -> None:
    assert USUAL.hold(b"x-forwarded-" + b"x" * 60_000)
    assert USUAL.hold(b"x" * 60_000 + b"-user")
    assert not USUAL.hold(b"x" * 60_000)


def test_a_site_adds_names_and_beginnings_in_any_case() -> None:
    claims = Claims(("X-Lab-Badge", "x-lab-ID-*"))
    assert claims.hold(b"x-lab-badge")
    assert claims.hold(b"x-lab-id-number")
    assert claims.hold(b"remote-user")
    assert not claims.hold(b"x-lab-badge-2")
    assert not claims.hold(b"x-lab")
    assert not USUAL.hold(b"x-lab-badge")
