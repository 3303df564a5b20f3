from __future__ import annotations

import socket

import pytest

from supercloud.ident2.lookup import Lookup, describe
from supercloud.ident2.processes import Process, SearchTooLong
from supercloud.ident2.sockets import Socket
from supercloud.ident2.wire import (
    ESTABLISHED,
    LISTEN,
    NO_ID,
    UDP,
    Answer,
    Flag,
    Opcode,
    Question,
    SocketAddress,
)
from tests.fakes.awaiting import run

NODE = SocketAddress.parse("10.77.0.11", 8888)
PORTAL = SocketAddress.parse("10.77.0.1", 40000)
ALICE, BOB, PROJ = 20001, 20002, 20100
LISTENER = Question(local=NODE, question_id=9, client_id=8)
CONNECTION = Question(local=NODE, remote=PORTAL, states=ESTABLISHED)
ALL = Flag.ANSWERED | Flag.GID | Flag.PROCESS | Flag.GROUPS | Flag.EVEN_ROOT


class FakeSockets:
    """A kernel with the sockets that it was given."""

    def __init__(self, *sockets: Socket) -> None:
        self.sockets = sockets

    def find(
        self, protocol: int, local: SocketAddress, remote: SocketAddress | None = None, *, states: int = 0
    ) -> Socket | None:
        for found in self.sockets:
            if found.local == local and found.remote == remote and (not states or states & found.state):
                return found
        return None


class FakeProcesses:
    """Holders by inode; only those in ``near`` are remembered."""

    def __init__(self, holders: dict[int, list[Process]]) -> None:
        self.holders = holders
        self.known: set[int] = set()
        self.searched: list[int] = []
        self.too_long = False

    def remembered(
        self, inode: int, uid: int, *, accepted_from: tuple[int, int] | None = None, groups: bool = False
    ) -> list[Process]:
        if inode in self.known or (accepted_from is not None and accepted_from[0] in self.known):
            return self.holders.get(inode, [])
        return []

    def search(self, inode: int, uid: int, *, groups: bool = False) -> list[Process]:
        if self.too_long:
            raise SearchTooLong(str(inode))
        self.searched.append(inode)
        self.known.add(inode)
        return self.holders.get(inode, [])


def process(pid: int = 1, uid: int = ALICE, gid: int = ALICE, groups: tuple[int, ...] = ()) -> Process:
    return Process(pid, uid, gid, frozenset(groups), 5)


def listener(uid: int = ALICE, inode: int = 10) -> Socket:
    return Socket(LISTEN, uid, inode, socket.AF_INET, NODE, None)


def connection(uid: int = ALICE, inode: int = 11) -> Socket:
    return Socket(ESTABLISHED, uid, inode, socket.AF_INET, NODE, PORTAL)


def test_the_answer_bears_the_ids_of_the_question_and_the_opcode_that_belongs_to_it() -> None:
    lookup = Lookup(FakeSockets(), FakeProcesses({}))
    assert lookup.answer(LISTENER) == Answer(opcode=Opcode.ANSWER_REMOTE, question_id=9, client_id=8)
    assert lookup.answer(Question(local=NODE, opcode=Opcode.ASK_LOCAL)).opcode == Opcode.ANSWER_LOCAL


def test_a_listener_is_answered_with_its_holder() -> None:
    answer = Lookup(FakeSockets(listener()), FakeProcesses({10: [process(7, gid=PROJ)]})).answer(LISTENER)
    assert (answer.flags, answer.pid, answer.uid, answer.gid) == (1 | 2 | 4, 7, ALICE, PROJ)


def test_the_uid_alone_needs_no_process() -> None:
    processes = FakeProcesses({10: [process()]})
    answer = Lookup(FakeSockets(listener()), processes).quick(Question(local=NODE, flags=Flag.ANSWERED))
    assert answer is not None and (answer.flags, answer.uid) == (1, ALICE)
    assert processes.searched == []


def test_a_quick_answer_is_none_when_processes_must_be_searched() -> None:
    processes = FakeProcesses({10: [process()]})
    lookup = Lookup(FakeSockets(listener()), processes)
    assert lookup.quick(LISTENER) is None
    searched = lookup.answer(LISTENER)
    assert lookup.quick(LISTENER) == searched


def test_a_connection_nobody_accepted_is_answered_with_its_uid_and_no_process() -> None:
    lookup = Lookup(FakeSockets(listener(), connection(inode=0)), FakeProcesses({}))
    answer = lookup.answer(CONNECTION)
    assert (answer.flags, answer.uid) == (Flag.ANSWERED, ALICE)


def test_an_old_kernels_uid_0_of_such_a_connection_is_its_listeners() -> None:
    lookup = Lookup(FakeSockets(listener(uid=BOB), connection(uid=0, inode=0)), FakeProcesses({}))
    assert lookup.answer(CONNECTION).uid == BOB
    assert Lookup(FakeSockets(connection(uid=0, inode=0)), FakeProcesses({})).answer(CONNECTION).uid == 0


def test_the_states_of_the_question_are_honoured() -> None:
    lookup = Lookup(FakeSockets(listener()), FakeProcesses({10: [process()]}))
    assert lookup.answer(Question(local=NODE, states=ESTABLISHED)).flags == 0
    assert lookup.answer(Question(local=NODE, states=ESTABLISHED | LISTEN)).flags == 1 | 2 | 4


def test_a_connection_is_looked_for_where_its_listener_is_held() -> None:
    processes = FakeProcesses({10: [process()], 11: [process()]})
    lookup = Lookup(FakeSockets(listener(), connection()), processes)
    lookup.answer(LISTENER)
    answer = lookup.quick(CONNECTION)
    assert answer is not None and answer.pid == 1
    assert processes.searched == [10]


def test_after_a_search_for_a_connection_its_listener_is_known_too() -> None:
    processes = FakeProcesses({10: [process()], 11: [process()]})
    Lookup(FakeSockets(listener(), connection()), processes).answer(CONNECTION)
    assert processes.searched == [11, 10]


def test_details_of_root_are_withheld_unless_they_are_asked_for() -> None:
    lookup = Lookup(FakeSockets(listener(uid=0)), FakeProcesses({10: [process(uid=0, gid=0)]}))
    withheld = lookup.answer(Question(local=NODE, flags=1 | 2 | 4))
    assert (withheld.flags, withheld.pid, withheld.uid) == (Flag.ANSWERED, 0, 0)
    assert lookup.answer(LISTENER).flags == 1 | 2 | 4


def test_a_service_that_root_opened_belongs_to_whom_it_runs_as() -> None:
    answer = Lookup(FakeSockets(listener(uid=0)), FakeProcesses({10: [process(uid=BOB, gid=BOB)]})).answer(LISTENER)
    assert (answer.flags, answer.uid, answer.gid) == (1 | 2 | 4, BOB, BOB)


def test_holders_of_several_accounts_are_nobody() -> None:
    holders = [process(1, uid=0), process(2, uid=BOB)]
    answer = Lookup(FakeSockets(listener(uid=0)), FakeProcesses({10: holders})).answer(LISTENER)
    assert (answer.flags, answer.pid, answer.uid, answer.gid) == (1 | 4, 0, NO_ID, NO_ID)


def test_holders_with_several_groups_share_none_that_permits() -> None:
    answer = describe(CONNECTION, ALICE, [process(1, gid=ALICE), process(2, gid=PROJ)])
    assert (answer.flags, answer.uid, answer.gid) == (1 | 4, ALICE, NO_ID)


def test_the_supplementary_groups_are_those_of_all_holders() -> None:
    holders = [process(1, groups=(3, 1, 2)), process(2, groups=(2, 3))]
    answer = describe(Question(local=NODE, flags=ALL), ALICE, holders)
    assert (answer.flags, answer.groups) == (15, (2, 3))


def test_at_most_350_groups_are_answered() -> None:
    answer = describe(Question(local=NODE, flags=ALL), ALICE, [process(groups=tuple(range(351)))])
    assert answer.groups == tuple(range(350))


def test_a_root_process_with_a_users_socket_is_withheld_like_root() -> None:
    answer = describe(Question(local=NODE, flags=1 | 2 | 4), ALICE, [process(uid=0)])
    assert (answer.flags, answer.uid, answer.pid) == (Flag.ANSWERED, 0, 0)


def test_without_a_visible_holder_the_sockets_uid_is_answered_alone() -> None:
    answer = Lookup(FakeSockets(listener(uid=BOB)), FakeProcesses({})).answer(LISTENER)
    assert (answer.flags, answer.uid) == (Flag.ANSWERED, BOB)


def test_a_search_that_takes_too_long_lets_nobody_in() -> None:
    processes = FakeProcesses({10: [process()]})
    processes.too_long = True
    answer = Lookup(FakeSockets(listener()), processes).answer(LISTENER)
    assert (answer.flags, answer.uid, answer.gid) == (1 | 4, NO_ID, NO_ID)


def test_a_udp_socket_is_answered_with_its_holder() -> None:
    opened = Socket(1 << 7, ALICE, 12, socket.AF_INET, NODE, None)
    answer = Lookup(FakeSockets(opened), FakeProcesses({12: [process()]})).answer(
        Question(local=NODE, protocol=UDP, states=0)
    )
    assert (answer.flags, answer.uid) == (1 | 2 | 4, ALICE)


def test_only_so_many_listeners_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supercloud.ident2.lookup._REMEMBERED", 1)
    lookup = Lookup(FakeSockets(listener()), FakeProcesses({10: [process()]}))
    lookup.answer(LISTENER)
    other = SocketAddress.parse("10.77.0.11", 8889)
    lookup._remember(other, listener())
    assert list(lookup._listeners) == [other]


def test_the_side_that_connected_has_no_listener_to_look_at() -> None:
    processes = FakeProcesses({11: [process()]})
    answer = Lookup(FakeSockets(connection()), processes).answer(CONNECTION)
    assert (answer.flags, answer.uid, processes.searched) == (1 | 2 | 4, ALICE, [11])


def test_a_listener_that_cannot_be_searched_for_does_not_spoil_its_connections_answer() -> None:
    processes = FakeProcesses({10: [process()], 11: [process()]})
    search = processes.search

    def search_connections_only(inode: int, uid: int, *, groups: bool = False) -> list[Process]:
        if inode == 10:
            raise SearchTooLong(str(inode))
        return search(inode, uid, groups=groups)

    processes.search = search_connections_only  # type: ignore[method-assign]
    assert Lookup(FakeSockets(listener(), connection()), processes).answer(CONNECTION).uid == ALICE


def test_somebody_elses_search_decides_who_holds_a_socket() -> None:
    asked = []

    async def find(inode: int, uid: int) -> list[Process]:
        asked.append((inode, uid))
        return [process(pid=7, gid=PROJ)]

    lookup = Lookup(FakeSockets(listener()), FakeProcesses({}))
    assert lookup.quick(LISTENER) is None
    answer = run(lookup.answer_by(find, LISTENER))
    assert (answer.pid, answer.uid, answer.gid) == (7, ALICE, PROJ)
    assert asked == [(listener().inode, ALICE)]


def test_nobody_is_searched_for_a_socket_that_is_not_there() -> None:
    async def find(inode: int, uid: int) -> list[Process]:
        raise AssertionError("nothing to search for")

    assert not run(Lookup(FakeSockets(), FakeProcesses({})).answer_by(find, LISTENER)).flags
