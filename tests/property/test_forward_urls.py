"""Whatever a forward's file holds, it is read as one place, as nothing, or refused in words."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from supercloud.routing.forward_url import Unreadable, read_forward

_PIECES = [
    *("http://", "HTTPS://", "node1", ":", "8080", "-8083", "/", "a", "@", "jim", "%0d", "%0a", "\r", "\n", "?x", "#"),
    *("[::1]", "[", "..", " ", "\0", "é", ",", "65536"),
]
texts = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join).map(str.encode)


@given(st.binary(max_size=1024) | texts)
def test_what_is_read_can_stand_in_a_request(data: bytes) -> None:
    try:
        found = read_forward(data)
    except Unreadable as error:
        assert str(error).isprintable()
        return
    if found is None:
        assert not data.strip()
        return
    assert re.fullmatch(r"[a-z0-9.:_-]+", found.application.node)
    assert 1 <= found.application.port <= 65535
    assert re.fullmatch(rb"(/[!-~]*)?", found.base)
    assert not found.base.endswith(b"/")
    assert re.fullmatch(rb"(Basic [A-Za-z0-9+/=]+)?", found.authorization)


@given(st.integers(1, 65535), st.from_regex(r"\A[a-z][a-z0-9-]{0,20}[a-z0-9]\Z"), st.lists(texts, max_size=3))
def test_the_last_line_counts_whatever_stands_before_it(port: int, node: str, before: list[bytes]) -> None:
    earlier = b"".join(line.replace(b"\n", b"").replace(b"\r", b"") + b"\n" for line in before if line.isascii())
    found = read_forward(earlier + f"http://{node}:{port}/\n".encode())
    assert found is not None
    assert (found.application.node, found.application.port) == (node, port)
