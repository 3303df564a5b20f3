"""A person's workspace in a folder of the test's, with a scheduler that the test tells what to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from werkzeug.test import Client

from supercloud.applications.catalogue import Catalogue
from supercloud.applications.launching import Launching
from supercloud.applications.sessions import Sessions
from supercloud.forward_files import ForwardFiles
from supercloud.pages.app import make_app
from supercloud.pages.keys import Keys
from supercloud.pages.listeners import NodeListeners
from supercloud.pages.workspace import Workspace
from tests.fakes.scheduler import FakeScheduler

SHIPPED = Path(__file__).parents[2] / "conf" / "apps"


class FakeWorkspace:
    """:ivar now: seconds since the epoch.
    :ivar client: asks its pages and its API.
    """

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.home = folder / "home"
        self.home.mkdir()
        self.site = folder / "apps"
        self.forwards = folder / "forwards"
        self.forwards.mkdir()
        self.scheduler = FakeScheduler()
        data = self.home / ".local/share/supercloud"
        self.announced = data / "sessions"
        self.announced.mkdir(parents=True)
        self.runtime = self.home / "runtime"
        self.runtime.mkdir()
        catalogue = Catalogue([self.site, SHIPPED], self.home / "own")
        self.sessions = Sessions(
            self.scheduler, catalogue, data=data / "jobs", announced=self.announced, runtime=self.runtime, host="head",
            clock=lambda: self.now,
        )  # fmt: skip
        self.launching = Launching(
            self.scheduler, home=self.home, login="alice", data=data / "jobs", state=self.home / "state"
        )
        self.workspace = Workspace(
            portal="https://portal.test", login="alice", home=self.home, scheduler=self.scheduler, catalogue=catalogue,
            launching=self.launching, sessions=self.sessions, keys=Keys(self.home),
            nodes=NodeListeners(self.scheduler, clock=lambda: self.now),
            forwards=ForwardFiles(self.forwards),
        )  # fmt: skip
        self.client = Client(make_app(self.workspace))

    def announce(self, job_id: str, **more: Any) -> None:
        """As an application does."""
        told = {"node": "node1", "port": 12001, "path": "/lab", "token": "very-secret", **more}
        file = self.announced / f"{job_id}.json"
        file.touch(0o600)
        file.write_text(json.dumps(told))
