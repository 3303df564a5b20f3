"""The portal's own socket without a socket: what the desk's parts answer, asked in the test's own thread."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from supercloud.desk.client import DeskGone
from supercloud.desk.make import own_handlers
from supercloud.desk.proof import Prover
from supercloud.desk.service import Asker
from supercloud.desk.store import Store
from supercloud.desk.wire import Message
from supercloud.packets import MOST_BYTES
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload

NOW = 1_700_000_000.0


class FakeDesk:
    """The desk; ``asker`` is one program's way to it.

    :param state: a folder for its file.
    :ivar now: Unix seconds; a test may set it.
    """

    def __init__(self, state: Path) -> None:
        self.now = NOW
        self.store = Store(state / "desk.sqlite")
        self.store.open()
        offload = FakeOffload()
        self.handlers = own_handlers(self.store, Prover(offload), offload, lambda: self.now)
        self.kinds = functools.reduce(operator.or_, self.handlers)

    def asker(self, uid: int | None = None, groups: frozenset[int] | None = None) -> FakeAsker:
        """A program's connection, as that account."""
        made = os.geteuid() if uid is None else uid
        return FakeAsker(self, Asker(pid=1, uid=made, gid=made, groups=frozenset() if groups is None else groups))

    def close(self) -> None:
        self.store.close()


class FakeAsker:
    """Implements `supercloud.dav.asking.Asking`.

    :ivar is_gone: nobody answers.
    :ivar asked: the kinds of messages that were sent.
    :ivar before: called with each request before it is answered.
    """

    def __init__(self, desk: FakeDesk, asker: Asker) -> None:
        self._desk = desk
        self._asker = asker
        self.is_gone = False
        self.asked: list[type[Message]] = []
        self.before: Callable[[Message], object] = lambda request: None

    def ask(self, request: Message, *answers: type[Message], descriptors: Sequence[int] = ()) -> Any:
        self.before(request)
        if self.is_gone:
            raise DeskGone("closed")
        self.asked.append(type(request))
        packed = msgspec.msgpack.encode(request)
        assert len(packed) <= MOST_BYTES
        decoded = msgspec.msgpack.decode(packed, type=self._desk.kinds)
        copies = [os.dup(descriptor) for descriptor in descriptors]
        try:
            answer = run(self._desk.handlers[type(decoded)](self._asker, decoded, copies))
        finally:
            for copy in copies:
                os.close(copy)
        assert isinstance(answer, answers), answer
        return answer

    def close(self) -> None:
        """The connection ends."""
        self._asker.gone()
