"""Any name: its href leads back to it, and the document that holds it can be read."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from supercloud.dav.folder_page import Row, _row
from supercloud.dav.live import Sheet, member
from supercloud.dav.xml_text import empty, stored, text

# What a file can be called on Linux.
names = st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 0x2F} & set(name) and name not in (b".", b".."))
STATUS = os.stat_result([0o100644, 1, 1, 1, 0, 0, 5, 0, 0, 0], {"st_mtime_ns": 0})


@given(names, st.booleans())
def test_its_response_can_be_read_and_leads_back_to_it(name: bytes, is_folder: bool) -> None:
    sheet = Sheet(None)
    one = member("/dav/", os.fsdecode(name), STATUS, is_folder=is_folder)
    template = sheet.template(sheet.usual, (), is_folder=is_folder)
    read = ElementTree.fromstring(f'<r xmlns:D="DAV:"><D:href>{one.href}</D:href>{template.fill(one)}</r>'.encode())

    href = read.findtext("{DAV:}href") or ""
    assert unquote_to_bytes(href) == b"/dav/" + name + (b"/" if is_folder else b"")
    assert read.find("{DAV:}displayname") is not None


@given(names, st.booleans())
def test_its_row_is_one_link_that_leads_back_to_it(name: bytes, is_folder: bool) -> None:
    tags: list[tuple[str, dict[str, str | None]]] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, fields: tags.append((tag, dict(fields)))  # type: ignore[method-assign]
    reader.feed(_row(Row(is_folder, os.fsdecode(name), 5, 0)))

    assert [tag for tag, _ in tags] == [
        "tr",
        "td",
        "a",
        "bdi",
        "td",
        *([] if is_folder else ["span"]),
        "td",
        "time",
        "td",
    ]
    href = tags[2][1]["href"] or ""
    assert unquote_to_bytes(href) == b"./" + name + (b"/" if is_folder else b"")


@given(st.text())
def test_any_text_is_text(value: str) -> None:
    read = ElementTree.fromstring(f"<a>{text(value)}</a>")

    assert len(read) == 0
    assert len(read.text or "") == len(value)


@given(st.one_of(st.text(), st.binary()))
def test_whatever_was_stored_is_one_element_or_none(value: str | bytes) -> None:
    element = stored(value, "{urn:n}x")

    assert element is None or len(ElementTree.fromstring(f"<r>{element}</r>")) == 1


@given(st.text(min_size=1).filter(lambda space: not set(space) & set("{}\r\n\t")))
def test_an_empty_element_of_any_name_space_is_that_name_or_refused(space: str) -> None:
    name = f"{{{space}}}x"

    assert stored(empty(name), name) in (None, empty(name))
