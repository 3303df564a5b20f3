"""The one question that a request and a ticket ask."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from supercloud.access import Access
from supercloud.errors import ForwardUnusable, NotFound, NothingListens
from supercloud.ownership.authorize import Authorizer
from supercloud.ownership.listeners import Listeners
from supercloud.ownership.rule import SocketOwner, Verdict
from supercloud.routing.forwards import Forwards
from supercloud.routing.nodes import Nodes
from supercloud.target import Application
from tests.fakes.accounts import ALICE, CAROL, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.forwards import FakeForwards
from tests.fakes.names import by_nobody
from tests.fakes.owners import FakeOwners

HERE = Application("localhost", 8080)


@pytest.fixture
def files() -> FakeForwards:
    made = FakeForwards()
    made.write("alice-tb", "http://localhost:8080/", executors=(ALICE.uid, CAROL.uid))
    return made


@pytest.fixture
def access(files: FakeForwards) -> Access:
    clock, owners = Clock(), FakeOwners()
    owners.listeners[8080] = SocketOwner(1001, 1001, 11, 1001, True)
    nodes = Nodes(by_nobody, clock, allow=("localhost",), ports=(1024, 65535))
    authorizer = Authorizer(owners, FakeAccounts(), clock, own=Listeners(()))
    return Access(nodes, authorizer, Forwards(files, files, clock, folder="/fw"))


def test_a_forward_lets_in_whom_the_port_does_not(access: Access) -> None:
    forward = run(access.find(CAROL, "alice-tb"))
    permit = run(access.permit(CAROL, HERE, forward))
    assert (permit.verdict, permit.reservation) == (Verdict.FORWARD_OWNER, forward.reservation)
    with pytest.raises(NotFound):
        run(access.permit(CAROL, HERE, None))
    own = run(access.permit(ALICE, HERE, None))
    assert (own.verdict, own.reservation) == (Verdict.SAME_USER, None)


def test_what_goes_wrong_behind_a_forward_is_explained_to_its_owner(access: Access, files: FakeForwards) -> None:
    files.write("alice-tb", "http://localhost:80/", executors=(ALICE.uid, CAROL.uid))
    for viewer, kind in ((ALICE, ForwardUnusable), (CAROL, NotFound)):
        forward = run(access.find(viewer, "alice-tb"))
        with pytest.raises(kind):
            run(access.permit(viewer, forward.application, forward))
    with pytest.raises(NothingListens):
        run(access.permit(ALICE, Application("localhost", 7777), None))


def test_a_site_without_forwards_has_none(access: Access) -> None:
    forward = run(access.find(ALICE, "alice-tb"))
    without = Access(access.nodes, access.authorizer)
    with pytest.raises(NotFound):
        run(without.find(ALICE, "alice-tb"))
    assert access.believes(ALICE, forward)
    assert access.believes(ALICE, None)
    assert without.believes(ALICE, None)
    assert not without.believes(ALICE, forward)
