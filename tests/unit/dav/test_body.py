"""A body in blocks."""

from __future__ import annotations

import io
from typing import Any

import pytest

from supercloud.dav.body import BLOCK, Body, CutShort
from tests.fakes.wsgi import Broken

BYTES = bytes(range(256)) * 4096


def whole(body: Body) -> bytes:
    return b"".join(bytes(block) for block in body.blocks())


@pytest.mark.parametrize("framing", [{"CONTENT_LENGTH": str(len(BYTES))}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_a_body_comes_in_bounded_blocks(framing: dict[str, str]) -> None:
    body = Body({"wsgi.input": io.BytesIO(BYTES), **framing})

    blocks = [bytes(block) for block in body.blocks()]

    assert b"".join(blocks) == BYTES
    assert [len(block) for block in blocks] == [BLOCK] * 4
    assert body.received == len(BYTES)


def test_what_came_is_handed_on_before_more_is_waited_for() -> None:
    class Slow(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            buffer[:1] = b"x"
            return 1

    body = Body({"wsgi.input": io.BufferedReader(Slow()), "HTTP_TRANSFER_ENCODING": "chunked"})

    assert bytes(next(body.blocks())) == b"x"


@pytest.mark.parametrize("error", [None, ConnectionResetError, TimeoutError])
def test_a_body_that_is_cut_short_is_not_a_whole_one(error: type[OSError] | None) -> None:
    body = Body({"wsgi.input": io.BufferedReader(Broken(b"abc", error)), "CONTENT_LENGTH": "10"})

    with pytest.raises(CutShort):
        whole(body)
    assert body.received == 3


def test_a_chunked_body_that_breaks_is_not_a_whole_one() -> None:
    source = io.BufferedReader(Broken(b"abc", ConnectionResetError))

    with pytest.raises(CutShort):
        whole(Body({"wsgi.input": source, "HTTP_TRANSFER_ENCODING": "chunked"}))


def test_without_a_length_there_is_no_body() -> None:
    assert whole(Body({"wsgi.input": io.BytesIO()})) == b""
    assert whole(Body({"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": ""})) == b""
