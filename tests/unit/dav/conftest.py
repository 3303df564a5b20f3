"""A served folder, and somebody who asks for what is in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supercloud.dav.app import Application
from supercloud.dav.tree import Tree
from tests.fakes.desk import FakeAsker, FakeDesk
from tests.fakes.wsgi import Caller

_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # SQLite waits for disks, each time it is made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is served at /dav/."""
    made = tmp_path / "served"
    made.mkdir()
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The account's home."""
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def desk() -> Iterator[FakeDesk]:
    """The portal's lock service."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as state:
        made = FakeDesk(Path(state))
        yield made
        made.close()


@pytest.fixture
def asker(desk: FakeDesk) -> FakeAsker:
    """The worker's way to it."""
    return desk.asker()


@pytest.fixture
def dav(folder: Path, home: Path, asker: FakeAsker) -> Caller:
    """The application."""
    return Caller(Application(Tree({"/": str(folder)}, str(home), "alice"), "alice", asker))
