"""What is seen of a head that cannot be read; what it is answered with: tests/scenario/test_planted_cookies.py."""

from __future__ import annotations

import pytest

from supercloud.message.glimpse import glimpse


def test_a_whole_head_is_seen_as_far_as_an_answer_needs_it() -> None:
    seen = glimpse(b"GET /a?b HTTP/1.1\r\nhost: Portal.test\r\nAccept: text/html\r\nX-Y: z\r\nCookie: a=b; c=d\r\n\r\n")
    assert (seen.head.method, seen.head.target, seen.head.host) == (b"GET", b"/a?b", b"portal.test")
    assert seen.head.fields == [(b"accept", b"Accept", b"text/html")]
    assert seen.head.get(b"accept") == b"text/html"
    assert not seen.head.keep_alive
    assert seen.cookies == (b"a=b; c=d",)
    assert seen.cookie_names == (b"a", b"c")


@pytest.mark.parametrize(
    "received",
    [b"", b"\r\n", b"\0\xff", b"GET", b"GET\r\n", b"\nGET / HTTP/1.1\r\nHost", b"x" * 100_000, b"\r\n" * 50_000,
     b"get / HTTP/1.1\r\nHost: a b\r\n", b"GET http://x/ HTTP/1.1\r\nHost: \r\n", b"GET /#\r\nHost:x:y:z\r\n:\r\n"],
)  # fmt: skip
def test_what_is_not_of_the_usual_form_is_not_taken(received: bytes) -> None:
    head = glimpse(received).head
    assert head.method in (b"", b"GET")
    assert (head.target, head.host, head.fields) == (b"/", b"", [])


def test_a_cookie_field_that_is_cut_off_counts_as_far_as_it_came() -> None:
    seen = glimpse(b"GET / HTTP/1.1\r\nCookie: a=" + b"x" * 100)
    assert seen.has_many_cookies(200)
    assert not seen.has_many_cookies(204)


def test_cookies_are_blamed_only_where_all_else_would_fit() -> None:
    seen = glimpse(b"GET /" + b"y" * 200 + b" HTTP/1.1\r\nCookie: a=" + b"x" * 100)
    assert not seen.has_many_cookies(200)


def test_names_of_another_form_are_left_out_and_the_others_told_once() -> None:
    seen = glimpse(b"G\r\nCookie: a=1; b c=2; =3; d; e\xff=4; a=5\r\nCookie: f=6\r\n")
    assert seen.cookie_names == (b"a", b"f")


@pytest.mark.parametrize(
    ("value", "is_odd"), [(b"a=\x7f", True), (b"a=\x00", True), (b"a=\t\xff", False), (b"a", False)]
)
def test_a_letter_that_no_field_may_have_is_seen(value: bytes, is_odd: bool) -> None:
    assert glimpse(b"GET / HTTP/1.1\r\nCookie: " + value + b"\r\n\r\n").has_odd_cookies is is_odd
