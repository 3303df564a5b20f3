from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from supercloud.ident2.processes import Process, Processes, SearchTooLong
from supercloud.monitor.holders import Holders
from supercloud.monitor.wire import Holder, HoldersRead, ReadHolders


@pytest.fixture
def held() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def found(monkeypatch: pytest.MonkeyPatch, *processes: Process) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def search(self: Processes, inode: int, uid: int, *, groups: bool = False) -> list[Process]:
        asked.append((inode, uid, groups))
        return list(processes)

    monkeypatch.setattr(Processes, "search", search)
    return asked


def test_it_finds_this_process(held: socket.socket) -> None:
    answer = Holders().read(ReadHolders(7, os.fstat(held.fileno()).st_ino, os.geteuid()), [])
    me = Holder(os.getpid(), os.geteuid(), os.getegid(), tuple(sorted(os.getgroups())))
    assert answer == HoldersRead(7, (me,), is_complete=True)


def test_many_processes_with_the_same_ids_are_one_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = [Process(pid, 1001, 1001, frozenset({5, 1001}), 1) for pid in range(10, 5000)]
    asked = found(monkeypatch, *processes, Process(9, 1002, 1002, frozenset(), 1))
    answer = Holders().read(ReadHolders(7, 4711, 1001), [])
    assert set(answer.holders) == {Holder(10, 1001, 1001, (5, 1001)), Holder(9, 1002, 1002, ())}
    assert answer.is_complete
    assert asked == [(4711, 1001, True)]


def test_more_than_a_packet_holds_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    many = frozenset(range(2**31, 2**31 + 20_000))
    found(monkeypatch, Process(10, 1001, 1001, many, 1))
    assert Holders().read(ReadHolders(7, 4711, 1001), []) == HoldersRead(7, (), is_complete=False)


def test_a_search_that_takes_too_long_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*args: object, **fields: object) -> list[Process]:
        raise SearchTooLong

    monkeypatch.setattr(Processes, "search", search)
    assert Holders().read(ReadHolders(7, 4711, 1001), []) == HoldersRead(7, (), is_complete=False)
