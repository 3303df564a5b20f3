"""Which fields rid a browser of planted cookies; who gets them: tests/scenario/test_planted_cookies.py."""

from __future__ import annotations

import pytest

from supercloud.errors import CookieTwice
from supercloud.front.planted import clearing
from supercloud.message.glimpse import glimpse


def _ended(host: bytes, path: bytes, *names: bytes) -> list[bytes]:
    head = glimpse(b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").head
    first, *others = clearing(CookieTwice(names or (b"n",)), head)
    assert first == (b"Clear-Site-Data", b'"cookies"')
    assert all(name == b"Set-Cookie" for name, _ in others)
    return [value for _, value in others]


@pytest.mark.parametrize(
    ("host", "domains"),
    [
        (b"portal.example.org:8443", [b"", b"portal.example.org", b"example.org"]),
        (b"localhost:8443", [b"", b"localhost"]),
        (b"[::1]:8443", [b""]),
    ],
)
def test_at_the_host_and_above_it_but_not_at_a_registry(host: bytes, domains: list[bytes]) -> None:
    assert _ended(host, b"/") == [
        b"n=; Max-Age=0; Path=/" + (b"; Domain=" + domain if domain else b"") + b"; Secure; HttpOnly"
        for domain in domains
    ]


@pytest.mark.parametrize(
    ("path", "paths"),
    [
        (b"/", [b"/"]),
        (b"/a", [b"/", b"/a"]),
        (b"/a/", [b"/", b"/a", b"/a/"]),
        (b"/a/b?c/d", [b"/", b"/a", b"/a/", b"/a/b"]),
        (b"//a", [b"/", b"/", b"//", b"//a"]),
        (b"/a/b;c/d", [b"/", b"/a", b"/a/"]),
        (b"/" + b"a" * 1024, [b"/"]),
    ],
)
def test_at_each_path_that_reaches_the_address(path: bytes, paths: list[bytes]) -> None:
    ended = [value for value in _ended(b"p", path) if b"Domain" not in value]
    assert ended == [b"n=; Max-Age=0; Path=" + one + b"; Secure; HttpOnly" for one in paths]


def test_what_they_take_has_a_bound_and_the_root_comes_first() -> None:
    names = [b"%d" % number + b"x" * 100 for number in range(1000)]
    ended = _ended(b"portal.example.org", b"/a/b", *names)
    assert sum(map(len, ended)) <= 32 * 1024
    assert all(b"Path=/;" in value for value in ended)
