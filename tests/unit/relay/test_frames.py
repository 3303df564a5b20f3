from __future__ import annotations

import pytest

from supercloud.relay.frames import CLOSE, PING, PONG, Frames, close_payload, control, mask


def test_a_frame_may_be_put_in_only_between_frames() -> None:
    frames = Frames(b"s")
    assert frames.feed(b"\x81\x03a") == (b"\x81\x03a", b"")
    assert not frames.is_between
    frames.feed(b"bc")
    assert frames.is_between


def test_a_header_that_is_not_complete_waits() -> None:
    frames = Frames(b"s")
    assert frames.feed(b"\x82\x7e\x01") == (b"", b"")
    assert frames.is_between
    assert frames.feed(b"\x00x") == (b"\x82\x7e\x01\x00x", b"")


def test_a_control_frame_passes_whole() -> None:
    frames = Frames(b"s")
    assert frames.feed(b"\x89\x02a") == (b"", b"")
    assert frames.feed(b"b") == (b"\x89\x02ab", b"")


@pytest.mark.parametrize("key", [None, b"abcd"])
def test_only_the_relays_own_pong_is_taken_out(key: bytes | None) -> None:
    frames = Frames(b"secret")
    other = control(PONG, b"other", key)
    assert frames.feed(control(PONG, b"secret", key) + other + control(PONG, b"secret", key)) == (other, b"")
    ping = control(PING, b"secret", key)
    assert frames.feed(ping) == (ping, b"")


def test_a_close_is_read() -> None:
    frames = Frames(b"s")
    frames.feed(control(CLOSE, close_payload(1001, "bye"), b"abcd"))
    assert frames.close == b"\x03\xe9bye"


def test_what_breaks_the_rules_passes_for_the_other_end_to_judge() -> None:
    frames = Frames(b"s")
    data = b"\x88\x7e\x00\x80" + b"x" * 128 + b"\xff\x00" + b"\x0b\x01a"
    assert frames.feed(data) == (data, b"")
    assert frames.is_between


def test_masking_twice_is_not_masking() -> None:
    assert mask(mask(b"hello", b"abcd"), b"abcd") == b"hello"


def test_a_control_frame_is_masked_toward_a_server_only() -> None:
    assert control(PING, b"x") == b"\x89\x01x"
    assert control(PING, b"x", b"\x00\x00\x00\x01") == b"\x89\x81\x00\x00\x00\x01x"
