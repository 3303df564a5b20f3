from __future__ import annotations

from html.parser import HTMLParser

import pytest

from supercloud.front import pages
from supercloud.front.pages import Listed

EVIL = "<script>alert(1)</script>\"'&"


class _Tags(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@pytest.mark.parametrize(
    "page",
    [
        pages.refusal(EVIL, EVIL, EVIL, home=EVIL, login=EVIL),
        pages.sign_in(has_link=True, has_certificate=True, note=EVIL),
        pages.home(EVIL, [Listed(EVIL, EVIL, EVIL, EVIL)], files=EVIL),
        pages.home(EVIL, []),
        pages.signed_out(),
        pages.entered(EVIL, EVIL, goes_on=True),
        pages.entered(EVIL, EVIL, goes_on=False),
        pages.origins(EVIL, [], [EVIL]),
    ],
)
def test_every_value_is_escaped_and_there_is_no_script(page: bytes) -> None:
    found = _Tags(page)
    assert "script" not in found.tags
    assert found.tags.count("html") == 1
    assert not any(name.startswith("on") or name == "style" for name, _ in found.attributes)


def test_a_waiting_page_has_one_script_and_loads_itself_anew_only_without_it() -> None:
    page = pages.waiting(EVIL, EVIL, home=EVIL, login=EVIL)
    assert _Tags(page).tags.count("script") == 1
    assert b'<script src="/.portal/waiting.js" defer></script>' in page
    assert page.count(b'http-equiv="refresh"') == page.count(b'<noscript><meta http-equiv="refresh" content="2">') == 1
    assert b'http-equiv="refresh"' not in pages.refusal("a", "b", "c", home="/")


def test_a_waiting_page_runs_that_script_only_from_where_it_is() -> None:
    policy = dict(pages.waiting_fields("https://n-1.fh.portal.test"))[b"Content-Security-Policy"].split(b"; ")
    assert b"script-src https://n-1.fh.portal.test/.portal/waiting.js" in policy
    assert b"connect-src 'self'" in policy and b"default-src 'none'" in policy


def test_a_refusal_at_an_applications_address_leads_home_and_not_into_the_application() -> None:
    page = pages.refusal("a", "b", "c", home="https://portal.test/")
    assert page.count(b'href="https://portal.test/"') == 2 and b'href="/"' not in page


def test_links_are_on_the_pages_of_whoever_is_signed_in() -> None:
    for page in (pages.tokens("alice", [], (), links="<nav>"), pages.home("alice", [], links="<nav>")):
        assert b"<nav>" in page and b'<a class="skip" href="#main">' in page and b'<main id="main">' in page
    assert b"skip" not in pages.signed_out()


def test_the_ways_to_sign_in_are_told() -> None:
    assert b"terminal" in pages.sign_in(has_link=True, has_certificate=False)
    assert b"certificate" in pages.sign_in(has_link=False, has_certificate=True)


def test_nothing_may_frame_or_script_the_portals_pages() -> None:
    policy = dict(pages.FIELDS)[b"Content-Security-Policy"]
    assert b"default-src 'none'" in policy
    assert b"frame-ancestors 'none'" in policy
    assert b"script-src" not in policy


def test_the_first_page_leads_to_the_files_where_there_are_any() -> None:
    assert b'<a href="/dav/~/">' in pages.home("alice", [], files="/dav/~/")
    assert b"/dav" not in pages.home("alice", [])
