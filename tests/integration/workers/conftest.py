"""Zygotes and a worker, whose front is dave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.accounts import Accounts
from lab.workers import IN_A_NAMESPACE, Session, Zygote, pam_service, zygote


@pytest.fixture(scope="module")
def site(accounts: Accounts) -> Iterator[Zygote]:
    """A zygote without PAM."""
    with zygote() as made:
        yield made


@pytest.fixture(scope="module")
def apart(accounts: Accounts) -> Iterator[Zygote]:
    """A zygote with mounts of its own, so that tests can change what it sees."""
    with zygote(command=IN_A_NAMESPACE) as made:
        made.started(accounts["alice"].uid, "alice").stop()  # so that it has imported everything
        yield made


@pytest.fixture(scope="module")
def alice(site: Zygote, accounts: Accounts) -> Session:
    """A worker of alice's, for tests that leave it as it is."""
    return site.started(accounts["alice"].uid, "alice")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """A PAM service that notes the sessions that are opened and closed."""
    with pam_service(tmp_path) as name:
        yield name
