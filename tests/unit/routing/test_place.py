from __future__ import annotations

import pytest

from supercloud.message.head import parse_request, parse_response
from supercloud.routing.place import Place, inward, inward_fields, names_via, outward
from supercloud.target import Application, Forward, Origin, Reservation

APPLICATION = Application("node1", 8080)
OWN = Place(Origin("node1-8080-u7.fh.portal.test", APPLICATION, 7), APPLICATION)
CUT = Place(Origin("portal.test", has_prefixes=True), APPLICATION, b"/fw2/node1:8080")
KEPT = Place(Origin("portal.test", has_prefixes=True), APPLICATION, b"/node/node1/8080", False)


def _inward(place: Place, *lines: bytes, target: bytes = b"/", start: bytes = b"GET") -> list[bytes]:
    raw = start + b" " + target + b" HTTP/1.1\r\nHost: portal.test\r\n" + b"".join(line + b"\r\n" for line in lines)
    out = inward(parse_request(raw + b"\r\n"), place, login="alice", address="192.0.2.7", via=b"1.1 me")
    return out.split(b"\r\n")


def _outward(place: Place, *lines: bytes) -> list[bytes]:
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return [line.removesuffix(b"\r\n") for line in outward(parse_response(raw), place)]


@pytest.mark.parametrize(
    ("place", "target", "seen"),
    [
        (OWN, b"/a?b", b"/a?b"),
        (CUT, b"/fw2/node1:8080/a?b", b"/a?b"),
        (CUT, b"/fw2/node1:8080", b"/"),
        (CUT, b"/fw2/node1:8080?b", b"/?b"),
        (KEPT, b"/node/node1/8080/a", b"/node/node1/8080/a"),
    ],
)
def test_what_the_application_sees_of_the_path(place: Place, target: bytes, seen: bytes) -> None:
    assert _inward(place, target=target)[:2] == [b"GET " + seen + b" HTTP/1.1", b"Host: node1:8080"]


def test_what_the_application_is_told() -> None:
    lines = _inward(CUT, target=b"/fw2/node1:8080/")
    assert b"X-Forwarded-For: 192.0.2.7" in lines
    assert b"X-Forwarded-Proto: https" in lines
    assert b"X-Forwarded-Host: portal.test" in lines
    assert b"X-Forwarded-User: alice" in lines
    assert b"X-Forwarded-Prefix: /fw2/node1:8080" in lines
    assert not any(line.startswith(b"X-Forwarded-Prefix") for line in _inward(OWN) + _inward(KEPT))


@pytest.mark.parametrize(
    ("place", "referer", "seen"),
    [
        (OWN, b"https://node1-8080-u7.fh.portal.test/a?b", b"http://node1:8080/a?b"),
        (OWN, b"https://node1-8080-u7.fh.portal.test", b"http://node1:8080/"),
        (CUT, b"https://portal.test/fw2/node1:8080/a", b"http://node1:8080/a"),
        (CUT, b"https://portal.test/fw2/node1:80801/a", None),
        (CUT, b"https://portal.test/", None),
        (KEPT, b"https://portal.test/node/node1/8080/a", b"http://node1:8080/node/node1/8080/a"),
        (OWN, b"https://node1-8080-u7.fh.portal.test.evil.test/", None),
        (OWN, b"https://evil.test/", None),
    ],
)
def test_a_referer_is_the_applications_own_or_none(place: Place, referer: bytes, seen: bytes | None) -> None:
    found = [line for line in _inward(place, b"Referer: " + referer) if line.lower().startswith(b"referer")]
    assert found == ([b"Referer: " + seen] if seen else [])


def test_bodies_are_framed_once() -> None:
    assert b"Content-Length: 3" in _inward(OWN, b"content-length: 3", start=b"PUT")
    assert b"Content-Length: 0" in _inward(OWN, b"Content-Length: 000")
    assert b"Transfer-Encoding: chunked" in _inward(OWN, b"Transfer-Encoding: CHUNKED")


def test_via_goes_on_and_a_loop_is_noticed() -> None:
    assert b"Via: 1.0 a, 1.1 b, 1.1 me" in _inward(OWN, b"Via: 1.0 a", b"via: 1.1 b")
    looped = parse_request(b"GET / HTTP/1.1\r\nHost: x\r\nVia: 1.0 a, 1.1 me (x)\r\n\r\n")
    assert names_via(looped, b"me")
    assert not names_via(looped, b"m")


def test_an_application_s_token_passes_and_the_portals_does_not() -> None:
    lines = _inward(OWN, b"Authorization: token x", b"X-Supercloud-Authorization: Bearer y", b"Origin: https://x")
    assert b"Authorization: token x" in lines
    assert not any(b"Bearer" in line or line.startswith(b"Origin") for line in lines)


@pytest.mark.parametrize(
    ("place", "url", "written"),
    [
        (OWN, b"/a", b"/a"),
        (OWN, b"http://node1:8080/a", b"https://node1-8080-u7.fh.portal.test/a"),
        (OWN, b"https://NODE1:8080", b"https://node1-8080-u7.fh.portal.test/"),
        (OWN, b"//node1:8080/a", b"https://node1-8080-u7.fh.portal.test/a"),
        (OWN, b"//evil.test/a", b"//evil.test/a"),
        (OWN, b"https://evil.test/", b"https://evil.test/"),
        (OWN, b"relative", b"relative"),
        (OWN, b"?q", b"?q"),
        (CUT, b"/a", b"/fw2/node1:8080/a"),
        (CUT, b"/fw2/node1:8080/a", b"/fw2/node1:8080/a"),
        (CUT, b"/fw2/node1:8080x/a", b"/fw2/node1:8080/fw2/node1:8080x/a"),
        (CUT, b"http://node1:8080?q", b"https://portal.test/fw2/node1:8080/?q"),
        (CUT, b"https://portal.test/logout", b"https://portal.test/fw2/node1:8080/logout"),
        (CUT, b"http://node1:8080@evil.test/", b"http://node1:8080@evil.test/"),
        (KEPT, b"/node/node1/8080/a", b"/node/node1/8080/a"),
    ],
)
def test_addresses_are_rewritten_to_the_outside(place: Place, url: bytes, written: bytes) -> None:
    assert place.links(url) == written


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (b"Location: /a", b"Location: /fw2/node1:8080/a"),
        (b"Content-Location: /a", b"Content-Location: /fw2/node1:8080/a"),
        (b"Refresh: 5; url=/a", b"Refresh: 5; url=/fw2/node1:8080/a"),
        (b"Refresh: 0;URL='/a'", b"Refresh: 0;URL='/fw2/node1:8080/a'"),
        (b'Refresh: 0, "/a', b'Refresh: 0, "/fw2/node1:8080/a"'),
        (b"Refresh: 5", b"Refresh: 5"),
        (b"Refresh: x", b"Refresh: x"),
        (b"Link: </a>; rel=next, </b>", b"Link: </fw2/node1:8080/a>; rel=next, </fw2/node1:8080/b>"),
        (b"Set-Cookie: a=b; Path=/x", b"Set-Cookie: a=b; Path=/fw2/node1:8080/x"),
    ],
)
def test_fields_that_hold_addresses_are_rewritten(line: bytes, written: bytes) -> None:
    assert written in _outward(CUT, line)


@pytest.mark.parametrize(
    ("cookie", "path"),
    [(b"a=b", b"/node/node1/8080/"), (b"a=b; Path=/", b"/node/node1/8080/"), (b"a=b; path=/x; PATH=/node/node1/8080/y",
     b"/node/node1/8080/y"), (b"a=b; Path=/node/node1/80801", b"/node/node1/8080/")],
)  # fmt: skip
def test_a_cookie_of_an_application_that_knows_its_prefix_stays_under_it(cookie: bytes, path: bytes) -> None:
    assert b"Set-Cookie: a=b; Path=" + path in _outward(KEPT, b"Set-Cookie: " + cookie)


def test_reserved_cookies_do_not_pass() -> None:
    for place in (OWN, CUT, KEPT):
        assert not any(b"Set-Cookie" in line for line in _outward(place, b"Set-Cookie: __Host-Http-supercloud=x"))


def test_a_length_is_not_dropped_because_a_connection_option_names_it() -> None:
    assert b"Content-Length: 0" in _outward(OWN, b"Connection: content-length", b"Content-Length: 0")


def test_service_worker_allowed_passes_on_an_own_origin_only() -> None:
    line = b"Service-Worker-Allowed: /"
    assert line in _outward(OWN, line)
    assert line not in _outward(CUT, line)


@pytest.mark.parametrize(
    ("fields", "said"),
    [(b"", [b"token abc"]), (b"Authorization: token mine\r\n", [b"token mine"])],
)
def test_what_was_handed_over_is_for_requests_without_such_a_field(fields: bytes, said: list[bytes]) -> None:
    head = parse_request(b"GET / HTTP/1.1\r\nHost: portal.test\r\n" + fields + b"\r\n")
    told = inward_fields(head, OWN, login="alice", address="192.0.2.7", via=b"1.1 me", handed=b"token abc")
    found = [line.partition(b": ")[2] for line in told.split(b"\r\n") if line.lower().startswith(b"authorization:")]
    assert found == said


def test_a_forwards_own_credential_goes_before_what_was_handed_over() -> None:
    forward = Forward("tb", Reservation(1, 2, 3, 4, 5, 6), APPLICATION, authorization=b"Basic YTpi")
    head = parse_request(b"GET / HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    place = Place(Origin("tb.fn.portal.test", forward="tb"), APPLICATION, forward=forward)
    told = inward_fields(head, place, login="alice", address="192.0.2.7", via=b"1.1 me", handed=b"token abc")
    assert b"Authorization: Basic YTpi\r\n" in told
    assert b"abc" not in told
