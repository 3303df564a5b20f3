from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from supercloud.rewrite.body import MEMBERS, SLICE, Body, Css, Manifest
from supercloud.rewrite.coding import BadCoding, Gzip, Plain, decoder_for
from supercloud.rewrite.html import HtmlRewriter
from supercloud.rewrite.json_text import MAX_JSON
from tests.unit.rewrite.places import LINKS, P


def _rest(body: Body) -> bytes:
    out, has_more = b"", True
    while has_more:
        part, has_more = body.step()
        out += part
    return out


def test_a_body_is_rewritten_a_slice_at_a_time() -> None:
    body = Body(Plain(), HtmlRewriter(LINKS), None)
    body.take(b"<p>" + b"x" * (2 * SLICE))
    out, has_more = body.step()
    assert (len(out), has_more) == (SLICE, True)
    body.finish()
    assert len(_rest(body)) == SLICE + 3
    assert body.is_done


def test_the_last_slice_and_the_end_are_one_step() -> None:
    body = Body(Plain(), HtmlRewriter(LINKS), None)
    body.take(b"<a href=/x>")
    body.finish()
    assert body.step() == (f'<a href="{P}/x">'.encode(), False)
    assert body.is_done


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
@pytest.mark.parametrize("piece", [1, 100])
def test_utf_16_passes_however_its_mark_is_cut(mark: bytes, piece: int) -> None:
    data = mark + b"<a href=/x>"
    body, out = Body(Plain(), HtmlRewriter(LINKS), None), b""
    for at in range(0, len(data), piece):
        body.take(data[at : at + piece])
        out += _rest(body)
    body.finish()
    assert out + _rest(body) == data


@pytest.mark.parametrize("data", [b"", b"\xff"])
def test_a_body_that_is_hardly_there_ends(data: bytes) -> None:
    body = Body(Plain(), Css(LINKS), None)
    if data:
        body.take(data)
    body.finish()
    assert body.step() == (data, False)


def test_an_empty_body_is_in_any_coding() -> None:
    decoder = decoder_for(b"gzip")
    assert decoder is not None
    body = Body(decoder, Css(LINKS), None)
    body.finish()
    assert body.step() == (b"", False)
    assert body.is_done


def test_a_coded_body_that_is_cut_short_does_not_end() -> None:
    decoder = decoder_for(b"gzip")
    assert decoder is not None
    body = Body(decoder, Css(LINKS), None)
    body.take(gzip.compress(b"a{}")[:-2])
    body.finish()
    with pytest.raises(BadCoding):
        _rest(body)


@pytest.mark.parametrize(("coding", "encode"), [(b"gzip", gzip.compress)])
@pytest.mark.parametrize("content", [b"", b" "])
def test_very_many_small_members_are_read_a_few_at_a_time(
    coding: bytes, encode: Callable[[bytes], bytes], content: bytes
) -> None:
    decoder = decoder_for(coding)
    assert decoder is not None
    body = Body(decoder, Css(LINKS), None)
    body.take(encode(content) * 3000 + encode(b"a{}"))
    body.finish()
    steps, out = 1, b""
    while not body.is_done:
        part, has_more = body.step()
        out, steps = out + part, steps + 1
        assert has_more is not body.is_done

    assert out == content * 3000 + b"a{}"
    assert steps > 3000 / MEMBERS


def test_what_an_encoder_holds_leaves_once() -> None:
    body = Body(Plain(), Css(LINKS), Gzip())
    assert body.flush() == b""
    body.take(b"a{b:url(/x)}")
    out = _rest(body) + body.flush()
    assert body.flush() == b""
    body.finish()
    assert gzip.decompress(out + _rest(body)) == f"a{{b:url({P}/x)}}".encode()


def test_a_manifest_is_rewritten_whole() -> None:
    manifest = Manifest(LINKS)
    assert manifest.feed(b'{"start_url": "/') == b""
    assert manifest.feed(b'"}') + manifest.end() == f'{{"start_url": "{P}/"}}'.encode()


def test_a_manifest_that_is_too_long_for_one_passes() -> None:
    manifest, data = Manifest(LINKS), b'{"start_url": "/"}'.ljust(MAX_JSON + 1)
    assert manifest.feed(data) + manifest.feed(b"/") + manifest.end() == data + b"/"
