"""However a document is cut into pieces, the same comes out; twice is once; and nothing but links changes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from supercloud.rewrite.css import CssScanner
from supercloud.rewrite.html import HtmlRewriter
from supercloud.rewrite.links import Links

_LINKS = Links(b"https://portal.test", b"portal.test", b"node1:8080", b"/fw2/node1:8080")
_HTML = st.lists(
    st.sampled_from(
        [
            "<a href=/x>",
            "<a href='/y' ",
            "data-z=/z",
            ">",
            "<",
            "/",
            "'",
            '"',
            "<style>",
            "</style>",
            "url(/x)",
            "@import '/x';",
            "/*",
            "*/",
            "<script>",
            "</script>",
            "<script type=application/json>",
            '{"baseUrl": "/"}',
            "<!--",
            "-->",
            "<textarea>",
            "</textarea>",
            "<select>",
            "<title>",
            "</title>",
            "</select>",
            "<svg>",
            "</svg>",
            "<![CDATA[",
            "]]>",
            " ",
            "text",
            "é",
            "&#47;",
            "=",
            "srcset='/a 1x,/b'",
            "<base href=/>",
            "style='b:url(/x)'",
        ]
    ),
    max_size=25,
).map("".join)
_CSS = st.lists(
    st.sampled_from(
        [
            "url(",
            "/x",
            ")",
            "'",
            '"',
            "@import",
            " ",
            "/*",
            "*/",
            "*",
            "/",
            "\\",
            "\n",
            "a",
            "u",
            "@",
            "{b:c}",
            "data:",
            ";",
            "\\2f ",
            "é",
            "url(/y)",
            "@import '/z';",
        ]
    ),
    max_size=25,
).map("".join)


def _pieces(data: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


def _html(data: bytes, *pieces: bytes) -> bytes:
    rewriter = HtmlRewriter(_LINKS)
    return b"".join(rewriter.feed(piece) for piece in pieces or (data,)) + rewriter.end()


def _css(*pieces: str) -> str:
    scanner = CssScanner(_LINKS)
    return "".join(scanner.feed(piece) for piece in pieces) + scanner.end()


@settings(max_examples=300)
@given(_HTML, st.lists(st.integers(0, 400), max_size=20))
def test_where_a_page_is_cut_does_not_matter(text: str, cuts: list[int]) -> None:
    data = text.encode("latin-1")
    assert _html(data) == _html(data, *(piece.encode("latin-1") for piece in _pieces(text, cuts)))


@settings(max_examples=300)
@given(_HTML)
def test_rewriting_a_page_twice_is_rewriting_it_once(text: str) -> None:
    once = _html(text.encode())
    assert _html(once) == once


@given(st.text(alphabet="<>ab c=\"'/!-&;#\n\té", max_size=60))
def test_a_page_without_links_stays_as_it_is(text: str) -> None:
    assert _html(text.encode()) == text.encode()


@settings(max_examples=500)
@given(_CSS, st.lists(st.integers(0, 200), max_size=20))
def test_where_a_style_sheet_is_cut_does_not_matter(text: str, cuts: list[int]) -> None:
    assert _css(text) == _css(*_pieces(text, cuts))


@settings(max_examples=300)
@given(_CSS)
def test_rewriting_a_style_sheet_twice_is_rewriting_it_once(text: str) -> None:
    assert _css(_css(text)) == _css(text)
