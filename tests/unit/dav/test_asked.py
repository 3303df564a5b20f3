"""What a PROPFIND asks for."""

from __future__ import annotations

import pytest

from supercloud.dav.asked import MOST_NAMES, Asked, Depth, Want, depth_of, read_body, wants_minimum
from supercloud.dav.xml_text import BadXml

D = 'xmlns:D="DAV:"'


def body(inside: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?><D:propfind {D}>{inside}</D:propfind>'.encode()


def test_no_body_asks_for_everything() -> None:
    assert read_body(b"") == read_body(b" \r\n") == Asked(Want.ALL)


def test_names_come_in_the_clients_order_and_once() -> None:
    asked = read_body(body('<D:prop><D:getetag/><R:author xmlns:R="http://ns/"/><D:getetag/><bare/></D:prop>'))

    assert asked == Asked(Want.SOME, ("{DAV:}getetag", "{http://ns/}author", "bare"))


def test_the_other_forms() -> None:
    assert read_body(body("<D:propname/>")) == Asked(Want.NAMES)
    assert read_body(body("<D:allprop/><D:include><D:acl/></D:include>")) == Asked(Want.ALL, ("{DAV:}acl",))


def test_what_is_not_known_is_ignored_with_all_that_is_in_it() -> None:
    inside = '<x:new xmlns:x="urn:x"><D:prop><D:acl/></D:prop></x:new><D:prop><D:getetag><D:deep/></D:getetag></D:prop>'

    assert read_body(body(inside)).names == ("{DAV:}getetag",)


@pytest.mark.parametrize(
    "document",
    [
        body(""),
        body("<D:expired-props/>"),
        body("<D:allprop/><D:propname/>"),
        body("<D:prop/><D:allprop/>"),
        b"<foo/>",
        b'<propfind xmlns="urn:other"><prop/></propfind>',
        b"<D:propfind>",
        b"not xml",
        b'<D:propfind xmlns:D="DAV:"><D:prop><bar:foo xmlns:bar=""/></D:prop></D:propfind>',
        body("<D:allprop/>") + b"<more/>",
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="euc-jp"?><a/>',
        b"\xff\xfe<",
        b"\x00" * 10,
    ],
)
def test_a_body_that_cannot_be_read_is_none(document: bytes) -> None:
    with pytest.raises(BadXml):
        read_body(document)


_BILLION = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "attack",
    [
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1/x.dtd"> %e;]><x/>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>',
        f'<!DOCTYPE x [<!ENTITY l0 "lol">{_BILLION}]><x>&l9;</x>',
        f'<!DOCTYPE x [<!ENTITY a "{"a" * 100_000}">]><x>{"&a;" * 1000}</x>',
        "<!DOCTYPE x [<!ELEMENT x EMPTY>]><x/>",
    ],
    ids=["external-entity", "parameter-entity", "external-dtd", "billion-laughs", "quadratic", "plain-dtd"],
)
def test_entities_and_document_types_are_refused(attack: str) -> None:
    with pytest.raises(BadXml, match="DTDForbidden"):
        read_body(attack.encode())


def test_deep_nesting_is_refused_without_being_read_to_its_end() -> None:
    with pytest.raises(BadXml, match="deep"):
        read_body(body("<D:x>" * 100_000))


def test_too_many_names_are_refused_at_the_limit() -> None:
    def names(count: int) -> bytes:
        return body(f"<D:prop>{''.join(f'<D:n{n}/>' for n in range(count))}</D:prop>")

    assert len(read_body(names(MOST_NAMES)).names) == MOST_NAMES
    with pytest.raises(BadXml, match="many"):
        read_body(names(MOST_NAMES + 1))


def test_depth_is_infinity_unless_said() -> None:
    assert depth_of({}) is Depth.INFINITY
    assert depth_of({"HTTP_DEPTH": " Infinity "}) is Depth.INFINITY
    assert depth_of({"HTTP_DEPTH": "0"}) is Depth.ITSELF
    for wrong in ("2", "", "1,noroot", "-1"):
        with pytest.raises(ValueError, match="Depth"):
            depth_of({"HTTP_DEPTH": wrong})


@pytest.mark.parametrize(
    ("fields", "wants"),
    [
        ({"HTTP_PREFER": "return=minimal"}, True),
        ({"HTTP_PREFER": 'respond-async, Return = "minimal"; x=y'}, True),
        ({"HTTP_PREFER": "return=representation"}, False),
        ({"HTTP_PREFER": "xreturn=minimal"}, False),
        ({"HTTP_BRIEF": "t"}, True),
        ({"HTTP_BRIEF": "f"}, False),
        ({}, False),
    ],
)
def test_who_wants_little_says_so(fields: dict[str, str], wants: bool) -> None:
    assert wants_minimum(fields) is wants
