"""What one expression finds in a long field or path is what cutting it at each sign would find."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from supercloud.message.fields import RESERVED_COOKIE, cookie, without_reserved
from supercloud.message.paths import has_dots
from supercloud.relay.frames import mask

_PATHS = st.lists(
    st.sampled_from([b"/", b".", b"..", b"\\", b"%2e", b"%2E", b"%2f", b"%5C", b"%25", b"2e", b"%", b"a"]), max_size=12
).map(b"".join)
_COOKIES = st.lists(
    st.sampled_from([b";", b" ", b"\t", b"=", b"a", b"a=", b"a=1", b"aa=2", b"__Host-Http-a=3", b"__host-http-", b"x"]),
    max_size=14,
).map(b"".join)


@given(_PATHS)
def test_dots_are_found_as_by_decoding(path: bytes) -> None:
    segments = unquote_to_bytes(path).replace(b"\\", b"/").split(b"/")
    assert has_dots(path) is (b"." in segments or b".." in segments)


@given(_COOKIES)
def test_a_cookie_is_found_as_by_cutting(value: bytes) -> None:
    pairs = [pair.strip(b" \t") for pair in value.split(b";")]
    first = next((pair[2:] for pair in pairs if pair.startswith(b"a=")), None)
    assert cookie([(b"cookie", b"Cookie", value)], b"a") == first


@given(_COOKIES)
def test_reserved_cookies_go_as_by_cutting(value: bytes) -> None:
    if RESERVED_COOKIE in value.lower():
        kept = [one for one in value.split(b";") if not one.strip(b" \t").lower().startswith(RESERVED_COOKIE)]
        assert without_reserved(value) == b";".join(kept).strip(b" \t")
    else:
        assert without_reserved(value) == value


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4))
def test_masking_is_byte_by_byte(payload: bytes, key: bytes) -> None:
    assert mask(payload, key) == bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))
