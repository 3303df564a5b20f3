from __future__ import annotations

import pytest

from supercloud.message.head import CHUNKED, parse_request, parse_response
from supercloud.rewrite.response import Responses, kept_trailers
from tests.unit.rewrite.places import LINKS


def _responses(*lines: bytes, method: bytes = b"GET") -> Responses:
    raw = method + b" / HTTP/1.1\r\nHost: x\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return Responses(LINKS, parse_request(raw))


def _head(*lines: bytes, status: int = 200):  # type: ignore[no-untyped-def]
    raw = b"HTTP/1.1 %d X\r\n" % status + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    return parse_response(raw)


@pytest.mark.parametrize("kind", [b"text/html", b"TEXT/HTML;charset=UTF-8", b"text/css", b"application/manifest+json"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_documents_with_links_are_rewritten(kind: bytes, status: int) -> None:
    head = _head(b"Content-Type: " + kind, b"Content-Length: 5", status=status)
    rewritten = _responses()(head)
    assert rewritten is not None
    assert rewritten.head.length == CHUNKED
    assert rewritten.head.get(b"content-length") is None
    assert rewritten.head.raw != head.raw


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "iso-8859-15", "windows-1252", "us-ascii", '"koi8-r"', "euc-jp"])
def test_character_sets_in_which_ascii_is_itself_are_read(charset: str) -> None:
    assert _responses()(_head(f"Content-Type: text/html; charset={charset}".encode())) is not None


@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "utf-7", "iso-2022-jp", "shift_jis", "gb18030", "big5", "x"])
def test_others_are_not(charset: str) -> None:
    assert _responses()(_head(f"Content-Type: text/html; charset={charset}".encode())) is None


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"Content-Type: text/plain",),
        (b"Content-Type: text/html", b"Content-Range: bytes 0-1/2"),
        (b"Content-Type: text/html", b"Content-Disposition: Attachment; filename=x"),
        (b"Content-Type: text/html", b"Cache-Control: public, no-transform"),
    ],
)
def test_what_is_not_to_be_changed_is_not_and_is_remembered(lines: tuple[bytes, ...]) -> None:
    responses, head = _responses(), _head(*lines)
    assert responses(head) is None
    assert responses.passed is head


@pytest.mark.parametrize("status", [204, 205, 206, 304])
def test_a_part_or_nothing_is_not_rewritten(status: int) -> None:
    assert _responses()(_head(b"Content-Type: text/html", status=status)) is None


@pytest.mark.parametrize(("takes", "coding"), [(b"gzip, br", b"gzip"), (b"br", None)])
def test_what_came_coded_is_coded_anew_for_who_takes_that(takes: bytes, coding: bytes | None) -> None:
    rewritten = _responses(b"Accept-Encoding: " + takes)(_head(b"Content-Type: text/html", b"Content-Encoding: gzip"))
    assert rewritten is not None
    assert rewritten.head.get(b"content-encoding") == coding


def test_what_came_plain_stays_so() -> None:
    rewritten = _responses(b"Accept-Encoding: gzip")(_head(b"Content-Type: text/html"))
    assert rewritten is not None
    assert rewritten.head.get(b"content-encoding") is None


def test_a_head_alone_has_no_body() -> None:
    rewritten = _responses(method=b"HEAD")(_head(b"Content-Type: text/html", b"Content-Length: 5", b'ETag: "x"'))
    assert rewritten is not None
    assert (rewritten.head.length, rewritten.head.get(b"etag"), rewritten.body) == (0, b'W/"x"', None)


def test_digests_of_bytes_that_nobody_gets_are_dropped() -> None:
    assert kept_trailers((b"Digest: x", b"X: y", b"ETag: z", b"Content-MD5: a")) == [b"X: y"]
