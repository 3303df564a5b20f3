from __future__ import annotations

import re
from pathlib import Path

import pytest

import supercloud.ident2
from supercloud.ident2 import wire
from supercloud.ident2.wire import (
    Answer,
    Flag,
    Greeting,
    Opcode,
    Question,
    SocketAddress,
    State,
    WireError,
    decode,
    decode_answer,
    decode_question,
)

LISTENER = Question(local=SocketAddress.parse("10.77.0.11", 8888), question_id=0x0123456789ABCDEF)
CONNECTION = Question(
    local=SocketAddress.parse("fd77::11", 8888),
    remote=SocketAddress.parse("fd77::1", 40000),
    states=State.ESTABLISHED,
    question_id=1,
)
FULL = Answer(flags=15, pid=4711, uid=20001, gid=20100, groups=(20001, 20100), question_id=0x0123456789ABCDEF)


def test_the_examples_of_the_protocol_are_what_is_spoken() -> None:
    text = (Path(supercloud.ident2.__path__[0]) / "PROTOCOL.md").read_text()
    examples = [bytes.fromhex(hexes) for hexes in re.findall(r"```(?:question|answer)\n(.*?)```", text, re.DOTALL)]
    assert [decode(example) for example in examples] == [
        LISTENER,
        CONNECTION,
        FULL,
        Answer(question_id=0x0123456789ABCDEF),
        Answer(opcode=Opcode.ANSWER_LOCAL, question_id=1, flags=Flag.ANSWERED, uid=20001),
    ]
    assert [decode(example).encode() for example in examples] == examples  # type: ignore[union-attr]


def test_a_question_has_sixty_bytes_and_an_answer_thirty_four_and_four_a_group() -> None:
    assert len(LISTENER.encode()) == len(CONNECTION.encode()) == 60
    assert len(Answer().encode()) == 34
    assert len(FULL.encode()) == 34 + 4 * 2


def test_the_flags_are_those_of_the_original() -> None:
    assert [int(flag) for flag in Flag] == [1, 2, 4, 8, 16]
    assert (wire.ESTABLISHED, wire.LISTEN) == (1 << 1, 1 << 10)


def test_a_greeting_is_any_text() -> None:
    assert decode(b"\0hello") == Greeting(b"hello")


@pytest.mark.parametrize("size", [0, 1, 59, 61])
def test_a_question_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(WireError):
        decode((LISTENER.encode() + b"\0")[:size])


@pytest.mark.parametrize(
    ("offset", "value", "what"),
    [
        (0, 5, "opcode 5"),
        (17, 0x20, "flags 0x20"),
        (18, 5, "IP version 5"),
        (19, 132, "protocol 132"),
        (19, 17, "TCP states"),
    ],
)
def test_an_unknown_value_in_a_question_is_refused(offset: int, value: int, what: str) -> None:
    data = bytearray(LISTENER.encode())
    data[offset] = value
    with pytest.raises(WireError, match=what):
        decode(bytes(data))


def test_what_is_left_of_the_sixteen_bytes_of_an_ipv4_address_is_not_read() -> None:
    data = bytearray(LISTENER.encode())
    data[28:40] = b"\xff" * 12
    assert decode(bytes(data)) == LISTENER


def test_states_that_linux_does_not_have_are_handed_on() -> None:
    data = bytearray(LISTENER.encode())
    data[20:24] = b"\0\0\0\x80"
    question = decode(bytes(data))
    assert isinstance(question, Question)
    assert question.states == 1 << 31


@pytest.mark.parametrize("wrong", [b"", b"\0", b"\0" * 4])
def test_an_answer_of_another_size_than_its_groups_need_is_refused(wrong: bytes) -> None:
    data = FULL.encode()
    with pytest.raises(WireError):
        decode(data[: -1 - len(wrong)])
    with pytest.raises(WireError):
        decode(data + b"\0" + wrong)


def test_unknown_flags_in_an_answer_are_refused() -> None:
    data = bytearray(FULL.encode())
    data[17] = 0x80
    with pytest.raises(WireError, match="flags"):
        decode_answer(bytes(data))


def test_350_groups_pass() -> None:
    answer = Answer(flags=9, groups=tuple(range(350)))
    assert decode(answer.encode()) == answer


def test_351_groups_do_not() -> None:
    with pytest.raises(WireError, match="351 groups"):
        Answer(groups=tuple(range(351))).encode()
    data = bytearray(Answer(groups=tuple(range(350))).encode() + b"\0\0\0\0")
    data[30:34] = (351).to_bytes(4, "little")
    with pytest.raises(WireError, match="351 groups"):
        decode(bytes(data))


def test_a_question_is_no_answer_and_an_answer_no_question() -> None:
    with pytest.raises(WireError, match="not an answer"):
        decode_answer(LISTENER.encode())
    with pytest.raises(WireError, match="not a question"):
        decode_question(Answer(groups=(0,) * 6).encode() + b"\0\0")


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WireError):
        Question(local=SocketAddress.parse("10.77.0.11", 65536)).encode()
    with pytest.raises(WireError):
        Answer(uid=-1).encode()


def test_two_ends_of_different_families_are_refused() -> None:
    with pytest.raises(WireError, match="families"):
        Question(local=SocketAddress.parse("::1", 1), remote=SocketAddress.parse("127.0.0.1", 2)).encode()


def test_an_ipv4_address_in_ipv6s_clothes_is_plain_ipv4() -> None:
    assert SocketAddress.parse("::ffff:10.77.0.11", 8888) == LISTENER.local


def test_addresses_are_written_as_people_write_them() -> None:
    assert (str(LISTENER.local), str(CONNECTION.local)) == ("10.77.0.11:8888", "[fd77::11]:8888")
