"""Monitors, PAM services of the tests' own, and somebody with a password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.accounts import private_account
from lab.monitor import SERVICE, Running, Start, monitors, of_root
from lab.monitor import services as pam_services


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts monitors; ended when the test ends."""
    with monitors(tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def services() -> Iterator[None]:
    """PAM services of our own."""
    with pam_services():
        yield


@pytest.fixture
def site(start: Start, tmp_path: Path, services: None) -> Running:
    """A monitor with root's rights and a fake zygote."""
    return start(of_root(tmp_path, SERVICE))


@pytest.fixture
def erin(services: None) -> Iterator[str]:
    """The login of an account of this test's own, with the password "right"."""
    with private_account("right") as login:
        yield login
