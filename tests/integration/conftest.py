"""Fixtures of the integration tests; what they make is in lab/."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import accounts as lab_accounts
from lab import cluster as lab_cluster
from lab.certificates import Certificates
from lab.processes import PYTHON, Processes, PublicCopies
from lab.sharing import shared

_LAB = Path(__file__).parent / "lab"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked with ``root``, with the reason, when this is not root."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root, for accounts and network namespaces of its own"))


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Starts processes; each is ended when the tests end."""
    made = Processes()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def public_copies() -> Iterator[PublicCopies]:
    """Copies of standalone scripts that every account can read and run."""
    made = PublicCopies()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def accounts(applications: Applications) -> Iterator[lab_accounts.Accounts]:
    """alice, bob, carol and dave; needs root."""
    _need_root()
    started = Processes()
    with shared("accounts", lab_accounts.make, lab_accounts.remove):
        applications.accounts = lab_accounts.Accounts(started)
        try:
            yield applications.accounts
        finally:
            applications.accounts = None
            started.stop()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[lab_cluster.Cluster]:
    """node1 and node2, or as many as an indirect parameter says; needs root."""
    _need_root()
    count: int = getattr(request, "param", 2)
    started = Processes()
    with shared("cluster", lambda: lab_cluster.make(count), lab_cluster.remove):
        try:
            yield lab_cluster.Cluster(started, count)
        finally:
            started.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A site's authority, the portal's certificate, people's good and bad ones, a revocation list."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@dataclass(frozen=True, slots=True)
class Running:
    """A test application that listens.

    :ivar log: JSON lines of what it accepted and received.
    """

    process: subprocess.Popen[Any]
    port: int
    log: Path

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What the application noted: "accepted", "received" or "closed"."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["event"] == kind]

    @property
    def bytes_received(self) -> int:
        """Of all its connections."""
        return sum({line["connection"]: line["bytes"] for line in self.events("received")}.values())


class Applications:
    """Starts lab/app.py, which listens once this returns.

    :ivar accounts: as whom it can be started; set while the fixture of that name is in use.
    """

    accounts: lab_accounts.Accounts | None = None

    def __init__(self, copies: PublicCopies, processes: Processes, logs: Path) -> None:
        self._script = copies.of(_LAB / "app.py")
        self._processes = processes
        self._logs = logs
        self._count = 0

    def start(
        self,
        login: str | None = None,
        *options: str,
        address: str = "127.0.0.1",
        node: str | None = None,
        gid: str | None = None,
    ) -> Running:
        """Start one, as an account (the test uses the fixture ``accounts`` then) or as whoever runs the tests.

        :param options: further options of the script, as "--once" or "--port", "9000".
        """
        self._count += 1
        log = self._logs / f"app-{self._count}.log"
        log.touch()
        log.chmod(0o666)
        argv = [PYTHON, str(self._script), "--address", address, "--log", str(log), *options]
        if login is None:
            process = self._processes.start(argv, stdout=subprocess.PIPE, text=True)
        else:
            if self.accounts is None:
                raise LookupError(f"to start it as {login}, use the fixture accounts too")
            process = self.accounts.run_as(login, argv, node=node, gid=gid, stdout=subprocess.PIPE, text=True)
        said = process.stdout.readline()
        if not said:
            raise ChildProcessError(f"{argv} ended with {process.wait()}")
        return Running(process, json.loads(said)["port"], log)


@pytest.fixture(scope="session")
def applications(public_copies: PublicCopies, processes: Processes) -> Applications:
    """Starts test applications; each is ended when the tests end."""
    logs = public_copies.folder / "logs"
    logs.mkdir()
    return Applications(public_copies, processes, logs)


def _need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for accounts and network namespaces of its own")
