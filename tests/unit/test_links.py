"""The links on top of pages."""

from __future__ import annotations

from supercloud.links import navigation


def test_forwards_are_among_them_where_the_site_has_any() -> None:
    assert 'href="/forwards"' in navigation(has_forwards=True)
    assert 'href="/forwards"' not in navigation(has_forwards=False)


def test_all_other_pages_are_reached_in_either_case() -> None:
    for has_forwards in (True, False):
        shown = navigation(has_forwards=has_forwards)
        assert all(f'<a href="{href}">' in shown for href in ("/", "/launch", "/jobs", "/dav/~/", "/keys", "/tokens"))
