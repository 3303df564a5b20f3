"""A served folder, and somebody who asks for what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from wsgidav.lock_man.lock_manager import LockManager
from wsgidav.lock_man.lock_storage import LockStorageDict
from wsgidav.prop_man.property_manager import PropertyManager

from supercloud.dav.app import make_app
from tests.fakes.wsgi import Caller


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
def dav(folder: Path, home: Path) -> Caller:
    """The application, with wsgidav's own locks and properties in memory."""
    locks, properties = LockManager(LockStorageDict()), PropertyManager()
    return Caller(make_app({"/": str(folder)}, str(home), None, lock_manager=locks, prop_manager=properties))
