"""What is put together from the settings; all of it together: test_portal.py."""

from __future__ import annotations

import pytest

from supercloud.assembly import files_of


@pytest.mark.parametrize(
    ("roots", "address"),
    [
        ({"/": "/"}, "/dav/~/"),
        ({"/": "~"}, "/dav/"),
        ({"/": "/", "/data": "/srv"}, "/dav/~/"),
        ({"/home": "~", "/data": "/srv"}, "/dav/data/"),
        ({}, ""),
    ],
)
def test_somebodys_files_begin_at_home_or_at_the_first_root(roots: dict[str, str], address: str) -> None:
    assert files_of(roots) == address
