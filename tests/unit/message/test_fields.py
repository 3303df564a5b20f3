from __future__ import annotations

import pytest

from supercloud.message.fields import cookie, rewrite_set_cookie, set_cookie_name, without_reserved


def _fields(*values: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [(b"cookie", b"Cookie", value) for value in values]


def test_a_cookie_is_found_over_all_fields() -> None:
    assert cookie(_fields(b"a=1; b=2", b"c=3"), b"c") == b"3"
    assert cookie(_fields(b"a=1;b=2;a=3"), b"a") == b"1"
    assert cookie(_fields(b"xa=1"), b"a") is None
    assert cookie([(b"x", b"X", b"a=1")], b"a") is None


def test_quotes_hide_no_cookie() -> None:
    assert cookie(_fields(b'q="x; a=1; y"'), b"a") == b"1"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"__Host-Http-supercloud=x", b""),
        (b"a=1; __host-HTTP-other=x; b=2", b"a=1; b=2"),
        (b'q="x; __Host-Http-supercloud=SECRET; y"', b'q="x; y"'),
        (b"\t__Host-Http-supercloud =x;a=1", b"a=1"),
    ],
)
def test_the_portals_cookies_are_taken_out(value: bytes, kept: bytes) -> None:
    assert without_reserved(value) == kept


@pytest.mark.parametrize(
    ("value", "name"),
    [(b"A=b", b"a"), (b" A =b; Path=/", b"a"), (b"=a=b", b"a=b"), (b"a", b"a"), (b" = a", b"a")],
)
def test_the_name_that_a_browser_would_send_back(value: bytes, name: bytes) -> None:
    assert set_cookie_name(value) == name


@pytest.mark.parametrize(
    "value",
    [b"__Host-Http-supercloud=x", b"__HOST-http-x=", b"=__Host-Http-x=y", b"__Host-Http-x", b" __Host-Http-x=y"],
)
def test_an_application_sets_no_cookie_of_the_portals(value: bytes) -> None:
    assert rewrite_set_cookie(value, prefix=b"") is None


@pytest.mark.parametrize(
    ("value", "prefix", "written"),
    [
        (b"a=b", b"", b"a=b"),
        (b"a=b; Domain=x; Path=/y; Secure", b"", b"a=b; Path=/y; Secure"),
        (b"a=b", b"/p", b"a=b; Path=/p/"),
        (b"a=b; path=/", b"/p", b"a=b; Path=/p/"),
        (b"a=b; Path=/y; HttpOnly", b"/p", b"a=b; Path=/p/y; HttpOnly"),
        (b"a=b; Path=relative", b"/p", b"a=b; Path=/p/"),
        (b"a=b; Path", b"/p", b"a=b; Path=/p/"),
        (b"a=b; Path=/x; Path=/", b"/p", b"a=b; Path=/p/x; Path=/p/"),
    ],
)
def test_a_cookie_stays_under_its_prefix_and_host(value: bytes, prefix: bytes, written: bytes) -> None:
    assert rewrite_set_cookie(value, prefix=prefix) == written
