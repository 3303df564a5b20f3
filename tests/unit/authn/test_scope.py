"""Which addresses a token opens."""

from __future__ import annotations

import pytest

from supercloud.authn.scope import (
    ABOUT,
    DAV,
    FORWARDS,
    JOBS,
    KEYS,
    MOST_TEXT,
    READ,
    Need,
    describe,
    forward_scope,
    needed,
    read_scopes,
    shown_scopes,
    stored_scopes,
)


@pytest.mark.parametrize(
    "text", ["dav", "jobs", "read", "keys", "forwards", "forward:alice-tb", "forward:a.b_c-1", "forward:..."]
)
def test_what_a_token_can_be_for(text: str) -> None:
    assert read_scopes(text) == (text,)


def test_a_token_may_be_for_several_each_once_and_the_least_first() -> None:
    assert read_scopes("dav, jobs,read,jobs,forward:b,forward:a") == (READ, JOBS, DAV, "forward:a", "forward:b")


@pytest.mark.parametrize(
    "text",
    ["", "Dav", "dav,", "dav,root", "forward", "forward:", "forward:.", "forward:..", "forward:a/b", "forward:a\n",
     "forward:" + "x" * 256, "*", "jobs read"],
)  # fmt: skip
def test_what_no_token_can_be_for_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="write read, jobs, forwards, keys, dav or forward:NAME"):
        read_scopes(text)


def test_a_token_is_for_no_more_than_a_list_of_all_has_room_for() -> None:
    longest = "forward:" + "x" * 250
    most = f"{longest},forward:{'y' * (MOST_TEXT - len(longest) - len(',forward:'))}"
    assert len(most) == MOST_TEXT
    assert len(read_scopes(most)) == 2
    with pytest.raises(ValueError, match="make several"):
        read_scopes(f"{most}y")


def test_the_old_name_means_jobs_only() -> None:
    assert read_scopes("launch") == stored_scopes("launch") == (JOBS,)
    assert shown_scopes("launch") == "jobs"


def test_what_this_portal_cannot_read_opens_nothing() -> None:
    assert stored_scopes("jobs,of-a-newer-portal") == ()
    assert shown_scopes("of-a-newer-portal") == "of-a-newer-portal"


@pytest.mark.parametrize("path", [b"/dav", b"/dav/", b"/dav/home/a..b", b"/dav/.hidden"])
def test_files(path: bytes) -> None:
    assert needed(b"PROPFIND", path) == Need((DAV,))


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        (b"GET", b"/api/jobs", (READ, JOBS)),
        (b"HEAD", b"/api/jobs", (READ, JOBS)),
        (b"POST", b"/api/jobs", (JOBS,)),
        (b"GET", b"/api/forwards", (READ, FORWARDS)),
        (b"PUT", b"/api/forwards/alice-tb", (FORWARDS,)),
        (b"POST", b"/api/forwards/alice-tb/share", (FORWARDS,)),
        (b"GET", b"/api/keys", (READ, KEYS)),
        (b"POST", b"/api/keys", (KEYS,)),
        (b"GET", b"/api/quota", (READ,)),
    ],
)
def test_the_api_names_a_scope_for_each_method(method: bytes, path: bytes, scopes: tuple[str, ...]) -> None:
    need = needed(method, path)
    assert need is not None
    assert need.scopes == scopes


@pytest.mark.parametrize(
    ("method", "path"),
    [(b"GET", b"/api"), (b"GET", b"/api/"), (b"GET", b"/api/new"), (b"GET", b"/api/jobs/"), (b"GET", b"/api//jobs"),
     (b"GET", b"/api/key%73"), (b"GET", b"/api/jobs/a%2flog"), (b"GET", b"/api/jobs/a/b"), (b"GET", b"/API/jobs"),
     (b"PUT", b"/api/forwards/%61"), (b"POST", b"/api/forwards/a/share/x")],
)  # fmt: skip
def test_what_is_not_in_the_table_takes_no_token(method: bytes, path: bytes) -> None:
    assert needed(method, path) in (None, Need(()))


@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [(b"PATCH", b"/api/jobs", ("GET", "POST")), (b"get", b"/api/jobs", ("GET", "POST")),
     (b"DELETE", b"/api/forwards", ("GET",)), (b"GET", b"/api/forwards/a", ("PUT", "DELETE"))],
)  # fmt: skip
def test_a_method_that_is_not_in_the_table_takes_none_either(method: bytes, path: bytes, methods: object) -> None:
    assert needed(method, path) == Need((), methods)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", [b"/", b"/tokens", b"/login", b"/davx", b"/DAV/", b"//dav/", b"/.portal/ticket", b"/api/events"]
)
def test_everywhere_else_only_a_session_counts(path: bytes) -> None:
    assert needed(b"GET", path) is None


@pytest.mark.parametrize(
    "path",
    [b"/dav/../api/jobs", b"/dav/..", b"/dav/./x", b"/dav/%2e%2e/api/", b"/dav/%2E./api/", b"/dav/x/..%2f..%2fapi/",
     b"/dav/x%2f..%2f..%2fapi", b"/dav\\..\\api", b"/dav/..\\api", b"/dav/%5c..%5capi", b"/api/../dav/"],
)  # fmt: skip
def test_a_path_that_climbs_to_another_scope_needs_a_session(path: bytes) -> None:
    assert needed(b"GET", path) is None


def test_each_scope_has_words_and_a_forwards_name_its_own() -> None:
    assert all(describe(scope) for scope in ABOUT)
    assert describe(forward_scope("alice-tb")) == "use the application of the forward alice-tb"
