from __future__ import annotations

import pytest

from supercloud.rewrite.css import CssScanner
from tests.unit.rewrite.places import LINKS, P


def _whole(text: str) -> str:
    return CssScanner(LINKS).whole(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a{b:url(/x)}", f"a{{b:url({P}/x)}}"),
        ("a{b:URL( '/x' )}", f"a{{b:URL( '{P}/x' )}}"),
        ('@import "/x";', f'@import "{P}/x";'),
        ("@IMPORT/* no */ '/x' screen;", f"@IMPORT/* no */ '{P}/x' screen;"),
        ("@import url(/x);", f"@import url({P}/x);"),
        ("url(http://node1:8080/x)", f"url(https://portal.test{P}/x)"),
        ("url(\\/x)", f"url({P}/x)"),
        ('url("\\2f x")', f'url("{P}/x")'),
        ("url(/a\\)b)", f"url({P}/a\\29 b)"),
    ],
)
def test_links_are_rewritten(text: str, written: str) -> None:
    assert _whole(text) == written


@pytest.mark.parametrize(
    "text",
    [
        "/* url(/x) */",
        "a{b:'url(/x)'}",
        'a{b:"\\"url(/x)"}',
        "a{b:myurl(/x)}",
        "a{b:-url(/x)}",
        "@imported '/x';",
        "@charset '/x';",
        "url(x)",
        "url(data:image/png;base64,/x)",
        "url('data:;,(/x)url(/x)')",
        "url(//other/x)",
        "url(#f)",
        "url(",
        "url('/x",
        "/*",
        "a\\",
        "'",
        "@import",
        "@import x '/y'",
        "url(/" + "a" * 20_000 + ")",
    ],
)
def test_what_is_no_link_stays(text: str) -> None:
    assert _whole(text) == text


def test_a_picture_in_a_style_sheet_does_not_wait_for_its_end() -> None:
    scanner = CssScanner(LINKS)
    assert len(scanner.feed("a{b:url(data:" + "A" * 10_000)) > 9_000
    assert scanner.feed(");c:url(/x)}").endswith(f"url({P}/x)}}")
