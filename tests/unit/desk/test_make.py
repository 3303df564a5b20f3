"""The whole desk on its socket; and that the fake one answers as it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supercloud.authn.private import Exposed
from supercloud.dav.asking import Asking
from supercloud.desk import lock_wire as wire
from supercloud.desk.client import Desk
from supercloud.desk.make import FILE, PortalDesk, make_desk
from supercloud.desk.service import Asker
from supercloud.desk.wire import Done, Message, Refusal
from tests.fakes.desk import FakeDesk
from tests.fakes.offload import FakeOffload
from tests.fakes.reactor import TurnedReactor


class Ping(Message, frozen=True, tag="test-ping"):
    """What another part of the portal answers."""


def answer(asker: Asker, _request: Ping, _descriptors: object) -> Message:
    return Done()


class Real:
    """A desk that turns while somebody waits for it."""

    def __init__(self, folder: Path) -> None:
        self.reactor = TurnedReactor()
        self.path = str(folder / "portal.sock")
        self.desk: PortalDesk = make_desk(
            self.reactor,
            self.path,
            folder,
            offload=FakeOffload(),
            storage=FakeOffload(),
            now=lambda: 1_700_000_000.0,
            handlers={Ping: answer},
        )
        self.client = Desk(self.path)

    def ask(self, request: Message, *answers: type[Message], descriptors: Any = ()) -> Any:
        return self.reactor.turn_while(lambda: self.client.ask(request, *answers, descriptors=descriptors))


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    made = Real(tmp_path)
    made.desk.start()
    yield made
    made.client.close()
    made.desk.stop()


@pytest.fixture(params=["real", "fake"])
def asking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Asking]:
    if request.param == "real":
        yield request.getfixturevalue("real")
        return
    desk = FakeDesk(tmp_path)
    yield desk.asker()
    desk.close()


def test_a_lock_is_granted_once(asking: Asking, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        request = wire.AcquireLock("exclusive", "0", 60, b"", "/file", ())
        kinds, shown = (wire.Granted, wire.Conflict), (file.fileno(),)
        assert isinstance(asking.ask(request, *kinds, descriptors=shown), wire.Granted)
        assert isinstance(asking.ask(request, *kinds, descriptors=shown), wire.Conflict)


def test_a_refusal_is_one(asking: Asking) -> None:
    with pytest.raises(Refusal, match="unknown-lock"):
        asking.ask(wire.ReleaseLock("urn:uuid:nothing"), Done)


def test_others_may_answer_there_too(real: Real) -> None:
    assert real.ask(Ping(), Done) == Done()


def test_locks_stay_when_it_stops(real: Real, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        granted = real.ask(
            wire.AcquireLock("exclusive", "0", 60, b"", "/file", ()), wire.Granted, descriptors=(file.fileno(),)
        )
    real.desk.stop()
    real.desk.bind()
    real.desk.start()

    assert real.ask(wire.ReadLock(granted.lock.token), wire.Found).locks == (granted.lock,)


def test_a_file_that_others_could_have_written_stops_the_start(tmp_path: Path) -> None:
    made = Real(tmp_path)
    (tmp_path / FILE).touch()
    (tmp_path / FILE).chmod(0o666)

    with pytest.raises(Exposed):
        made.desk.start()
    made.desk.stop()


def test_its_file_is_its_own(real: Real, tmp_path: Path) -> None:
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / FILE).stat().st_uid == os.geteuid()
