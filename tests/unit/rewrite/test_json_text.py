from __future__ import annotations

import time

import pytest

from supercloud.rewrite.json_text import rewrite_all, rewrite_roots
from tests.unit.rewrite.places import LINKS, P


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{"baseUrl": "/"}', f'{{"baseUrl": "{P}/"}}'),
        ('{"base_url":"\\/"}', f'{{"base_url":"{P}/"}}'),
        ('{"fullStaticUrl": "/static"}', f'{{"fullStaticUrl": "{P}/static"}}'),
        ('{"requests_pathname_prefix":"/"}', f'{{"requests_pathname_prefix":"{P}/"}}'),
        ('{"any": ["http://node1:8080/x"]}', f'{{"any": ["https://portal.test{P}/x"]}}'),
    ],
)
def test_the_roots_of_a_page_are_rewritten(text: str, written: str) -> None:
    assert rewrite_roots(text, LINKS) == written


@pytest.mark.parametrize(
    "text",
    [
        '{"appUrl": "/lab"}',
        '{"serverRoot": "/home/alice"}',
        '{"x": "http://other/"}',
        '{"baseUrl": ["/x"]}',
        "no JSON at /all",
        '{"baseUrl": "/x',
        '{"baseUrl": "h\\u00e9"}',
        '{"a": "/\\ud800"}',
    ],
)
def test_what_an_application_joins_itself_or_means_as_a_file_stays(text: str) -> None:
    assert rewrite_roots(text, LINKS) == text


def test_in_an_import_map_names_are_links_too() -> None:
    assert rewrite_all('{"imports": {"/a/": "/b/", "c": "./d"}}', LINKS) == (
        f'{{"imports": {{"{P}/a/": "{P}/b/", "c": "./d"}}}}'
    )


def test_a_script_cannot_be_ended_by_a_link() -> None:
    assert "</script" not in rewrite_all('["\\u002f\\u003c/script>"]', LINKS)


@pytest.mark.parametrize("text", ['{"\\' + '"\\' * 60_000 + "\n", '"' + " " * 120_000, '"a"' + " " * 120_000 + '"b'])
def test_a_text_that_is_made_to_be_slow_is_not(text: str) -> None:
    began = time.perf_counter()
    rewrite_all(text, LINKS)
    assert time.perf_counter() - began < 0.5


def test_so_many_strings_are_looked_at_and_the_rest_passes() -> None:
    """A manifest of 128 KiB of links took 74 ms at once."""
    text = "[" + '"/x",' * 2000 + '"/y"]'
    written = rewrite_all(text, LINKS)
    assert written.count(f'"{P}/x"') == 800
    assert written.endswith('"/x","/y"]')
    plain = "[" + '"a",' * 5000 + '"/y"]'
    assert rewrite_all(plain, LINKS) == plain
