"""What unit tests of several stages use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from twisted.logger import LogEvent, globalLogPublisher


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """Every event that is logged while a test runs."""
    found: list[LogEvent] = []
    globalLogPublisher.addObserver(found.append)
    yield found
    globalLogPublisher.removeObserver(found.append)


@pytest.fixture(scope="session")
def issued() -> tuple[bytes, bytes, bytes]:
    """A chain for localhost, its key, and the authority."""
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
    return chain, made.private_key_pem.bytes(), authority.cert_pem.bytes()


@pytest.fixture
def state(tmp_path: Path, issued: tuple[bytes, bytes, bytes]) -> Path:
    """A state folder, with the files of a site beside it."""
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    for name, data in zip(("fullchain.pem", "key.pem", "ca.pem"), issued, strict=True):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "map.toml").write_text('[[account]]\nlogin = "alice"\nemail = "alice@lab.example"\n')
    return made
