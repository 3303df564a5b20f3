"""litmus, all suites, against a worker of an ordinary account and the portal's own locks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.accounts import Accounts
from lab.dav import portal_desk, serve
from lab.processes import Processes

SUITES = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
_SUMMARY = re.compile(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed")


@pytest.fixture
def login(request: pytest.FixtureRequest) -> str:
    """alice where there are accounts to make, else whoever runs the tests."""
    if os.geteuid() != 0:
        return ""
    accounts: Accounts = request.getfixturevalue("accounts")
    return accounts["alice"].login


@pytest.fixture
def served(login: str) -> Iterator[Path]:
    """A folder of that account."""
    made = Path(tempfile.mkdtemp(prefix="supercloud-litmus-", dir="/tmp"))
    if login:
        shutil.chown(made, login)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.skipif(shutil.which("litmus") is None, reason="litmus is not installed")
def test_litmus_passes_whole(processes: Processes, login: str, served: Path, tmp_path: Path) -> None:
    with portal_desk(processes) as desk:
        dav = serve(processes, login, {"/": str(served)}, cwd=served, desk=desk.path)
        done = subprocess.run(
            ["litmus", "-k", f"{dav.url}/", "nobody", "nothing"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    found = {name: (int(run), int(passed)) for name, run, passed, _failed in _SUMMARY.findall(done.stdout)}
    assert found == {name: (count, count) for name, count in SUITES.items()}, done.stdout
    assert "WARNING" not in done.stdout
    assert done.returncode == 0
