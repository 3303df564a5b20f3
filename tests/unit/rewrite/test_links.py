from __future__ import annotations

import time

import pytest

from supercloud.rewrite.links import MAX_LINK, Links
from tests.unit.rewrite.places import LINKS, P


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("/", f"{P}/"),
        ("/a?b#c", f"{P}/a?b#c"),
        (" \n/a\t ", f"{P}/a"),
        ("\\a", f"{P}/a"),
        ("/../../a", f"{P}/a"),
        ("/..", f"{P}/"),
        ("/.hidden", f"{P}/.hidden"),
        (f"{P}/a", f"{P}/a"),
        (f"{P}#x", f"{P}#x"),
        ("http://NODE1:8080/a", f"https://portal.test{P}/a"),
        ("https:\\\\node1:8080\\a", f"https://portal.test{P}/\\a"),
        ("//node1:8080", f"https://portal.test{P}/"),
        ("ws://node1:8080/s", f"wss://portal.test{P}/s"),
        ("https://portal.test/a", f"https://portal.test{P}/a"),
    ],
)
def test_what_leads_to_the_application_leads_to_where_it_is_shown(url: str, written: str) -> None:
    assert LINKS.text(url) == written


@pytest.mark.parametrize(
    "url",
    ["", "a", "./a", "../a", "?q", "#f", "//other/a", "/\\other/a", "\\\\other", "http://other/", "http:/a", "htp://node1:8080/",
     "http://node1:8080@evil/", "http://node1:80801/", "http://node1.evil:8080/", "data:,/a", "blob:https://portal.test/x",
     "javascript:go('/a')", "mailto:a@b", "hello", "/" + "a" * MAX_LINK],
)  # fmt: skip
def test_everything_else_stays(url: str) -> None:
    assert LINKS.text(url) is url


def test_on_an_own_origin_a_path_with_dots_does_not_become_another_host() -> None:
    own = Links(b"https://a.fh.portal.test", b"a.fh.portal.test", b"node1:8080")
    assert own(b"/..//evil.test/") == b"/..//evil.test/"


def test_a_forwards_base_is_its_root() -> None:
    links = Links(b"https://portal.test", b"portal.test", b"node1:8080", b"/fw/tb", b"/base")
    assert [links(url) for url in (b"/base/a", b"/base#x", b"/other")] == [b"/fw/tb/a", b"/fw/tb/#x", b"/fw/tb/other"]


@pytest.mark.parametrize(
    ("url", "is_elsewhere"),
    [("https://cdn.test/", True), ("//cdn.test/x", True), ("/x", False), ("x", False), ("http://node1:8080/", False),
     (f"https://portal.test{P}/x", False)],
)  # fmt: skip
def test_whose_a_base_is(url: str, is_elsewhere: bool) -> None:
    assert LINKS.is_of_another_site(url) is is_elsewhere


def test_a_long_refresh_takes_no_time() -> None:
    began = time.perf_counter()
    assert LINKS.refresh(b" " * 100_000 + b"x") == b" " * 100_000 + b"x"
    assert time.perf_counter() - began < 0.5
