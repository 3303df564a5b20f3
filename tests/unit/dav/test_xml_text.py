"""Text and stored elements in an XML answer."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from supercloud.dav.xml_text import empty, stored, text


@pytest.mark.parametrize(
    "value", ["a]]>b", "<script>", "&amp;", "a\r\nb", "\u2028", "\U0001f600", "'\"", "<!--", "<?x?>"]
)
def test_text_is_read_back_as_it_was(value: str) -> None:
    assert ElementTree.fromstring(f"<a>{text(value)}</a>").text == value


@pytest.mark.parametrize("value", ["\x00", "\x08", "\x1f", "\ufffe", "\uffff", "\ud800", "\udcff"])
def test_what_xml_cannot_hold_is_replaced(value: str) -> None:
    assert text(f"a{value}b") == "a\ufffdb"


@pytest.mark.parametrize("name", ["{DAV:}getetag", "{urn:a&b\"<c>'}x", "{http://x/%s}y", "bare", "{a}ü"])
def test_an_empty_element_has_its_name(name: str) -> None:
    [read] = ElementTree.fromstring(f'<r xmlns:D="DAV:">{empty(name)}</r>')

    assert read.tag == name


def test_a_stored_element_stands_as_it_was_written() -> None:
    value = '<n:mood xmlns:n="urn:n" xml:lang="de">ruhig &amp; <n:b/></n:mood>'

    assert stored(value, "{urn:n}mood") == value
    assert stored(b'<?xml version="1.0"?>\n' + value.encode() + b"\n", "{urn:n}mood") == value


@pytest.mark.parametrize(
    "value",
    [
        '<n:mood xmlns:n="urn:n"/></D:prop><D:evil/>',
        '<n:mood xmlns:n="urn:n">',
        '<n:other xmlns:n="urn:n"/>',
        "<n:mood/>",
        "text",
        "",
        '<!DOCTYPE a [<!ENTITY e "x">]><n:mood xmlns:n="urn:n">&e;</n:mood>',
        '<!-- a --><n:mood xmlns:n="urn:n"/>',
        '<n:mood xmlns:n="urn:n">\udcff</n:mood>',
        b'<n:mood xmlns:n="urn:n">\xff</n:mood>',
        '<n:mood xmlns:n="urn:n">&nbsp;</n:mood>',
    ],
)
def test_what_others_stored_cannot_break_out_of_its_property(value: str | bytes) -> None:
    assert stored(value, "{urn:n}mood") is None


@pytest.mark.parametrize(("levels", "is_shown"), [(63, True), (64, False), (20_000, False)])
def test_a_deeply_nested_value_is_not_shown(levels: int, is_shown: bool) -> None:
    value = '<n:mood xmlns:n="urn:n">' + "<a>" * levels + "</a>" * levels + "</n:mood>"

    assert (stored(value, "{urn:n}mood") == value) is is_shown
