from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest

from supercloud.rewrite.coding import BadCoding, Decoder, Gzip, decoder_for

_TEXT = b"some text, " * 5000


def _raw(data: bytes) -> bytes:
    writer = zlib.compressobj(wbits=-15)
    return writer.compress(data) + writer.flush()


_CODINGS: list[tuple[bytes, Callable[[bytes], bytes]]] = [
    (b"", bytes),
    (b"identity", bytes),
    (b"gzip", gzip.compress),
    (b"x-gzip", gzip.compress),
    (b"deflate", zlib.compress),
    (b"deflate", _raw),
]


def _made(coding: bytes) -> Decoder:
    decoder = decoder_for(coding)
    assert decoder is not None
    return decoder


def _all(decoder: Decoder, data: bytes, piece: int, most: int) -> bytes:
    out = b""
    for at in range(0, len(data), piece):
        decoder.feed(data[at : at + piece])
        while (read := decoder.read(most)) or decoder.is_between:
            out += read
    return out


@pytest.mark.parametrize(("coding", "encode"), _CODINGS)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_every_coding_is_undone_however_it_is_cut(coding: bytes, encode: Callable[[bytes], bytes], piece: int) -> None:
    decoder = _made(coding)
    assert _all(decoder, encode(_TEXT), piece, 1000) == _TEXT
    assert decoder.is_complete


@pytest.mark.parametrize(("coding", "encode"), [one for one in _CODINGS if one[0] == b"gzip"])
def test_several_members_are_one_body(coding: bytes, encode: Callable[[bytes], bytes]) -> None:
    decoder = _made(coding)
    assert _all(decoder, encode(b"one ") + encode(b"two"), 5, 1000) == b"one two"
    assert decoder.is_complete


@pytest.mark.parametrize(("coding", "encode"), [one for one in _CODINGS if one[0] == b"gzip"])
def test_very_many_members_that_hold_nothing_are_passed_over(coding: bytes, encode: Callable[[bytes], bytes]) -> None:
    decoder = _made(coding)
    assert _all(decoder, encode(b"") * 3000 + encode(b"x"), 100_000, 1000) == b"x"
    assert decoder.is_complete


@pytest.mark.parametrize(("coding", "encode"), [one for one in _CODINGS if one[0] not in (b"", b"identity")])
def test_no_more_is_unpacked_than_is_asked_for(coding: bytes, encode: Callable[[bytes], bytes]) -> None:
    decoder = _made(coding)
    decoder.feed(encode(bytes(20_000_000)))
    assert 0 < len(decoder.read(16_384)) <= 4 * 16_384


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_garbage_is_told(coding: bytes) -> None:
    decoder = _made(coding)
    decoder.feed(b"\xff" * 200)
    with pytest.raises(BadCoding):
        while decoder.read(100):
            pass


@pytest.mark.parametrize(("coding", "encode"), [one for one in _CODINGS if one[0] not in (b"", b"identity")])
def test_what_is_cut_short_is_not_complete(coding: bytes, encode: Callable[[bytes], bytes]) -> None:
    decoder = _made(coding)
    _all(decoder, encode(_TEXT)[:-3], 1000, 1000)
    assert not decoder.is_complete


def test_padding_behind_a_member_is_passed_over() -> None:
    assert _all(_made(b"gzip"), gzip.compress(b"x") + bytes(20), 100, 100) == b"x"


def test_codings_that_are_not_known_are_nobodys() -> None:
    assert decoder_for(b"compress") is None
    assert decoder_for(b"gzip, br") is None


def test_what_is_coded_anew_can_be_shown_as_it_comes() -> None:
    writer, reader = Gzip(), zlib.decompressobj(31)
    assert reader.decompress(writer.write(b"first") + writer.flush()) == b"first"
    assert reader.decompress(writer.write(b" last") + writer.end()) == b" last"
    assert reader.eof
