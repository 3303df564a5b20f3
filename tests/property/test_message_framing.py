"""Bodies and heads: cut anywhere they read the same, and no bytes raise anything but the documented errors."""

from __future__ import annotations

import itertools
import re

import h11
from hypothesis import given
from hypothesis import strategies as st

from supercloud.errors import BadMessage, PortalError, Unreachable
from supercloud.message.body import Chunked, Malformed, Sized, chunk, last_chunk, reader_for
from supercloud.message.head import parse_like, parse_request, parse_response

cuts = st.lists(st.integers(0, 400), max_size=12)
payloads = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
trailers = st.lists(st.sampled_from([b"X: 1\r\n", b"Y: z z\r\n", b"Server-Timing: a\r\n"]), max_size=3).map(tuple)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({min(place, len(data)) for place in at} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def read(reader: object, parts: list[bytes]) -> tuple[bytes, bytes, bool, tuple[bytes, ...]]:
    got, behind = b"", b""
    for part in parts:
        if reader.is_done:
            behind += part
        else:
            payload, rest = reader.feed(part)
            got, behind = got + payload, behind + rest
    return got, behind, reader.is_done, tuple(name + b": " + value + b"\r\n" for _, name, value in reader.trailers)


@given(payloads, trailers, st.binary(max_size=20), cuts)
def test_a_chunked_body_cut_anywhere_reads_as_it_was_written(
    parts: list[bytes], lines: tuple[bytes, ...], behind: bytes, at: list[int]
) -> None:
    data = b"".join(map(chunk, parts)) + last_chunk(lines) + behind
    assert read(Chunked(), pieces(data, at)) == (b"".join(parts), behind, True, lines)


@given(st.binary(max_size=60), st.integers(0, 60), cuts)
def test_a_sized_body_cut_anywhere_ends_where_it_should(data: bytes, length: int, at: list[int]) -> None:
    got, behind, done, _ = read(Sized(length), pieces(data, at))
    assert (got, behind, done) == (data[:length], data[length:], len(data) >= length)


_alphabet = st.sampled_from([b"0", b"1", b"a", b"F", b"\r", b"\n", b"\r\n", b";", b" ", b"x", b":", b"X: y", b"\x00"])
noise = st.one_of(st.binary(max_size=80), st.lists(_alphabet, max_size=40).map(b"".join))


@given(noise, cuts)
def test_any_bytes_cut_anywhere_get_the_same_verdict(data: bytes, at: list[int]) -> None:
    def verdict(parts: list[bytes]) -> object:
        try:
            return read(Chunked(), parts)
        except Malformed:
            return Malformed

    whole, cut = verdict([data]), verdict(pieces(data, at))
    assert whole == cut


def _h11_reads(data: bytes) -> tuple[bytes, bytes] | None:
    judge = h11.Connection(h11.SERVER)
    judge.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    body = b""
    try:
        judge.next_event()
        while not isinstance(event := judge.next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                return None
            body += event.data
    except h11.RemoteProtocolError:
        return None
    return body, judge.trailing_data[0]


@given(noise)
def test_what_is_read_as_a_whole_chunked_body_h11_reads_as_the_same_one(data: bytes) -> None:
    try:
        got, behind, done, _ = read(Chunked(), [data])
    except Malformed:
        return
    if done:
        assert _h11_reads(data) == (got, behind)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.booleans()), max_size=5), cuts)
def test_chunks_that_h11_writes_are_read(parts: list[tuple[bytes, bool]], at: list[int]) -> None:
    writer = h11.Connection(h11.CLIENT)
    writer.send(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Transfer-Encoding", "chunked")]))
    data = b"".join(writer.send(h11.Data(data=part)) for part, _ in parts) + writer.send(h11.EndOfMessage())
    assert read(reader_for(-1), pieces(data, at))[0] == b"".join(part for part, _ in parts)


_head_bits = st.sampled_from(
    [b"GET ", b"POST ", b"/", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: a\r\n", b"Content-Length: 3\r\n", b"\r\n",
     b"Transfer-Encoding: chunked\r\n", b"Connection: upgrade\r\n", b"Upgrade: x\r\n", b"\n", b" ", b"\t", b"_: x\r\n",
     b"https://a/", b"\x00", b"\xff", b"X: y\r\n", b"Host", b":", b"*", b"CONNECT ", b"OPTIONS "]
)  # fmt: skip
heads = st.one_of(
    st.binary(max_size=100),
    st.lists(_head_bits, max_size=12).map(lambda bits: b"".join(bits) + b"\r\n\r\n"),
    st.lists(_head_bits, max_size=6).map(lambda bits: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(bits) + b"\r\n"),
)


@given(heads)
def test_any_request_head_is_read_or_refused_and_h11_agrees_with_what_is_read(raw: bytes) -> None:
    try:
        head = parse_request(raw)
    except BadMessage:
        return
    assert head.target.startswith(b"/")
    assert not any(b"\r" in part or b"\n" in part for field in head.fields for part in field)
    judge = h11.Connection(h11.SERVER)
    judge.receive_data(raw)
    event = judge.next_event()
    assert isinstance(event, h11.Request)
    assert [name for name, _ in event.headers] == [lower for lower, _, _ in head.fields]
    assert judge.trailing_data[0] == b"" or head.length == 0


_usual = b"GET /a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nCookie: a=b\r\nUser-Agent: c d\r\n\r\n"
_odd = st.sampled_from([b"\r", b"\n", b"\0", b"\t", b"\x0b", b"\x7f", b"\xff", b" ", b"\r\n", b"\r\n\t", b"_"])


@given(st.lists(st.tuples(st.one_of(st.just(0), st.integers(0, len(_usual) - 4)), _odd), min_size=1, max_size=3))
def test_no_letter_of_a_head_is_passed_on_that_was_not_judged(odd: list[tuple[int, bytes]]) -> None:
    """Its field names are all known, so that nothing but the request line is held against a grammar of ours."""
    raw = _usual
    for place, piece in odd:
        raw = raw[:place] + piece + raw[place:]
    try:
        head = parse_request(raw)
    except BadMessage:
        return
    assert re.fullmatch(rb"[A-Z]+", head.method)
    assert re.fullmatch(rb"/[!-~]*", head.target)
    for _, name, value in head.fields:
        assert re.fullmatch(rb"[A-Za-z-]+", name)
        assert re.fullmatch(rb"[\t -~\x80-\xff]*", value)


_response_bits = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 404 \r\n",
        b"HTTP/1.1 101 X\r\n",
        b"HTTP/1.1 304\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"X: y\r\n",
        b"Connection: close\r\n",
        b"\x00",
        b":",
    ]
)


@given(
    st.one_of(st.binary(max_size=80), st.lists(_response_bits, max_size=8).map(lambda bits: b"".join(bits) + b"\r\n"))
)
def test_any_response_head_is_read_or_refused(raw: bytes) -> None:
    try:
        head = parse_response(raw)
    except Unreachable:
        return
    assert isinstance(head.length, int)
    assert not any(b"\r" in part or b"\n" in part for field in head.fields for part in field)
    assert not issubclass(Unreachable, BadMessage)
    assert issubclass(Unreachable, PortalError)


_lines = st.lists(
    st.sampled_from([b"Accept: */*", b"Cookie: a=b", b"Connection: close", b"Content-Length: 3", b"X-A: b", b"Via: x"]),
    max_size=4,
    unique=True,
)
_targets = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=12).map(lambda text: b"/" + text.encode("latin-1")),
    st.sampled_from([b"*", b"/x HTTP/1.1\r\nX: y", b"http://portal.test/x", b"/%2e%2e/", b"//evil.test/"]),
)


@given(st.sampled_from([b"GET", b"POST", b"OPTIONS"]), _lines, _targets, st.sampled_from([b"GET", b"HEAD"]))
def test_a_head_like_the_last_one_reads_as_if_it_were_the_first(
    method: bytes, lines: list[bytes], target: bytes, other: bytes
) -> None:
    rest = b" HTTP/1.1\r\nHost: portal.test\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    last = parse_request(method + b" /last" + rest)
    for raw in (method + b" " + target + rest, other + b" " + target + rest):
        like = parse_like(raw, last)
        if like is not None:
            assert like == parse_request(raw)
            assert like.fields is last.fields
