"""What ident2 says becomes an owner, nobody, or no decision."""

from __future__ import annotations

import grp
import pwd

import pytest
from twisted.internet.task import Clock

from supercloud.errors import Undecided
from supercloud.ident2.client import Reply
from supercloud.ident2.outstanding import NoAnswer, Reason
from supercloud.ident2.wire import (
    ANSWERED,
    ESTABLISHED,
    EVEN_ROOT,
    GID,
    GROUPS,
    LISTEN,
    NO_ID,
    PROCESS,
    Answer,
    Question,
    SocketAddress,
)
from supercloud.ownership.owners import Owners
from supercloud.ownership.rule import SocketOwner
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload


class Asker:
    """Gives one answer, and remembers the questions."""

    def __init__(self, answer: Answer | Reason, received: float = 0.0) -> None:
        self._answer = answer
        self._received = received
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        if isinstance(self._answer, Reason):
            raise NoAnswer(self._answer, question)
        return Reply(self._answer, self._received)


def owners(asker: Asker) -> Owners:
    clock = Clock()
    clock.advance(10.0)
    return Owners(asker, FakeOffload(), clock)


HELD = Answer(flags=ANSWERED | GID | PROCESS, pid=7, uid=1001, gid=2000)
QUESTIONS = pytest.mark.parametrize(
    ("method", "arguments"), [("listener", ("10.0.0.1", 8080)), ("connection", ("10.0.0.1", 8080, "10.0.0.9", 50000))]
)


@QUESTIONS
def test_a_holder_is_told_with_its_ids_and_the_age_of_the_answer(method: str, arguments: tuple[object, ...]) -> None:
    found = run(getattr(owners(Asker(HELD, 9.75)), method)(*arguments))
    assert found == SocketOwner(1001, 2000, 7, None, False, True, 0.25)


@QUESTIONS
def test_a_socket_that_nobody_has_accepted_has_no_pid(method: str, arguments: tuple[object, ...]) -> None:
    found = run(getattr(owners(Asker(Answer(flags=ANSWERED, uid=1001), 10.0)), method)(*arguments))
    assert found == SocketOwner(1001, None, None, None, False, False, 0.0)


@QUESTIONS
def test_where_there_is_no_such_socket_there_is_nobody(method: str, arguments: tuple[object, ...]) -> None:
    assert run(getattr(owners(Asker(Answer())), method)(*arguments)) is None


@QUESTIONS
def test_holders_of_several_accounts_let_nobody_in_on_a_guess(method: str, arguments: tuple[object, ...]) -> None:
    several = Answer(flags=ANSWERED | PROCESS, uid=NO_ID, gid=NO_ID)
    with pytest.raises(Undecided, match=r"10\.0\.0\.1:8080: the node cannot tell one holder"):
        run(getattr(owners(Asker(several)), method)(*arguments))


@QUESTIONS
@pytest.mark.parametrize("reason", list(Reason))
def test_a_node_that_does_not_answer_decides_nothing(
    method: str, arguments: tuple[object, ...], reason: Reason
) -> None:
    with pytest.raises(Undecided, match=reason.value):
        run(getattr(owners(Asker(reason)), method)(*arguments))


def test_a_listener_is_asked_for_by_its_own_end_and_root_is_no_secret() -> None:
    asker = Asker(HELD)
    run(owners(asker).listener("::1", 8080))
    [question] = asker.asked
    assert (question.local, question.remote) == (SocketAddress.parse("::1", 8080), None)
    assert question.states == LISTEN
    assert question.flags == ANSWERED | GID | PROCESS | EVEN_ROOT
    assert not question.flags & GROUPS


def test_a_connection_is_asked_for_by_both_ends() -> None:
    asker = Asker(HELD)
    run(owners(asker).connection("::ffff:10.0.0.1", 8080, "10.0.0.9", 50000))
    [question] = asker.asked
    assert question.local == SocketAddress.parse("10.0.0.1", 8080)
    assert question.remote == SocketAddress.parse("10.0.0.9", 50000)
    assert question.states == ESTABLISHED


def account(name: str, uid: int, gid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))


def group(name: str, gid: int) -> grp.struct_group:
    return grp.struct_group((name, "x", gid, []))


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    people = {
        1001: account("alice", 1001, 1001),
        1002: account("bob", 1002, 100),
        1003: account("carol", 1003, 4242),
    }
    groups = {1001: group("alice", 1001), 100: group("users", 100)}
    monkeypatch.setattr(pwd, "getpwuid", people.__getitem__)
    monkeypatch.setattr(grp, "getgrgid", groups.__getitem__)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("uid", "primary", "is_private"),
    [(1001, 1001, True), (1002, 100, False), (1003, 4242, False), (9999, None, False)],
)
def test_a_group_is_private_when_it_bears_the_accounts_name(uid: int, primary: int | None, is_private: bool) -> None:
    found = run(owners(Asker(HELD)).with_group(SocketOwner(uid, 2000, 7)))
    assert (found.primary_gid, found.has_private_group) == (primary, is_private)
    assert (found.uid, found.gid, found.pid) == (uid, 2000, 7)


def test_the_account_database_is_not_asked_about_a_holder_without_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwuid", None)
    owner = SocketOwner(1001)
    assert run(owners(Asker(HELD)).with_group(owner)) is owner
