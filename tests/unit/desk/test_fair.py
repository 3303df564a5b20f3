"""Work for accounts beside the reactor's thread."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from supercloud.desk.fair import Fair
from tests.fakes.offload import FakeOffload


def test_an_account_that_asks_much_holds_up_no_other() -> None:
    offload = FakeOffload()
    fair = Fair(offload, per_uid=2)
    begun: list[str] = []
    offload.hold()
    asked = [Deferred.fromCoroutine(fair.run(1, begun.append, f"first {number}")) for number in range(5)]
    asked.append(Deferred.fromCoroutine(fair.run(2, begun.append, "second")))

    assert begun == ["first 0", "first 1", "second"]
    offload.release()
    assert begun == ["first 0", "first 1", "second", "first 2", "first 3", "first 4"]
    assert all(one.called for one in asked)
    assert fair._gates == {}
