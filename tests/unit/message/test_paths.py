from __future__ import annotations

import pytest

from supercloud.message.paths import has_dots


@pytest.mark.parametrize(
    "path",
    [
        b"/.",
        b"/..",
        b"/a/./b",
        b"/a/../b",
        b"/%2e",
        b"/%2E%2e/x",
        b"/.%2e/",
        b"/a%2f..",
        b"/a\\..\\b",
        b"/a%5C.",
        b"..",
    ],
)
def test_dots_in_any_spelling_are_seen(path: bytes) -> None:
    assert has_dots(path)


@pytest.mark.parametrize("path", [b"/", b"/a.b", b"/...", b"/.a", b"/a..", b"/%252e", b"/%2", b"/a/.b/c."])
def test_names_with_dots_are_none(path: bytes) -> None:
    assert not has_dots(path)
