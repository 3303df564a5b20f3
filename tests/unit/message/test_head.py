from __future__ import annotations

import pytest

from supercloud.errors import BadMessage, HeadTooLarge, Unreachable
from supercloud.message.head import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead, parse_request, parse_response


def _request(*lines: bytes, start: bytes = b"GET /a?b HTTP/1.1", host: bytes = b"Host: x") -> RequestHead:
    return parse_request(b"\r\n".join([start, host, *lines, b"", b""]))


def _response(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> ResponseHead:
    return parse_response(b"\r\n".join([start, *lines, b"", b""]), method=method)


def test_fields_keep_their_order_and_repeats() -> None:
    head = _request(b"A: 1", b"b: \t2 ", b"a:3")
    assert head.fields[1:] == [(b"a", b"A", b"1"), (b"b", b"b", b"2"), (b"a", b"a", b"3")]
    assert head.get(b"a") == b"1"
    assert head.get_all(b"a") == [b"1", b"3"]
    assert head.get(b"c") is None


def test_the_target_and_its_path() -> None:
    head = _request()
    assert (head.method, head.target, head.path, head.host) == (b"GET", b"/a?b", b"/a", b"x")


@pytest.mark.parametrize(
    ("target", "expected"),
    [(b"http://X/a", b"/a"), (b"https://x", b"/"), (b"https://x?q", b"/?q"), (b"HTTPS://x/", b"/"), (b"//a", b"//a")],
)
def test_an_absolute_target_for_this_host_becomes_its_path(target: bytes, expected: bytes) -> None:
    assert _request(start=b"GET " + target + b" HTTP/1.1").target == expected


@pytest.mark.parametrize("target", [b"http://y/", b"http://x:1/", b"http:x", b"http:///a", b"x:80", b"a", b"*", b"/#"])
def test_any_other_target_is_refused(target: bytes) -> None:
    with pytest.raises(BadMessage):
        _request(start=b"GET " + target + b" HTTP/1.1")


@pytest.mark.parametrize(
    ("lines", "length"),
    [((), 0), ((b"Content-Length: 0",), 0), ((b"Content-Length: 7",), 7), ((b"Transfer-Encoding: Chunked",), CHUNKED)],
)
def test_the_length_of_a_request(lines: tuple[bytes, ...], length: int) -> None:
    assert _request(*lines).length == length


@pytest.mark.parametrize(
    ("start", "lines", "keeps"),
    [
        (b"GET / HTTP/1.1", (), True),
        (b"GET / HTTP/1.1", (b"Connection: x, Close",), False),
        (b"GET / HTTP/1.0", (), False),
        (b"GET / HTTP/1.0", (b"Connection: Keep-Alive",), True),
        (b"GET / HTTP/1.0", (b"Connection: keep-alive", b"Connection: close"), False),
    ],
)
def test_whether_a_connection_is_kept(start: bytes, lines: tuple[bytes, ...], keeps: bool) -> None:
    assert _request(*lines, start=start).keep_alive is keeps


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        ((b"Connection: upgrade", b"Upgrade: WebSocket"), b"websocket"),
        ((b"Connection: keep-alive, Upgrade", b"Upgrade: a/1"), b"a/1"),
        ((b"Upgrade: websocket",), b""),
        ((b"Connection: upgrade",), b""),
        ((b"Connection: upgrade", b"Upgrade: websocket, x"), b""),
        ((b"Connection: upgrade", b"Upgrade: h2c"), b""),
        ((b"Connection: upgrade", b"Upgrade: HTTP/2.0"), b""),
        ((b"Connection: upgrade", b"Upgrade: TLS/1.0"), b""),
    ],
)
def test_an_upgrade_is_one_protocol_that_is_asked_for_properly(lines: tuple[bytes, ...], upgrade: bytes) -> None:
    assert _request(*lines).upgrade == upgrade


def test_an_underscore_is_explained() -> None:
    with pytest.raises(BadMessage) as caught:
        _request(b"X_Y: z")
    assert "X_Y" in caught.value.public


def test_fields_at_the_limit_and_one_more() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 4
    assert len(parse_request(raw + b"\r\n", most_fields=5).fields) == 5
    with pytest.raises(HeadTooLarge):
        parse_request(raw + b"A: b\r\n\r\n", most_fields=5)


@pytest.mark.parametrize(
    ("lines", "method", "length"),
    [
        ((), b"GET", UNTIL_CLOSE),
        ((b"Content-Length: 5",), b"GET", 5),
        ((b"Transfer-Encoding: chunked",), b"GET", CHUNKED),
        ((b"Transfer-Encoding: chunked",), b"HEAD", 0),
        ((b"Content-Length: 5",), b"HEAD", 0),
    ],
)
def test_the_length_of_a_response(lines: tuple[bytes, ...], method: bytes, length: int) -> None:
    assert _response(*lines, method=method).length == length


@pytest.mark.parametrize("status", [b"204", b"304", b"100", b"103"])
def test_statuses_without_a_body(status: bytes) -> None:
    assert _response(start=b"HTTP/1.1 " + status + b" X").length == 0


def test_interim_responses_are_told_from_101() -> None:
    assert _response(start=b"HTTP/1.1 103 Early Hints").is_interim
    switched = _response(b"Connection: upgrade", b"Upgrade: x", start=b"HTTP/1.1 101 Switching Protocols")
    assert not switched.is_interim
    assert (switched.length, switched.upgrade) == (0, b"x")
    assert not _response().is_interim


@pytest.mark.parametrize(
    ("start", "lines", "keeps"),
    [
        (b"HTTP/1.1 200 OK", (b"Content-Length: 0",), True),
        (b"HTTP/1.1 200 OK", (), False),
        (b"HTTP/1.1 200 OK", (b"Content-Length: 0", b"Connection: close"), False),
        (b"HTTP/1.0 200 OK", (b"Content-Length: 0",), False),
        (b"HTTP/1.0 200 OK", (b"Content-Length: 0", b"Connection: keep-alive"), True),
        (b"HTTP/1.1 101 X", (b"Connection: upgrade", b"Upgrade: x"), False),
    ],
)
def test_whether_an_applications_connection_is_kept(start: bytes, lines: tuple[bytes, ...], keeps: bool) -> None:
    assert _response(*lines, start=start).keep_alive is keeps


def test_a_response_with_too_many_fields_is_refused() -> None:
    with pytest.raises(Unreachable):
        parse_response(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 3 + b"\r\n", most_fields=2)


def test_a_head_that_forgets_its_password_keeps_all_else() -> None:
    head = _request(b"Authorization: bAsIc YWxpY2U6aHVudGVyMg==", b"Depth: 0")
    assert head.shows_password
    head.forget_password()
    assert not head.shows_password
    assert [name for name, _, _ in head.fields] == [b"host", b"depth"]
    assert b"authorization" in head.first  # that somebody showed something
    assert b"YWxpY2U6aHVudGVyMg==" not in repr(head).encode()


def test_what_is_an_applications_password_is_left_to_it() -> None:
    head = _request(b"X-Supercloud-Authorization: Basic YTpi", b"Authorization: Basic YzpkZQ==")
    head.forget_password()
    assert head.fields[1:] == [(b"authorization", b"Authorization", b"Basic YzpkZQ==")]
