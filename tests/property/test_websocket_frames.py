"""The follower of frames against wsproto: what was cut anywhere is passed on whole, and frames end where they do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from supercloud.relay.frames import CLOSE, PONG, Frames, control
from tests.property.test_message_framing import cuts, pieces

SECRET = b"8 secret"
KEY = b"\x01\x02\x03\x04"


@st.composite
def frames(draw: st.DrawFn) -> tuple[list[bytes], bool]:
    """Frames of one side as another implementation writes them, and whether that is a client."""
    is_client = draw(st.booleans())
    writer = FrameProtocol(client=is_client, extensions=[])
    made = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG]))
        if kind in (Opcode.TEXT, Opcode.BINARY):
            size = draw(st.sampled_from([0, 1, 125, 126, 300, 65535, 65536]))
            made.append(bytes(writer.send_data(b"p" * size if kind is Opcode.BINARY else "p" * size)))
        elif kind is Opcode.PING:
            made.append(bytes(writer.ping(draw(st.binary(max_size=125)))))
        else:
            made.append(bytes(writer.pong(draw(st.binary(max_size=125)))))
    return made, is_client


@given(frames(), cuts)
def test_frames_cut_anywhere_pass_as_they_are_and_end_where_they_end(
    made: tuple[list[bytes], bool], at: list[int]
) -> None:
    written, _ = made
    follower, data = Frames(SECRET), b"".join(written)
    ends = {0}
    for frame in written:
        ends.add(max(ends) + len(frame))
    passed = 0
    out = b""
    for part in pieces(data, at):
        out += follower.feed(part)[0]
        passed = len(out)
        assert not follower.is_between or passed in ends
        assert follower.is_between or passed not in ends
    assert out == data
    assert follower.is_between
    assert follower.close is None


@given(frames(), st.integers(0, 6), cuts)
def test_the_relays_own_pongs_are_taken_out_and_nothing_else(
    made: tuple[list[bytes], bool], place: int, at: list[int]
) -> None:
    written, is_client = made
    own = control(PONG, SECRET, KEY if is_client else None)
    data = b"".join([*written[:place], own, *written[place:], own])
    follower = Frames(SECRET)
    assert b"".join(follower.feed(part)[0] for part in pieces(data, at)) == b"".join(written)


@given(frames(), st.binary(max_size=125), cuts)
def test_a_close_is_seen_and_passes(made: tuple[list[bytes], bool], payload: bytes, at: list[int]) -> None:
    written, is_client = made
    data = b"".join(written) + control(CLOSE, payload, KEY if is_client else None)
    follower = Frames(SECRET)
    assert b"".join(follower.feed(part)[0] for part in pieces(data, at)) == data
    assert follower.close == payload


@given(st.binary(max_size=300), cuts)
def test_any_bytes_pass_in_order_and_none_is_made_up(data: bytes, at: list[int]) -> None:
    follower = Frames(SECRET)
    out = b"".join(follower.feed(part)[0] for part in pieces(data, at))
    assert data.startswith(out)
    assert len(data) - len(out) < 14 + 125
