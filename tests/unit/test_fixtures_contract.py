"""What an `OwnerLookup` does, said of the fake and of the real one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from supercloud.errors import Undecided
from supercloud.ident2.client import Reply
from supercloud.ident2.outstanding import NoAnswer, Reason
from supercloud.ident2.wire import ANSWERED, GID, LISTEN, PROCESS, Answer, Question
from supercloud.ownership.authorize import OwnerLookup
from supercloud.ownership.owners import Owners
from supercloud.ownership.rule import SocketOwner
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload
from tests.fakes.owners import FakeOwners

LISTENS, TAKEN_OVER, ENDED, NOTHING = 8080, 8081, 8082, 8083
ALICES, BOBS = SocketOwner(1001, 1001, 11), SocketOwner(1002, 1002, 12)


class Node:
    """Answers as a node would on which alice listens at three ports, one of which bob has taken since."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent

    async def ask(self, question: Question) -> Reply:
        if self._is_silent:
            raise NoAnswer(Reason.TIMED_OUT, question)
        owner: SocketOwner | None = ALICES if question.local.port != NOTHING else None
        if question.states != LISTEN:
            owner = {TAKEN_OVER: BOBS, ENDED: None}.get(question.local.port, owner)
        if owner is None:
            return Reply(Answer(), 0.0)
        flags = ANSWERED | GID | PROCESS
        return Reply(Answer(flags=flags, pid=owner.pid or 0, uid=owner.uid, gid=owner.gid or 0), 0.0)


def fake(*, is_silent: bool) -> OwnerLookup:
    made = FakeOwners()
    made.listeners = dict.fromkeys((LISTENS, TAKEN_OVER, ENDED), ALICES)
    made.connections = {TAKEN_OVER: BOBS, ENDED: None}
    made.is_silent = is_silent
    return made


def real(*, is_silent: bool) -> OwnerLookup:
    return Owners(Node(is_silent=is_silent), FakeOffload(), Clock())


Make = Callable[..., OwnerLookup]
pytestmark = pytest.mark.parametrize("make", [fake, real])


def test_a_listener_is_told_by_its_port(make: Make) -> None:
    assert run(make(is_silent=False).listener("10.0.0.1", LISTENS)) == ALICES


def test_where_nobody_listens_there_is_nobody(make: Make) -> None:
    assert run(make(is_silent=False).listener("10.0.0.1", NOTHING)) is None


@pytest.mark.parametrize(("port", "owner"), [(LISTENS, ALICES), (TAKEN_OVER, BOBS), (ENDED, None), (NOTHING, None)])
def test_a_connection_has_a_holder_of_its_own(make: Make, port: int, owner: SocketOwner | None) -> None:
    assert run(make(is_silent=False).connection("10.0.0.1", port, "10.0.0.9", 50000)) == owner


def test_silence_is_no_answer_to_either_question(make: Make) -> None:
    silent = make(is_silent=True)
    with pytest.raises(Undecided):
        run(silent.listener("10.0.0.1", LISTENS))
    with pytest.raises(Undecided):
        run(silent.connection("10.0.0.1", LISTENS, "10.0.0.9", 50000))


def test_an_owner_without_a_group_stays_as_it_is(make: Make) -> None:
    assert run(make(is_silent=False).with_group(SocketOwner(1001))) == SocketOwner(1001)
