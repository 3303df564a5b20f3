from __future__ import annotations

import pytest

from supercloud.message.body import (
    MAX_CHUNK_LINE,
    MAX_CHUNKS,
    MAX_TRAILER_LINES,
    MAX_TRAILERS,
    Chunked,
    Malformed,
    UntilClose,
    chunk,
    last_chunk,
)


def test_an_extension_is_dropped() -> None:
    assert Chunked().feed(b'3;a="b"\r\nabc\r\n') == (b"abc", b"")


def test_a_size_line_at_the_limit_and_one_more() -> None:
    assert Chunked().feed(b"1;" + b"x" * (MAX_CHUNK_LINE - 2) + b"\r\na") == (b"a", b"")
    with pytest.raises(Malformed):
        Chunked().feed(b"1;" + b"x" * (MAX_CHUNK_LINE - 1) + b"\r\na")


def test_a_size_line_without_an_end_is_not_kept_for_ever() -> None:
    reader = Chunked()
    reader.feed(b"1;" + b"x" * (MAX_CHUNK_LINE - 2))
    with pytest.raises(Malformed):
        reader.feed(b"x")


def test_trailers_at_the_limit_and_one_more() -> None:
    line = b"X: " + b"y" * (MAX_TRAILERS - 5)
    reader = Chunked()
    assert reader.feed(b"0\r\n" + line + b"\r\n\r\n") == (b"", b"")
    assert reader.trailers == ((b"x", b"X", line[3:]),)
    with pytest.raises(Malformed):
        Chunked().feed(b"0\r\n" + line + b"y\r\n\r\n")


def test_trailers_that_are_dropped_count_too() -> None:
    reader = Chunked()
    reader.feed(b"0\r\n")
    with pytest.raises(Malformed):
        for _ in range(MAX_TRAILERS):
            reader.feed(b"Cookie: a=b\r\n")


@pytest.mark.parametrize("name", [b"Host", b"content-length", b"Transfer-Encoding", b"Set-Cookie", b"Authorization"])
def test_what_must_not_be_a_trailer_is_dropped(name: bytes) -> None:
    reader = Chunked()
    reader.feed(b"0\r\n" + name + b": x\r\nX:y \r\n\r\n")
    assert reader.trailers == ((b"x", b"X", b"y"),)


def test_a_body_that_ends_with_the_connection_never_ends_by_itself() -> None:
    reader = UntilClose()
    assert reader.feed(b"0\r\n\r\n") == (b"0\r\n\r\n", b"")
    assert not reader.is_done


def test_what_is_written_is_what_is_read() -> None:
    assert chunk(b"abc") + last_chunk((b"X: y\r\n",)) == b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"


def test_so_many_chunks_are_read_at_once_and_the_rest_comes_back() -> None:
    body, data = Chunked(), b"1\r\nx\r\n" * (MAX_CHUNKS + 1000) + b"0\r\n\r\nbehind"
    payload, rest = body.feed(data)
    assert len(payload) == MAX_CHUNKS + 1
    assert not body.is_done
    more, behind = body.feed(rest)
    assert len(payload + more) == MAX_CHUNKS + 1000
    assert (body.is_done, behind) == (True, b"behind")


def test_a_hundred_trailers_are_read_and_no_more() -> None:
    fine, many = Chunked(), Chunked()
    assert fine.feed(b"0\r\n" + b"a:\r\n" * MAX_TRAILER_LINES + b"\r\n") == (b"", b"")
    assert fine.is_done
    with pytest.raises(Malformed):
        many.feed(b"0\r\n" + b"a:\r\n" * (MAX_TRAILER_LINES + 1) + b"\r\n")
