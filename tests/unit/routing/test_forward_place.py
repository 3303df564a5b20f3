"""An application that is addressed by a forward whose file names a path of it."""

from __future__ import annotations

import pytest

from supercloud.message.head import parse_request, parse_response
from supercloud.routing.locate import ByName, place_of
from supercloud.routing.place import Place, inward, outward
from supercloud.target import Application, Forward, Origin, Reservation

NODE = Application("node1", 8080)
PORTAL = Origin("portal.test", has_prefixes=True)
ITS_OWN = Origin("alice-tb-u7.fn.portal.test", owner=7, forward="alice-tb")


def leading_to(base: bytes, *, tls: bool = False, basic: bytes = b"") -> Forward:
    return Forward("alice-tb", Reservation(1, 1, 1, 1001, 1001, 0o700), NODE, base, tls, basic)


ROOT = ByName(PORTAL, "alice-tb", b"/fw/alice-tb").leading_to(leading_to(b""))
CUT = ByName(PORTAL, "alice-tb", b"/fw/alice-tb").leading_to(leading_to(b"/lab"))
OWN = ByName(ITS_OWN, "alice-tb").leading_to(leading_to(b"/lab"))


def said(place: Place, target: bytes, *lines: bytes) -> list[bytes]:
    raw = b"GET " + target + b" HTTP/1.1\r\nHost: portal.test\r\n" + b"".join(line + b"\r\n" for line in lines)
    return inward(parse_request(raw + b"\r\n"), place, login="alice", address="::1", via=b"1.1 me").split(b"\r\n")


def answered(place: Place, line: bytes) -> list[bytes]:
    return outward(parse_response(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"), place)


@pytest.mark.parametrize(
    ("place", "target", "seen"),
    [
        (ROOT, b"/fw/alice-tb/a?b", b"/a?b"),
        (CUT, b"/fw/alice-tb/", b"/lab/"),
        (CUT, b"/fw/alice-tb/a?b", b"/lab/a?b"),
        (OWN, b"/a?b", b"/lab/a?b"),
        (OWN, b"/", b"/lab/"),
    ],
)
def test_the_forwards_root_is_the_path_in_its_file(place: Place, target: bytes, seen: bytes) -> None:
    assert said(place, target)[:2] == [b"GET " + seen + b" HTTP/1.1", b"Host: node1:8080"]


@pytest.mark.parametrize(
    ("place", "url", "shown"),
    [
        (CUT, b"/lab/tree?x", b"/fw/alice-tb/tree?x"),
        (CUT, b"/lab", b"/fw/alice-tb/"),
        (CUT, b"/lab?x", b"/fw/alice-tb/?x"),
        (CUT, b"/labs", b"/fw/alice-tb/labs"),
        (CUT, b"http://node1:8080/lab/tree", b"https://portal.test/fw/alice-tb/tree"),
        (OWN, b"/lab/tree", b"/tree"),
        (OWN, b"http://node1:8080/lab", b"https://alice-tb-u7.fn.portal.test/"),
        (OWN, b"tree", b"tree"),
        (OWN, b"https://elsewhere.test/lab/", b"https://elsewhere.test/lab/"),
    ],
)
def test_a_redirect_stays_in_the_forward(place: Place, url: bytes, shown: bytes) -> None:
    assert place.links(url) == shown


@pytest.mark.parametrize(
    ("place", "cookie", "kept"),
    [
        (CUT, b"a=b; Path=/lab", b"a=b; Path=/fw/alice-tb/"),
        (CUT, b"a=b; path=/lab/tree; Secure", b"a=b; Path=/fw/alice-tb/tree; Secure"),
        (CUT, b"a=b; Path=/", b"a=b; Path=/fw/alice-tb/"),
        (CUT, b"a=b", b"a=b; Path=/fw/alice-tb/"),
        (OWN, b"a=b; Path=/lab/x", b"a=b; Path=/x"),
        (ROOT, b"a=b; Path=/lab", b"a=b; Path=/fw/alice-tb/lab"),
    ],
)
def test_a_cookie_stays_in_the_forward(place: Place, cookie: bytes, kept: bytes) -> None:
    assert b"Set-Cookie: " + kept + b"\r\n" in answered(place, b"Set-Cookie: " + cookie)


def test_the_page_that_asked_is_told_as_the_application_knows_it() -> None:
    referer = b"Referer: https://alice-tb-u7.fn.portal.test/tree"
    assert b"Referer: http://node1:8080/lab/tree" in said(OWN, b"/", referer)
    encrypted = ByName(ITS_OWN, "alice-tb").leading_to(leading_to(b"/lab", tls=True))
    assert b"Referer: https://node1:8080/lab/tree" in said(encrypted, b"/", referer)


def test_the_files_login_goes_before_whatever_the_browser_says() -> None:
    told = ByName(ITS_OWN, "alice-tb").leading_to(leading_to(b"", basic=b"Basic eDp5"))
    lines = said(told, b"/", b"Authorization: Bearer other")
    assert [line for line in lines if line.lower().startswith(b"authorization")] == [b"Authorization: Basic eDp5"]
    assert b"Authorization: Bearer other" in said(OWN, b"/", b"Authorization: Bearer other")


def test_fields_that_speak_for_a_whole_origin_do_not_pass_where_several_applications_are() -> None:
    line = b'Clear-Site-Data: "*"'
    assert not any(line in one for one in answered(CUT, line))
    assert any(line in one for one in answered(OWN, line))


def test_an_address_is_read_once_a_connection() -> None:
    memory: dict[str, object] = {}
    first = place_of(parse_request(b"GET /fw/alice-tb/a HTTP/1.1\r\nHost: portal.test\r\n\r\n"), PORTAL, memory)
    again = place_of(parse_request(b"GET /fw/alice-tb/b HTTP/1.1\r\nHost: portal.test\r\n\r\n"), PORTAL, memory)
    other = place_of(parse_request(b"GET /fw/alice-tc/b HTTP/1.1\r\nHost: portal.test\r\n\r\n"), PORTAL, memory)
    assert first == ByName(PORTAL, "alice-tb", b"/fw/alice-tb")
    assert again is first
    assert other == ByName(PORTAL, "alice-tc", b"/fw/alice-tc")
