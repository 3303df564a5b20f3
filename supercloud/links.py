"""The links on top of whatever page somebody is shown, be it the front's or the worker's."""

from __future__ import annotations

from typing import Final

_FORWARDS: Final = ("/forwards", "Forwards")
_LINKS: Final = (
    ("/", "Home"),
    ("/launch", "Launch"),
    ("/jobs", "Jobs"),
    ("/dav/~/", "Files"),
    _FORWARDS,
    ("/keys", "Keys"),
    ("/tokens", "Tokens"),
)
# What a page's head begins with, beside its title.
HEAD: Final = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="icon" href="/.portal/icon.svg"><link rel="stylesheet" href="/.portal/portal.css">'
)


def navigation(*, has_forwards: bool) -> str:
    """HTML.

    :param has_forwards: whether the site has any.
    """
    shown = [link for link in _LINKS if has_forwards or link != _FORWARDS]
    links = " ".join(f'<a href="{href}">{label}</a>' for href, label in shown)
    return f'<nav aria-label="Workspace">{links}</nav>'
