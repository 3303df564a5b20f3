"""Whatever comes to the monitor, only a request of the table reaches what serves it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supercloud.monitor.__main__ import Front
from supercloud.monitor.breach import Breach
from supercloud.monitor.wire import (
    AccountRead,
    Answer,
    CheckPassword,
    FindForward,
    ForwardRead,
    Holder,
    HoldersRead,
    PasswordChecked,
    ReadAccount,
    ReadForward,
    ReadHolders,
    Request,
    StartWorker,
    StopWorker,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)
from supercloud.packets import MOST_BYTES, Packets
from supercloud.target import Reservation

ids, uids = st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 2)
logins = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256)
texts = st.text(st.characters(codec="utf-8"), max_size=1024)
states = st.sampled_from(["good", "unknown", "renamed", "root", "below-minimum", "locked", "expired", "closed"])
forward_names = st.from_regex(r"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}\Z")
files = st.builds(Reservation, ids, ids, ids, uids, uids, st.integers(0, 0o7777))
holders = st.builds(Holder, uids, uids, uids, st.lists(uids, max_size=50).map(tuple))

requests = st.one_of(
    st.builds(CheckPassword, ids, logins, st.text(st.characters(codec="utf-8"), max_size=64)),
    st.builds(ReadAccount, ids, uids),
    st.builds(StartWorker, ids, uids, logins),
    st.builds(StopWorker, ids, ids),
    st.builds(ReadHolders, ids, st.integers(1, 2**63 - 1), uids),
    st.builds(FindForward, ids, forward_names),
    st.builds(ReadForward, ids, forward_names, uids),
)
answers = st.one_of(
    st.builds(PasswordChecked, ids, st.sampled_from(["good", "bad", "locked", "closed", "busy", "slow"])),
    st.builds(AccountRead, ids, states),
    st.builds(WorkerStarted, ids, ids, st.text(st.characters(codec="utf-8"), max_size=107), st.integers(1, 2**31)),
    st.builds(WorkerRefused, ids, states, texts),
    st.builds(WorkerEnded, ids, ids, texts),
    st.builds(HoldersRead, ids, st.lists(holders, max_size=20).map(tuple), st.booleans()),
    st.builds(
        ForwardRead,
        ids,
        st.sampled_from(["read", "found", "absent", "slow", "several-names"]),
        st.none() | files,
        st.none() | st.binary(max_size=1024),
    ),
)

# Near misses: the kinds and fields of the table with values that are mostly not.
names = st.sampled_from(["type", "id", "uid", "login", "address", "worker", "inode", "state", "name", "x"])
tags = [kind.__struct_config__.tag for kind in (*get_args(Request), *get_args(Answer))]
values = st.one_of(
    st.sampled_from(tags),
    st.integers(-(2**63), 2**64 - 1),
    st.text(max_size=300),
    st.none(),
    st.booleans(),
    st.binary(),
)
near = st.builds(
    lambda tag, fields: msgspec.msgpack.encode({**fields, "type": tag}),
    st.sampled_from([*tags, "read-file", "fork", ""]),
    st.dictionaries(names, values, max_size=5),
)
packets = st.one_of(st.binary(min_size=1, max_size=300), near, st.just(b"\x90" * (MOST_BYTES + 1)))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Front]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, Front(theirs)


shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(requests)
@shared
def test_a_request_comes_as_it_was_sent(pair: tuple[socket.socket, Front], request: Request) -> None:
    ours, front = pair
    Packets[Answer](ours, Answer).send(request)
    assert front.receive() == (request, [])


@given(answers)
@shared
def test_an_answer_comes_as_it_was_sent(pair: tuple[socket.socket, Front], answer: Answer) -> None:
    ours, front = pair
    front.answer(answer)
    assert Packets[Answer](ours, Answer).receive() == (answer, [])


@given(packets)
@shared
def test_what_is_not_in_the_table_is_a_breach(pair: tuple[socket.socket, Front], data: bytes) -> None:
    """What is let through is what the table says to the last field: encoded again it is the same map."""
    ours, front = pair
    ours.send(data)
    try:
        request, descriptors = front.receive()
    except Breach as breach:
        assert str(breach) == "the front sent what is not in the table"
        return
    assert descriptors == []
    assert type(request) in get_args(Request)
    assert msgspec.msgpack.decode(data) == msgspec.to_builtins(request)


@given(answers)
@shared
def test_an_answer_is_no_request(pair: tuple[socket.socket, Front], answer: Answer) -> None:
    ours, front = pair
    ours.send(msgspec.msgpack.encode(answer))
    with pytest.raises(Breach):
        front.receive()
