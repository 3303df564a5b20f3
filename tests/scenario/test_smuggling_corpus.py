"""Named attacks on framing, fields and paths, each through the whole front.

A refused one reaches no application; an accepted one reaches it as exactly one request, as h11 reads it. An attack in a
body is seen only after its head went on: then the application gets no whole request, and its connection is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import h11
import pytest

from supercloud.upstream.http11 import MAX_HEAD, MAX_INTERIM
from tests.fakes.portal import (
    OK,
    ORIGIN,
    TOGETHER,
    Browser,
    FakePortal,
    accept,
    get,
    requests_in,
    websocket_request,
)

_HOST = b"Host: " + ORIGIN.encode() + b"\r\n"
_TE = b"Transfer-Encoding: "


def _with(*lines: bytes, body: bytes = b"", start: bytes = b"POST / HTTP/1.1") -> bytes:
    return start + b"\r\n" + _HOST + b"".join(line + b"\r\n" for line in lines) + b"COOKIE\r\n" + body


def _line(start: bytes) -> bytes:
    return _with(start=start)


def _host(*lines: bytes, start: bytes = b"GET / HTTP/1.1") -> bytes:
    return start + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"COOKIE\r\n"


_CHUNKS = b"0\r\n\r\n"
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

REFUSED = {
    "CL.TE": (400, _with(b"Content-Length: 6", _TE + b"chunked", body=_CHUNKS + b"G")),
    "TE.CL": (400, _with(_TE + b"chunked", b"Content-Length: 3", body=b"1\r\nA\r\n" + _CHUNKS)),
    "CL 0 and TE": (400, _with(b"Content-Length: 0", _TE + b"chunked", body=_CHUNKS)),
    "TE chunked, identity": (400, _with(_TE + b"chunked, identity", body=_CHUNKS)),
    "TE gzip, chunked": (400, _with(_TE + b"gzip, chunked", body=_CHUNKS)),
    "TE chunked, chunked": (400, _with(_TE + b"chunked, chunked", body=_CHUNKS)),
    "TE identity": (400, _with(_TE + b"identity", body=_CHUNKS)),
    "TE xchunked": (400, _with(_TE + b"xchunked", body=_CHUNKS)),
    "TE chunkedx": (400, _with(_TE + b"chunkedx", body=_CHUNKS)),
    "TE chunked with a parameter": (400, _with(_TE + b"chunked;q=1", body=_CHUNKS)),
    "TE quoted": (400, _with(_TE + b'"chunked"', body=_CHUNKS)),
    "TE with a comma in front": (400, _with(_TE + b",chunked", body=_CHUNKS)),
    "TE with a vertical tab": (400, _with(_TE + b"\x0bchunked", body=_CHUNKS)),
    "TE with a form feed": (400, _with(_TE + b"chunked\x0c", body=_CHUNKS)),
    "TE with a NUL": (400, _with(_TE + b"chunked\x00", body=_CHUNKS)),
    "TE with a no-break space": (400, _with(_TE + b"chunked\xa0", body=_CHUNKS)),
    "TE empty": (400, _with(b"Transfer-Encoding:", body=_CHUNKS)),
    "TE twice": (400, _with(_TE + b"chunked", _TE + b"identity", body=_CHUNKS)),
    "TE twice, both chunked": (400, _with(_TE + b"chunked", _TE + b"chunked", body=_CHUNKS)),
    "TE folded": (400, _with(b"Transfer-Encoding:\r\n chunked", body=_CHUNKS)),
    "TE with a space before the colon": (400, _with(b"Transfer-Encoding : chunked", body=_CHUNKS)),
    "TE with a tab before the colon": (400, _with(b"Transfer-Encoding\t: chunked", body=_CHUNKS)),
    "TE with an underscore": (400, _with(b"Transfer_Encoding: chunked", body=_CHUNKS)),
    "TE behind a bare LF": (400, _with(b"X: y\nTransfer-Encoding: chunked", body=_CHUNKS)),
    "TE behind a bare CR": (400, _with(b"X: y\rTransfer-Encoding: chunked", body=_CHUNKS)),
    "TE in HTTP/1.0": (400, _with(_TE + b"chunked", start=b"POST / HTTP/1.0", body=_CHUNKS)),
    "CL with a plus": (400, _with(b"Content-Length: +3", body=b"abc")),
    "CL with a minus": (400, _with(b"Content-Length: -1", body=b"abc")),
    "CL in hexadecimal": (400, _with(b"Content-Length: 0x3", body=b"abc")),
    "CL with a space inside": (400, _with(b"Content-Length: 3 3", body=b"abc")),
    "CL as a list": (400, _with(b"Content-Length: 3, 3", body=b"abc")),
    "CL as a list with nothing": (400, _with(b"Content-Length: 3,", body=b"abc")),
    "CL with an underscore inside": (400, _with(b"Content-Length: 1_0", body=b"abc")),
    "CL in other digits": (400, _with("Content-Length: ٣".encode(), body=b"abc")),
    "CL with a point": (400, _with(b"Content-Length: 3.0", body=b"abc")),
    "CL empty": (400, _with(b"Content-Length:", body=b"abc")),
    "CL of 20 digits": (400, _with(b"Content-Length: 18446744073709551619", body=b"abc")),
    "CL twice, equal": (400, _with(b"Content-Length: 3", b"Content-Length: 3", body=b"abc")),
    "CL twice, 0 first": (400, _with(b"Content-Length: 0", b"Content-Length: 3", body=b"abc")),
    "CL twice, different": (400, _with(b"Content-Length: 3", b"content-length: 4", body=b"abc")),
    "CL with a space before the colon": (400, _with(b"Content-Length : 3", body=b"abc")),
    "bare LF after the request line": (400, _with(start=b"GET / HTTP/1.1\nX: y")),
    "bare LF in a field": (400, _with(b"X: y\nY: z")),
    "bare LF before the empty line": (400, _with(b"X: y\n")),
    "bare LF only": (400, b"GET / HTTP/1.1\n" + _HOST.replace(b"\r", b"") + b"\n"),
    "bare CR in a value": (400, _with(b"X: y\rz")),
    "bare CR in the request line": (400, _line(b"GET /\r HTTP/1.1")),
    "bare LF before the request line": (400, _line(b"\nGET / HTTP/1.1")),
    "bare CR before the request line": (400, _line(b"\rGET / HTTP/1.1")),
    "bare LF before TRACE": (400, _line(b"\nTRACE / HTTP/1.1")),
    "bare LF before CONNECT": (400, _line(b"\nCONNECT node1:22 HTTP/1.1")),
    "bare LF behind an empty line in front": (400, b"\r\n" + _line(b"\nGET / HTTP/1.1")),
    "CR CR LF in front": (400, b"\r" + _line(b"\r\nGET / HTTP/1.1")),
    "LF CR in front": (400, _line(b"\n\rGET / HTTP/1.1")),
    "many bare LF in front": (400, _line(b"\n" * 50 + b"POST / HTTP/1.1")),
    "tab before the method": (400, _line(b"\tGET / HTTP/1.1")),
    "form feed before the method": (400, _line(b"\x0cGET / HTTP/1.1")),
    "byte order mark": (400, _line(b"\xef\xbb\xbfGET / HTTP/1.1")),
    "CR CR LF": (400, _with(b"X: y\r")),
    "obs-fold": (400, _with(b"X: y\r\n z")),
    "obs-fold with a tab": (400, _with(b"X: y\r\n\tz")),
    "space at the beginning of the first field": (400, b"GET / HTTP/1.1\r\n " + _HOST + b"COOKIE\r\n"),
    "space before the colon": (400, _with(b"X : y")),
    "empty field name": (400, _with(b": y")),
    "field without a colon": (400, _with(b"chunked")),
    "field name with a slash": (400, _with(b"X/Y: z")),
    "field name with a dot": (400, _with(b"X.Forwarded.User: root")),
    "field name with a NUL": (400, _with(b"X\x00: y")),
    "field name in UTF-8": (400, _with("X-Ü: y".encode())),
    "field name with an underscore": (400, _with(b"X_Forwarded_User: root")),
    "NUL in a value": (400, _with(b"X: y\x00z")),
    "DEL in a value": (400, _with(b"X: y\x7fz")),
    "escape in a value": (400, _with(b"X: \x1b[2J")),
    "no Host": (400, _host()),
    "no Host in HTTP/1.0": (400, _host(start=b"GET / HTTP/1.0")),
    "empty Host": (400, _host(b"Host:")),
    "Host twice": (400, _host(_HOST[:-2], _HOST[:-2])),
    "Host twice, different": (400, _host(_HOST[:-2], b"Host: evil.test")),
    "Host as a list": (400, _host(_HOST[:-2] + b", evil.test")),
    "Host with userinfo": (400, _host(b"Host: evil@" + ORIGIN.encode())),
    "Host with a space": (400, _host(_HOST[:-2] + b" evil.test")),
    "Host with a percent sign": (400, _host(b"Host: localhost-8080%2efh.portal.test")),
    "Host with a path": (400, _host(_HOST[:-2] + b"/x")),
    "Host with a NUL": (400, _host(_HOST[:-2] + b"\x00")),
    "Host in other letters": (400, _host("Host: pörtal.test".encode())),
    "Host with an empty port": (400, _host(_HOST[:-2] + b":")),
    "Host with a port of letters": (400, _host(_HOST[:-2] + b":https")),
    "Host with a space before the colon": (400, _host(b"Host : " + ORIGIN.encode())),
    "Host of another name": (421, _host(b"Host: evil.test")),
    "Host of another port": (421, _host(_HOST[:-2] + b":8443")),
    "Host that ends in ours": (421, _host(b"Host: evilportal.test")),
    "Host below an application": (421, _host(b"Host: x." + ORIGIN.encode())),
    "Host with a dot at its end": (421, _host(_HOST[:-2] + b".")),
    "Host by address": (421, _host(b"Host: [::1]")),
    "absolute target for another host": (400, _line(b"GET https://evil.test/ HTTP/1.1")),
    "absolute target with userinfo": (400, _line(b"GET https://x@" + ORIGIN.encode() + b"/ HTTP/1.1")),
    "absolute target with another port": (400, _line(b"GET https://" + ORIGIN.encode() + b":8443/ HTTP/1.1")),
    "absolute target of another scheme": (400, _line(b"GET ftp://" + ORIGIN.encode() + b"/ HTTP/1.1")),
    "authority as target": (400, _line(b"GET " + ORIGIN.encode() + b":443 HTTP/1.1")),
    "CONNECT": (405, _line(b"CONNECT " + ORIGIN.encode() + b":443 HTTP/1.1")),
    "CONNECT to another": (405, _line(b"CONNECT node1:22 HTTP/1.1")),
    "TRACE": (405, _line(b"TRACE / HTTP/1.1")),
    "asterisk for GET": (400, _line(b"GET * HTTP/1.1")),
    "fragment": (400, _line(b"GET /#x HTTP/1.1")),
    "fragment in an absolute target": (400, _line(b"GET https://" + ORIGIN.encode() + b"/#x HTTP/1.1")),
    "target without a slash": (400, _line(b"GET index.html HTTP/1.1")),
    "target in UTF-8": (400, _line("GET /ü HTTP/1.1".encode())),
    "target with a NUL": (400, _line(b"GET /\x00 HTTP/1.1")),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.2": (400, _line(b"GET / HTTP/1.2")),
    "HTTP/2.0": (400, _line(b"GET / HTTP/2.0")),
    "HTTP/1.10": (400, _line(b"GET / HTTP/1.10")),
    "http in small letters": (400, _line(b"GET / http/1.1")),
    "two spaces in the request line": (400, _line(b"GET  / HTTP/1.1")),
    "two spaces before the version": (400, _line(b"GET /  HTTP/1.1")),
    "tab in the request line": (400, _line(b"GET\t/ HTTP/1.1")),
    "space after the version": (400, _line(b"GET / HTTP/1.1 ")),
    "space in the target": (400, _line(b"GET /a b HTTP/1.1")),
    "space before the method": (400, _line(b" GET / HTTP/1.1")),
    "method in small letters": (400, _line(b"get / HTTP/1.1")),
    "unknown method": (400, _line(b"SMUGGLE / HTTP/1.1")),
    "a TLS handshake in the clear": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "two empty lines in front": (400, b"\r\n\r\n" + _line(b"GET / HTTP/1.1")),
    "upgrade with a length": (
        400, _with(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 3", body=b"abc")),
    "upgrade with chunks": (400, _with(b"Connection: upgrade", b"Upgrade: x", _TE + b"chunked", body=_CHUNKS)),
    "ours in Via": (508, _with(b"Via: 1.1 supercloud-test", start=b"GET / HTTP/1.1")),
    "ours in the second Via": (508, _with(b"Via: 1.0 a", b"Via: 1.1 b, 1.1 supercloud-test", start=b"GET / HTTP/1.1")),
}  # fmt: skip


def _send(portal: FakePortal, data: bytes) -> Browser:
    browser = portal.browser()
    browser.send(data.replace(b"COOKIE", portal.cookie(origin=ORIGIN)))
    return browser


@pytest.mark.parametrize("name", REFUSED)
def test_an_attack_is_refused_and_reaches_nobody(portal: FakePortal, name: str) -> None:
    status, data = REFUSED[name]
    browser = _send(portal, data)
    if not browser.received:
        portal.settle(16)
    assert browser.status == status or (name == "HTTP/0.9" and browser.status == 408)
    assert portal.dialer.received == b""
    assert browser.received.count(b"HTTP/1.1 ") == 1
    if status == 400:
        assert browser.field(b"connection") == b"close"
        assert browser.is_closing
        browser.send(get(portal))
        portal.settle(1)
        assert portal.dialer.received == b""
        assert browser.received.count(b"HTTP/1.1 ") == 1


ACCEPTED = {
    "CL with leading zeros": (_with(b"Content-Length: 003", body=b"abc"), b"abc"),
    "CL with spaces around": (_with(b"Content-Length: \t 3 \t", body=b"abc"), b"abc"),
    "TE with spaces around": (_with(b"Transfer-Encoding: \t chunked ", body=b"3\r\nabc\r\n" + _CHUNKS), b"abc"),
    "TE in capitals": (_with(_TE + b"CHUNKED", body=b"3\r\nabc\r\n" + _CHUNKS), b"abc"),
    "chunk extension": (_with(_TE + b"chunked", body=b"3;a=b\r\nabc\r\n0;c\r\n\r\n"), b"abc"),
    "chunk size with leading zeros": (_with(_TE + b"chunked", body=b"003\r\nabc\r\n000\r\n\r\n"), b"abc"),
    "trailers that smuggle framing": (
        _with(
            _TE + b"chunked",
            body=b"3\r\nabc\r\n0\r\nHost: evil.test\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nX-Sum: 1\r\n\r\n",
        ),
        b"abc",
    ),
    "Connection that names content-length": (
        _with(b"Connection: keep-alive, content-length", b"Content-Length: 3", body=b"abc"),
        b"abc",
    ),
    "Connection that names transfer-encoding": (
        _with(b"Connection: transfer-encoding", _TE + b"chunked", body=b"3\r\nabc\r\n" + _CHUNKS),
        b"abc",
    ),
    "Connection that names host": (_with(b"Connection: host", start=b"GET / HTTP/1.1"), b""),
    "Connection that names x-forwarded-for": (_with(b"Connection: x-forwarded-for", start=b"GET / HTTP/1.1"), b""),
    "Connection that names x-forwarded-user": (_with(b"Connection: x-forwarded-user", start=b"GET / HTTP/1.1"), b""),
    "Connection that names cookie": (_with(b"Connection: cookie", start=b"GET / HTTP/1.1"), b""),
    "h2c upgrade": (
        _with(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__",
              start=b"GET / HTTP/1.1"),
        b"",
    ),
    "upgrade without its option": (_with(b"Upgrade: x", start=b"GET / HTTP/1.1"), b""),
    "an empty line in front": (b"\r\n" + _line(b"GET / HTTP/1.1"), b""),
    "absolute target for this host": (_line(b"GET https://" + ORIGIN.encode() + b"/x HTTP/1.1"), b""),
    "absolute target in capitals": (_line(b"GET HTTPS://" + ORIGIN.upper().encode() + b"/x HTTP/1.1"), b""),
    "absolute target without a path": (_line(b"GET https://" + ORIGIN.encode() + b"?q HTTP/1.1"), b""),
    "asterisk for OPTIONS": (_line(b"OPTIONS * HTTP/1.1"), b""),
    "Host in capitals": (_host(b"HOST: " + ORIGIN.upper().encode()), b""),
    "Host with the usual port": (_host(_HOST[:-2] + b":443"), b""),
    "Host with zeros in its port": (_host(_HOST[:-2] + b":00443"), b""),
    "path with backslashes": (_line(b"GET /..\\..\\x HTTP/1.1"), b""),
    "path with two slashes": (_line(b"GET //evil.test/ HTTP/1.1"), b""),
    "path that climbs": (_line(b"GET /../../.portal/ticket HTTP/1.1"), b""),
    "path with encoded line ends": (_line(b"GET /%0d%0aX:%20y HTTP/1.1"), b""),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted_reaches_the_application_as_one_request(portal: FakePortal, name: str) -> None:
    data, body = ACCEPTED[name]
    browser = _send(portal, data)
    [upstream] = portal.dialer
    [(request, got)] = requests_in(upstream.received)
    assert got == body
    fields = request.headers.raw_items()
    names = [name.lower() for name, _ in fields]
    assert [value for name, value in fields if name.lower() == b"host"] == [b"localhost:8080"]
    assert [value for name, value in fields if name.lower() == b"x-forwarded-user"] == [b"alice"]
    assert [value for name, value in fields if name.lower() == b"x-forwarded-for"] == [b"192.0.2.7"]
    assert b"__host-http-" not in upstream.received.lower()
    assert not {b"connection", b"upgrade", b"http2-settings"} & set(names)
    upstream.send(OK)
    assert browser.status == 200


BROKEN_BODIES = {
    "chunk size with a plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size that is negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "chunk size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a space in front": b" 3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a space behind": b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk size with an underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "chunk size over 60 bits": b"fffffffffffffffff\r\nabc",
    "chunk size of 32 bits and 3": b"0000000100000003\r\nabc\r\n0\r\n\r\n",
    "chunk size empty": b"\r\nabc\r\n0\r\n\r\n",
    "chunk size only an extension": b";a=b\r\nabc\r\n0\r\n\r\n",
    "chunk longer than its size": b"2\r\nabc\r\n0\r\n\r\n",
    "chunk shorter than its size": b"4\r\nabc\r\n0\r\n\r\n",
    "chunk that ends in LF": b"3\r\nabc\n0\r\n\r\n",
    "chunk that ends in CR": b"3\r\nabc\r0\r\n\r\n",
    "chunk that ends in two others": b"3\r\nabcXX0\r\n\r\n",
    "size line that ends in LF": b"3\nabc\r\n0\r\n\r\n",
    "size line that ends in CR": b"3\rabc\r\n0\r\n\r\n",
    "extension with LF": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "extension with CR": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "extension with NUL": b"3;a\x00\r\nabc\r\n0\r\n\r\n",
    "extension without an end": b"3;" + b"a" * 300,
    "trailer folded": b"0\r\nX: y\r\n z\r\n\r\n",
    "trailer with LF": b"0\r\nX: y\nY: z\r\n\r\n",
    "trailer with a space before the colon": b"0\r\nX : y\r\n\r\n",
    "trailer without a colon": b"0\r\nX\r\n\r\n",
    "trailers without an end": b"0\r\n" + b"Host: x\r\n" * 2000,
    "trailer without an end": b"0\r\nX: " + b"y" * 9000,
}


@pytest.mark.parametrize("name", BROKEN_BODIES)
def test_a_broken_body_never_becomes_a_whole_request(portal: FakePortal, name: str) -> None:
    browser = _send(portal, _with(_TE + b"chunked", body=BROKEN_BODIES[name] + _SMUGGLED))
    assert browser.status == 400
    assert browser.is_closing
    [upstream] = portal.dialer
    with pytest.raises((AssertionError, h11.RemoteProtocolError)):
        requests_in(upstream.received)
    assert b"/smuggled" not in upstream.received
    assert upstream.transport.aborted


def test_data_after_the_last_chunk_is_the_next_request_and_nothing_else(portal: FakePortal) -> None:
    browser = _send(portal, _with(_TE + b"chunked", body=b"0\r\n\r\nX" + _SMUGGLED))
    [upstream] = portal.dialer
    assert len(requests_in(upstream.take())) == 1
    upstream.send(OK)
    assert portal.dialer.received == b""
    assert browser.received.count(b"HTTP/1.1 200") == 1
    assert browser.received.count(b"HTTP/1.1 400") == 1
    assert browser.is_closing


def test_bytes_sent_ahead_of_an_upgrade_that_is_refused_are_no_request(portal: FakePortal) -> None:
    """RFC 9931: whoever may write a tunnel's first bytes must not thereby write a request."""
    browser = _send(portal, _with(b"Connection: upgrade", b"Upgrade: x", body=_SMUGGLED, start=b"GET / HTTP/1.1"))
    [upstream] = portal.dialer
    assert upstream.take().endswith(b"\r\n\r\n")
    upstream.send(OK)
    assert browser.status == 200
    assert browser.is_closing
    assert portal.dialer.received == b""


def test_a_smuggled_upgrade_to_http2_is_not_carried_even_if_the_application_agrees(portal: FakePortal) -> None:
    browser = _send(portal, ACCEPTED["h2c upgrade"][0])
    portal.dialer[0].send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI")
    assert browser.status == 502
    assert portal.dialer[0].transport.aborted


@pytest.mark.parametrize(
    "spelling",
    [
        b"X-Forwarded-User", b"x-forwarded-user", b"X-FORWARDED-HOST", b"X-Forwarded-For", b"X-Forwarded-Proto",
        b"X-Forwarded-Prefix", b"X-Forwarded-Groups", b"Remote-User", b"REMOTE-USER", b"X-Remote-User", b"Forwarded",
        b"X-Real-IP", b"X-Supercloud-Authorization", b"X-Auth-Request-Email", b"X-Original-URL", b"X-Rewrite-URL",
        b"X-Forwarded", b"X-Request-Id",
    ],
)  # fmt: skip
def test_what_only_the_portal_may_tell_is_never_believed_from_a_browser(portal: FakePortal, spelling: bytes) -> None:
    _send(portal, _with(spelling + b": evil", start=b"GET / HTTP/1.1"))
    [upstream] = portal.dialer
    assert len(requests_in(upstream.received)) == 1
    assert b"evil" not in upstream.received


NO_PATHS = [
    b"/fw2/..%2f", b"/fw2/a%3a1/", b"/fw2//", b"/fw2", b"/fw2/", b"/fw2/localhost:08080/", b"/fw2/localhost:0/",
    b"/fw2/localhost:8080%2f..", b"/node/localhost/8080%2f..", b"/rnode/localhost/8080%2f..", b"/node/../8080/",
    b"/fw2/local..host:8080/", b"/fw2/..:8080/", b"/fw2/.:8080/", b"/fw2/localhost.:8080/", b"/fw2/localhost:8080\\x",
    b"/fw2\\localhost:8080/", b"/fw2/localhost;x:8080/", b"/fw2/localhost:8080;x/", b"/fw2;x/localhost:8080/",
    b"/fw2/localhost:8080%00/", b"/fw2/localhost%00:8080/", b"/%66w2/localhost:8080/", b"//fw2/localhost:8080/",
    b"/fw2//localhost:8080/", b"/./fw2/localhost:8080/", b"/x/../fw2/localhost:8080/", b"/FW2/localhost:8080/",
    b"/fw2/localhost:80800/", b"/fw2/localhost:99999/", b"/fw2/localhost:+8080/", b"/fw2/localhost:8080:8080/",
    b"/fw2/evil@localhost:8080/", b"/fw2/localhost:8_080/", b"/fw2/localhost:%d9%a8/", b"/fw2/localhost:22/",
    b"/fw2/evil.test:8080/", b"/fw2/127.0.0.1:8080/", b"/fw2/[::1]:8080/", b"/fw2/[::ffff:127.0.0.1]:8080/",
    b"/fw2/[fe80::1%25lo]:8080/", b"/fw2/2130706433:8080/", b"/node/localhost:8080/", b"/node/localhost//8080/",
    b"/node/localhost/8080x/", b"/fw22/localhost:8080/", b"/fw2.localhost:8080/", b"/nodes/localhost/8080/",
]  # fmt: skip


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_trick_leads_nowhere(portal: FakePortal, path: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, path, origin=TOGETHER))
    assert browser.status == 404
    assert portal.dialer.dialled == []
    assert portal.owners.asked == []


@pytest.mark.parametrize("path", ["/fw2/٣:8080/".encode(), b"/fw2/localhost:8080/\x00"])
def test_a_path_of_other_bytes_is_refused(portal: FakePortal, path: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, path, origin=TOGETHER))
    assert browser.status == 400
    assert portal.dialer.dialled == []


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (b"/fw2/localhost:8080/", b"/"),
        (b"/fw2/LOCALHOST:8080/a/../b?x=//y", b"/a/../b?x=//y"),
        (b"/fw2/localhost:8080//evil.test/", b"//evil.test/"),
        (b"/rnode/localhost/8080/a%2fb", b"/a%2fb"),
        (b"/node/localhost/8080/a", b"/node/localhost/8080/a"),
        (b"/fw2/localhost:8080/../../logout", b"/../../logout"),
    ],
)
def test_what_follows_the_prefix_is_the_applications_own(portal: FakePortal, path: bytes, seen: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, path, origin=TOGETHER))
    [(request, _)] = requests_in(portal.dialer[0].received)
    assert request.target == seen


# What an application may answer with.

EVIL_RESPONSES = {
    "CL and TE": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "TE gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL with a plus": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "CL negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "CL twice, different": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "CL twice, equal": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "TE twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "LF before the status line": b"\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "an empty line before the status line": b"\r\n" + OK,
    "204 with CL and TE": b"HTTP/1.1 204 X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "bare LF in a value": b"HTTP/1.1 200 OK\r\nX: y\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nX: y\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: y\x00\r\nContent-Length: 0\r\n\r\n",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nevil",
    "a flood of 1xx": b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INTERIM + 1),
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * MAX_HEAD,
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", EVIL_RESPONSES)
def test_a_response_that_can_be_read_in_two_ways_is_not_passed_on(portal: FakePortal, name: str) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    [upstream] = portal.dialer
    upstream.send(EVIL_RESPONSES[name])
    final = b"HTTP/1.1" + browser.received.rpartition(b"HTTP/1.1")[2]
    assert final.startswith(b"HTTP/1.1 502 ")
    assert b"evil" not in browser.received
    assert b"Set-Cookie" not in browser.received
    assert upstream.transport.aborted


def test_two_responses_for_one_request_do_not_answer_the_next_one(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert browser.take().endswith(b"ok")
    assert portal.dialer[0].is_closing
    browser.send(get(portal))
    assert len(portal.dialer) == 2
    portal.dialer[1].send(OK)
    assert browser.take().endswith(b"ok")


def test_a_response_that_nobody_waits_for_ends_the_kept_connection(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    browser.take()
    browser.send(get(portal))
    assert len(portal.dialer) == 2
    portal.settle()
    assert b"evil" not in browser.received


@pytest.mark.parametrize("framing", [b"Content-Length: 4", b"Transfer-Encoding: chunked"])
def test_a_response_to_head_with_a_body_does_not_lose_step(portal: FakePortal, framing: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal).replace(b"GET", b"HEAD", 1))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\nevil")
    assert browser.status == 200
    assert b"evil" not in browser.take()
    assert portal.dialer[0].is_closing
    browser.send(get(portal))
    portal.dialer[1].send(OK)
    assert browser.take().endswith(b"ok")


_FRAMINGS = [b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n"]


@pytest.mark.parametrize("framing", _FRAMINGS)
@pytest.mark.parametrize("status", [b"100", b"102", b"103"])
def test_an_interim_response_says_nothing_of_a_body(portal: FakePortal, status: bytes, framing: bytes) -> None:
    """RFC 9110 section 8.6, RFC 9112 section 6.1: who believed it would take the next head for a body."""
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 " + status + b" X\r\nX: y\r\n" + framing + b"\r\n" + OK)
    early, _, final = browser.take().partition(b"\r\n\r\n")
    assert early.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nX: y" in early
    assert b"content-length" not in early.lower()
    assert b"transfer-encoding" not in early.lower()
    assert final.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")


@pytest.mark.parametrize("framing", _FRAMINGS)
def test_204_says_nothing_of_a_body_and_has_none(portal: FakePortal, framing: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 204 No Content\r\n" + framing + b"\r\nevil")
    assert browser.status == 204
    assert browser.field(b"content-length") is None
    assert browser.field(b"transfer-encoding") is None
    assert browser.take().endswith(b"\r\n\r\n")
    assert portal.dialer[0].is_closing
    browser.send(get(portal))
    portal.dialer[1].send(OK)
    assert browser.take().endswith(b"ok")


@pytest.mark.parametrize("status", [b"204", b"205"])
@pytest.mark.parametrize("framing", [b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_comes_late_answers_no_other_request(portal: FakePortal, status: bytes, framing: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 " + status + b" X\r\n" + framing + b"\r\n")
    browser.take()
    browser.send(get(portal))
    assert portal.dialer[0].is_closing
    assert len(portal.dialer) == 2


def test_an_application_that_answers_204_as_it_should_is_asked_again_on_the_same_connection(portal: FakePortal) -> None:
    browser = portal.browser()
    for framing in (b"", b"Content-Length: 0\r\n", b""):
        browser.send(get(portal))
        portal.dialer[0].send(b"HTTP/1.1 204 No Content\r\n" + framing + b"\r\n")
        assert browser.status == 204
        browser.take()
    assert len(portal.dialer) == 1


@pytest.mark.parametrize("framing", [*_FRAMINGS, b""])
def test_205_is_empty_and_says_so(portal: FakePortal, framing: bytes) -> None:
    """RFC 9110 section 15.3.6; it is framed like any other, and not everybody knows that it is empty."""
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 205 Reset Content\r\n" + framing + b"\r\n")
    portal.dialer[0].send(b"4\r\nevil\r\n0\r\n\r\n")
    assert browser.fields(b"content-length") == [b"0"]
    assert browser.fields(b"transfer-encoding") == []
    assert browser.take().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("framing", _FRAMINGS)
def test_304_may_tell_the_length_of_what_it_does_not_send(portal: FakePortal, framing: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n' + framing + b"\r\n")
    assert browser.status == 304
    assert browser.field(b"transfer-encoding") is None
    assert browser.take().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("framing", _FRAMINGS)
def test_101_says_nothing_of_a_body(portal: FakePortal, framing: bytes) -> None:
    answer = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n" + framing + b"\r\nfirst"
    browser = _send(portal, _with(b"Connection: upgrade", b"Upgrade: x", start=b"GET / HTTP/1.1"))
    portal.dialer[0].send(answer)
    assert browser.status == 101
    assert browser.field(b"content-length") is None
    assert browser.field(b"transfer-encoding") is None
    assert browser.take().endswith(b"\r\n\r\nfirst")


@pytest.mark.parametrize("framing", _FRAMINGS)
def test_nor_does_a_websockets_101(portal: FakePortal, framing: bytes) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal))
    portal.dialer[0].send(accept(portal.dialer[0].take(), framing))
    assert browser.status == 101
    assert browser.field(b"content-length") is None
    assert browser.field(b"transfer-encoding") is None


def test_connection_close_content_length_of_an_application_leaves_the_browser_a_framing(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok")
    judge = h11.Connection(h11.CLIENT)
    judge.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    judge.send(h11.EndOfMessage())
    judge.receive_data(browser.received)
    assert [type(event) for event in _events(judge)] == [h11.Response, h11.Data, h11.EndOfMessage]


def _events(judge: h11.Connection) -> Iterator[h11.Event]:
    while not isinstance(event := judge.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Event), "not whole"
        yield event
    yield event


@pytest.mark.parametrize(
    "location",
    [b"/x%0d%0aSet-Cookie:%20a=b", b"https://localhost:8080/x", b"//localhost:8080/\\evil.test", b"/\\evil.test"],
)
def test_a_location_adds_no_field(portal: FakePortal, location: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/fw2/localhost:8080/", origin=TOGETHER))
    portal.dialer[0].send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")
    assert browser.fields(b"set-cookie") == []
    assert len(browser.fields(b"location")) == 1


@pytest.mark.parametrize(
    "path",
    [b"/%0d%0aSet-Cookie:a=b", b"/login?next=%0d%0aSet-Cookie:a=b", b"/login?next=//evil.test", b"/login?next=/\\evil"],
)
def test_a_redirect_made_from_a_path_adds_no_field_and_leads_nowhere_else(portal: FakePortal, path: bytes) -> None:
    browser = portal.browser()
    page = b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: none\r\n"
    browser.send(b"GET " + path + b" HTTP/1.1\r\n" + _HOST + page + b"\r\n")
    assert browser.status == 303
    assert browser.field(b"location").startswith(b"https://portal.test/.portal/ticket?")
    assert not any(value.startswith(b"a=") for value in browser.fields(b"set-cookie"))


@pytest.mark.parametrize(
    "to",
    [
        "evil.test",
        "",
        "localhost-8080-u1001.fh.portal.test:x",
        "a:9" + "9" * 5000,
        "localhost-8080-u1001.fh.portal.test:٣",
    ],
)
def test_a_ticket_to_no_application_is_refused_and_not_a_mistake(portal: FakePortal, to: str) -> None:
    browser = portal.browser()
    browser.send(get(portal, f"/.portal/ticket?nonce={'n' * 43}&to={quote(to)}".encode(), origin="portal.test"))
    assert browser.status in (404, 421)


def test_the_heads_that_take_longest_to_refuse_take_no_time(portal: FakePortal) -> None:
    """A pattern that is tried anew from each byte takes half a minute for these 60 KB, before anybody signed in."""
    browser = portal.browser()
    browser.send(b"GET / HTTP/1.1\r\n" + b"_" * 60_000 + b"\r\n\r\n")
    assert browser.status == 400


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (b"Refresh: 0;x" + b" " * 120_000 + b"y", 200),
        (b"Link: <" + b" " * 120_000, 200),
        (b"Link: " + b"<" * 120_000, 502),
    ],
)
def test_the_fields_of_an_application_that_take_longest_to_rewrite_take_no_time(
    portal: FakePortal, field: bytes, status: int
) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/fw2/localhost:8080/", origin=TOGETHER))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + field + b"\r\n\r\n")
    assert browser.status == status


def test_a_trailer_that_takes_longest_to_read_takes_no_time(portal: FakePortal) -> None:
    line = b"X: y" + b" " * 8000 + b"z\r\n"
    _send(portal, _with(_TE + b"chunked", body=b"0\r\n" + line + b"\r\n"))
    assert len(requests_in(portal.dialer[0].received)) == 1
