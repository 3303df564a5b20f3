"""Which addresses a token opens."""

from __future__ import annotations

import pytest

from supercloud.authn.scope import DAV, LAUNCH, forward_scope, needed_scope, parse_scope


@pytest.mark.parametrize("text", ["dav", "launch", "forward:alice-tb", "forward:a.b_c-1", "forward:..."])
def test_what_a_token_can_be_for(text: str) -> None:
    assert parse_scope(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "Dav", "dav ", "dav,launch", "forward", "forward:", "forward:.", "forward:..", "forward:a/b", "forward:a\n",
     "forward:" + "x" * 256, "*"],
)  # fmt: skip
def test_what_no_token_can_be_for_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="write dav, launch or forward:NAME"):
        parse_scope(text)


@pytest.mark.parametrize(
    ("path", "scope"),
    [(b"/dav", DAV), (b"/dav/", DAV), (b"/dav/home/a..b", DAV), (b"/dav/.hidden", DAV), (b"/api/jobs", LAUNCH)],
)
def test_addresses_for_programs(path: bytes, scope: str) -> None:
    assert needed_scope(path) == scope


@pytest.mark.parametrize(
    "path", [b"/", b"/tokens", b"/login", b"/davx", b"/DAV/", b"//dav/", b"/.portal/ticket", b"/api/events"]
)
def test_everywhere_else_only_a_session_counts(path: bytes) -> None:
    assert needed_scope(path) is None


@pytest.mark.parametrize(
    "path",
    [b"/dav/../api/jobs", b"/dav/..", b"/dav/./x", b"/dav/%2e%2e/api/", b"/dav/%2E./api/", b"/dav/x/..%2f..%2fapi/",
     b"/dav/x%2f..%2f..%2fapi", b"/dav\\..\\api", b"/dav/..\\api", b"/dav/%5c..%5capi", b"/api/../dav/"],
)  # fmt: skip
def test_a_path_that_climbs_to_another_scope_needs_a_session(path: bytes) -> None:
    assert needed_scope(path) is None


def test_a_forwards_scope_is_what_a_token_for_it_has() -> None:
    assert forward_scope("alice-tb") == parse_scope("forward:alice-tb")
