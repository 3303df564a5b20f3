"""A desk's parts on a file of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from supercloud.desk.locks import LockBook
from supercloud.desk.properties import PropertyBook
from supercloud.desk.store import Store
from tests.unit.desk.proofs import Clock


@pytest.fixture
def clock() -> Clock:
    """A time of day that a test sets."""
    return Clock()


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "desk.sqlite"


@pytest.fixture
def store(store_path: Path) -> Iterator[Store]:
    """An open one."""
    made = Store(store_path)
    made.open()
    yield made
    made.close()


@pytest.fixture
def properties(store: Store, clock: Clock) -> PropertyBook:
    return PropertyBook(store, now=clock)


@pytest.fixture
def book(store: Store, properties: PropertyBook, clock: Clock) -> LockBook:
    return LockBook(store, properties, now=clock)
