from __future__ import annotations

import os

import pytest

from supercloud.secret import SMALL, Secret, wipe


def fresh(size: int) -> bytes:
    """Bytes that nobody else has."""
    return b"x" + os.urandom(size - 1)


def test_a_secret_is_overwritten_where_it_is() -> None:
    secret = Secret(b"right")
    place = secret.data
    secret.wipe()
    assert place == bytes(5)
    assert "right" not in repr(Secret(b"right"))


@pytest.mark.parametrize("text", ["", "a", "ä", "€", "\U0001f600", "a€ä"])
def test_what_is_text_is_told(text: str) -> None:
    assert Secret(text.encode()).is_text


@pytest.mark.parametrize(
    "data", [b"\xff", b"a\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80"]
)
def test_what_is_no_text_is_told(data: bytes) -> None:
    assert not Secret(data).is_text


@pytest.mark.parametrize("size", [2, 100, SMALL])
def test_bytes_that_one_variable_has_are_overwritten(size: int) -> None:
    data = fresh(size)
    wipe(data)
    assert data == bytes(size)


def test_what_anybody_else_has_is_left_alone() -> None:
    data = fresh(100)
    before = bytearray(data)
    for other in ([data], {data: 1}, memoryview(data), (lambda: data)):
        wipe(data)
        assert data == before, other
    other = data
    wipe(data)
    assert data == before == other


def test_what_a_frame_below_has_is_left_alone() -> None:
    def inner(given: bytes) -> None:
        wipe(given)

    mine = fresh(100)
    before = bytearray(mine)
    inner(mine)
    assert mine == before


def test_what_everybody_has_is_left_alone() -> None:
    for data in (b"", b"x", b"a constant", bytes([7]), fresh(SMALL + 1)):
        before = bytearray(data)
        wipe(data)
        assert data == before


def test_other_kinds_of_bytes_are_left_alone() -> None:
    class Own(bytes):
        pass

    data = Own(fresh(100))
    before = bytearray(data)
    wipe(data)
    assert data == before
