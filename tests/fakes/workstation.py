"""A portal's API in memory, as a workstation reaches it; implements `workstation.Sends`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from supercloud.entry import Entry, Failed
from supercloud.https import Answer
from tests.fakes.workspace import FakeWorkspace

TOKEN = f"scp_{'ab' * 32}"
URL = "https://portal.test"


class FakePortal:
    """:ivar instead: answered or raised next, the first one first, instead of asking the workspace.
    :ivar asked: method and path of each request.
    :ivar entries: with which it was reached.
    :ivar sleeps: seconds of each pause; ``on_sleep`` is called then, so that something happens meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.workspace = FakeWorkspace(folder)
        self.instead: list[Answer | Failed] = []
        self.asked: list[str] = []
        self.entries: list[Entry] = []
        self.sleeps: list[float] = []
        self.on_sleep: list[Callable[[], object]] = []
        self.now = 0.0

    def send(self, method: str, path: str, body: bytes | None = None) -> Answer:
        self.asked.append(f"{method} {path}")
        if self.instead:
            instead = self.instead.pop(0)
            if isinstance(instead, Failed):
                raise instead
            return instead
        if path == "/healthz":
            return Answer(200, "text/plain", b"ok\n")
        if path == "/api/token":  # told by the front
            return Answer(200, "application/json", b'{"id":"0a1b","name":"","for":["jobs"],"ends":9e9}')
        answer = self.workspace.client.open(path, method=method, data=body)
        return Answer(answer.status_code, answer.mimetype, answer.data)

    def reached_by(self, entry: Entry) -> FakePortal:
        """In the place of `https.Https`."""
        self.entries.append(entry)
        return self

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        if self.on_sleep:
            self.on_sleep.pop(0)()

    def clock(self) -> float:
        return self.now

    def prints(self, job_id: str, data: bytes) -> None:
        """Have a job of an application print something, as `has` with `MARKED` knows it."""
        output = self.workspace.home / ".local/share/supercloud/jobs" / FOLDER / "output.log"
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as opened:
            opened.write(data)


FOLDER = "20260101-120000-web-abcdef"
MARKED = f"supercloud:web:{FOLDER}"
