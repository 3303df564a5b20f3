"""What may become of a worker, as the front sees it: starting, serving, retiring, ending, gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from automat import TypeMachineBuilder
from twisted.internet.defer import Deferred

from supercloud.errors import NoWorker, PortalError


@dataclass(slots=True)
class Facts:
    """What is known about one worker.

    :ivar stop: asks the monitor to end it.
    :ivar login, groups: of its account when it was started.
    :ivar number: the monitor's, once it serves; ``path`` of its socket.
    :ivar in_use: requests under way.
    :ivar unused_since: reactor's seconds; what counts while it is not in use.
    :ivar waiting: requests that wait for it to serve.
    """

    uid: int
    login: str
    groups: frozenset[int]
    stop: Callable[[int], object]
    number: int = -1
    path: str = ""
    in_use: int = 0
    unused_since: float = 0.0
    waiting: list[Deferred[None]] = field(default_factory=list)

    def tell(self, error: PortalError | None) -> None:
        """Wake those who wait."""
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            if error is None:
                one.callback(None)
            else:
                one.errback(error)


class Worker(Protocol):
    """What can happen to a worker."""

    def started(self, number: int, path: str) -> None:
        """The monitor says that it listens as its account."""

    def refused(self, error: PortalError) -> None:
        """There will be no worker."""

    def begin(self) -> None:
        """A request is on its way to it."""

    def done(self, now: float) -> None:
        """A request is over."""

    def retire(self) -> None:
        """No new requests come to it; it ends after those that are under way."""

    def end(self) -> None:
        """End it now, whatever it does: its account may no longer be used."""

    def gone(self) -> None:
        """Its process has ended."""

    def is_serving(self) -> bool:
        """Whether requests may be sent to it."""

    def is_starting(self) -> bool:
        """Whether it may serve soon."""


_builder = TypeMachineBuilder(Worker, Facts)
_starting = _builder.state("starting")
_serving = _builder.state("serving")
_retiring = _builder.state("retiring")
_ending = _builder.state("ending")
_gone = _builder.state("gone")


@_starting.upon(Worker.started).to(_serving)
def _serve(worker: Worker, facts: Facts, number: int, path: str) -> None:
    facts.number, facts.path = number, path
    facts.tell(None)


@_ending.upon(Worker.started).loop()
def _too_late(worker: Worker, facts: Facts, number: int, path: str) -> None:
    facts.number = number
    facts.stop(number)


@_starting.upon(Worker.refused).to(_gone)
@_ending.upon(Worker.refused).to(_gone)
def _refuse(worker: Worker, facts: Facts, error: PortalError) -> None:
    facts.tell(error)


@_serving.upon(Worker.begin).loop()
@_retiring.upon(Worker.begin).loop()
@_ending.upon(Worker.begin).loop()
@_gone.upon(Worker.begin).loop()
def _begin(worker: Worker, facts: Facts) -> None:
    facts.in_use += 1


def _less(facts: Facts, now: float) -> None:
    facts.in_use -= 1
    facts.unused_since = now


@_serving.upon(Worker.done).loop()
@_ending.upon(Worker.done).loop()
@_gone.upon(Worker.done).loop()
def _done(worker: Worker, facts: Facts, now: float) -> None:
    _less(facts, now)


@_retiring.upon(Worker.done).loop()
def _done_at_last(worker: Worker, facts: Facts, now: float) -> None:
    _less(facts, now)
    if not facts.in_use:
        facts.stop(facts.number)


@_serving.upon(Worker.retire).to(_retiring)
def _retire(worker: Worker, facts: Facts) -> None:
    if not facts.in_use:
        facts.stop(facts.number)


@_serving.upon(Worker.end).to(_ending)
@_retiring.upon(Worker.end).to(_ending)
def _end(worker: Worker, facts: Facts) -> None:
    facts.stop(facts.number)


for _state in (_starting, _retiring, _ending, _gone):

    @_state.upon(Worker.retire).loop()
    def _no_more(worker: Worker, facts: Facts) -> None:
        """It ends already, or nobody knows yet whether it begins."""


@_starting.upon(Worker.end).to(_ending)
def _end_unborn(worker: Worker, facts: Facts) -> None:
    facts.tell(NoWorker(f"worker of uid {facts.uid} was ended before it served"))


@_ending.upon(Worker.end).loop()
@_gone.upon(Worker.end).loop()
def _ends_already(worker: Worker, facts: Facts) -> None:
    """It ends already, or has ended."""


@_serving.upon(Worker.gone).to(_gone)
@_retiring.upon(Worker.gone).to(_gone)
@_ending.upon(Worker.gone).to(_gone)
def _went(worker: Worker, facts: Facts) -> None:
    """Whoever used it sees its connections end."""


_serving.upon(Worker.is_serving).loop().returns(True)
for _state in (_starting, _retiring, _ending, _gone):
    _state.upon(Worker.is_serving).loop().returns(False)
_starting.upon(Worker.is_starting).loop().returns(True)
for _state in (_serving, _retiring, _ending, _gone):
    _state.upon(Worker.is_starting).loop().returns(False)

make_worker = _builder.build()
