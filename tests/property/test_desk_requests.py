"""Whatever a program asks at the portal's own socket, it gets an answer or a refusal; nothing fails, nothing stays."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supercloud.desk import lock_wire as wire
from supercloud.desk.property_wire import MOST_NAME, FilterStored, ReadProperties, ReplaceProperties
from supercloud.desk.wire import Key, Message, Refusal
from tests.fakes.desk import FakeDesk

NUMBERS = st.sampled_from((0, 1, 2, 2**31, 2**63 - 1, 2**63, 2**64 - 1)) | st.integers(0, 2**64 - 1)
KEYS = st.builds(Key, NUMBERS, NUMBERS, NUMBERS)
SOME_KEYS = st.lists(KEYS, max_size=4).map(tuple)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5).map(tuple)
TEXTS = st.text(max_size=128)
TOKENS = st.lists(TEXTS, max_size=4).map(tuple)
IDS = st.integers(1, 2**63 - 1) | st.sampled_from((1, 2**63 - 1))
REQUESTS: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        wire.AcquireLock,
        st.sampled_from(("exclusive", "shared")),
        st.sampled_from(("0", "infinity")),
        st.integers(1, wire.MOST_SECONDS),
        st.binary(max_size=50),
        TEXTS,
        SOME_KEYS,
    ),
    st.builds(wire.RefreshLock, TEXTS, st.integers(1, wire.MOST_SECONDS)),
    st.builds(wire.ReleaseLock, TEXTS),
    st.builds(wire.ReadLock, TEXTS),
    st.builds(wire.FindLocks, SOME_KEYS, NUMBERS),
    st.builds(wire.FilterLocked, PAIRS),
    st.builds(wire.CheckWrite, st.none() | KEYS, SOME_KEYS, TOKENS),
    st.builds(wire.DropLocks, st.lists(IDS, max_size=4).map(tuple)),
    st.builds(wire.BeginWrite, SOME_KEYS, TOKENS),
    st.builds(wire.ExpectWrite, NUMBERS),
    st.builds(wire.FollowWrite, NUMBERS),
    st.builds(wire.EndWrite, NUMBERS),
    st.builds(ReadProperties),
    st.builds(ReplaceProperties, st.dictionaries(st.text(min_size=1, max_size=MOST_NAME), st.binary(), max_size=4)),
    st.builds(FilterStored, PAIRS),
)
SHOWN = ("reading", "writing", "both", "path", "folder", "pipe", "socket", "null", "deleted")


@contextmanager
def descriptors(folder: Path) -> Iterator[dict[str, int]]:
    """One of each kind."""
    with ExitStack() as held:

        def opened(path: Path | str, flags: int) -> int:
            handle = os.open(path, flags)
            held.callback(os.close, handle)
            return handle

        (folder / "file").touch()
        (folder / "gone").touch()
        ours, theirs = socket.socketpair()
        held.callback(ours.close)
        held.callback(theirs.close)
        reading, writing = os.pipe()
        held.callback(os.close, reading)
        held.callback(os.close, writing)
        made = {
            "reading": opened(folder / "file", os.O_RDONLY),
            "writing": opened(folder / "file", os.O_WRONLY),
            "both": opened(folder / "file", os.O_RDWR),
            "path": opened(folder / "file", os.O_PATH),
            "folder": opened(folder, os.O_PATH),
            "pipe": reading,
            "socket": ours.fileno(),
            "null": opened("/dev/null", os.O_RDWR),
            "deleted": opened(folder / "gone", os.O_RDWR),
        }
        (folder / "gone").unlink()
        yield made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from((1001, 1002)), REQUESTS, st.lists(st.sampled_from(SHOWN), max_size=2)), max_size=12
    )
)
def test_no_request_makes_the_portal_fail(asked: list[tuple[int, Message, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder, descriptors(Path(folder)) as given_:
        desk = FakeDesk(Path(folder))
        askers: dict[int, Any] = {uid: desk.asker(uid) for uid in (1001, 1002)}
        before = len(os.listdir("/proc/self/fd"))
        for uid, request, shown in asked:
            try:
                askers[uid].ask(request, Message, descriptors=[given_[name] for name in shown])
            except Refusal as error:
                assert error.code not in ("failed", "busy")
        assert len(os.listdir("/proc/self/fd")) == before
        desk.close()
