from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supercloud.ident2.wire import Answer, Greeting, Opcode, Question, SocketAddress, WireError, decode

u16, u32, u64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
flags = st.integers(0, 31)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    version = draw(st.sampled_from([4, 6]))
    ends = st.builds(SocketAddress, st.ip_addresses(v=version), u16)
    remote = draw(ends)
    protocol = draw(st.sampled_from([6, 17]))
    return Question(
        opcode=draw(st.sampled_from([Opcode.ASK_LOCAL, Opcode.ASK_REMOTE])),
        client_id=draw(u64), question_id=draw(u64), flags=draw(flags), protocol=protocol,
        states=draw(u32) if protocol == 6 else 0, local=draw(ends),
        remote=remote if remote.port or int(remote.host) else None,
    )  # fmt: skip


answers = st.builds(
    Answer,
    opcode=st.sampled_from([Opcode.ANSWER_LOCAL, Opcode.ANSWER_REMOTE]),
    client_id=u64, question_id=u64, flags=flags, pid=st.integers(-(2**31), 2**31 - 1), uid=u32, gid=u32,
    groups=st.lists(u32, max_size=350).map(tuple),
)  # fmt: skip


@given(questions())
def test_a_question_comes_back_as_it_was(question: Question) -> None:
    assert decode(question.encode()) == question


@given(answers)
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    assert decode(answer.encode()) == answer


def is_message_or_wire_error(data: bytes) -> bool:
    try:
        return isinstance(decode(data), Question | Answer | Greeting)
    except WireError:
        return True


@given(st.binary(max_size=80) | st.binary(min_size=59, max_size=59).map(lambda rest: b"\3" + rest))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    assert is_message_or_wire_error(data)


@given(answers, st.integers(0, 33), st.integers(0, 255))
def test_a_damaged_answer_is_a_message_or_a_wire_error(answer: Answer, offset: int, value: int) -> None:
    data = bytearray(answer.encode())
    data[offset] = value
    assert is_message_or_wire_error(bytes(data))
