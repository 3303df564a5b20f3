"""Pages from templates, which were all read and compiled before the worker became its account: afterwards this
program's files may be closed to it.
"""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import jinja2
from markupsafe import Markup

from supercloud.applications.form import size_text, time_text
from supercloud.dav.folder_page import size_text as bytes_text
from supercloud.links import HEAD, navigation
from supercloud.pages.workspace import iso


def _read() -> dict[str, str]:
    folder = resources.files("supercloud.pages").joinpath("templates")
    return {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.name.endswith(".html")}


def _make() -> jinja2.Environment:
    texts = _read()
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False, cache_size=-1,
    )  # fmt: skip
    environment.filters.update(iso=iso, mib=size_text, minutes=time_text, bytes=bytes_text)
    environment.globals.update(head=Markup(HEAD), navigation=lambda **what: Markup(navigation(**what)))  # noqa: S704  (written here, no value in it)
    for name in texts:
        environment.get_template(name)
    return environment


_ENVIRONMENT: Final = _make()


def render(template: str, **values: Any) -> str:
    """A page as text."""
    return _ENVIRONMENT.get_template(template).render(values)
