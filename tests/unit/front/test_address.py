"""Addresses that come from outside and are to lead back."""

from __future__ import annotations

import pytest

from supercloud.front.address import local


@pytest.mark.parametrize(
    "path",
    ["//evil.test", "/\\evil.test", "\\\\evil.test", "https://evil.test", "javascript:x", "", "x", "/a b", "/a\r\nX: y",
     "/\t/evil.test", "/ü", "/a\x00", "https:/evil", "//[", "/a\\b", " //evil.test", "///evil.test"],
)  # fmt: skip
def test_no_redirect_leads_elsewhere(path: str) -> None:
    assert local(path) == "/"


@pytest.mark.parametrize("path", ["/", "/a?b=c#d", "/fw2/[::1]:80/", "/a//b", "/a:b@c", "/%2f%2fevil.test"])
def test_a_path_of_this_origin_stays(path: str) -> None:
    assert local(path) == path
