"""The demonstration's process, as the embedded portal starts and ends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure


class Demonstration(ProcessProtocol):
    """It ends when its standard input closes, as it does when the portal dies.

    :param ready: called once it listens, or has failed to.
    """

    def __init__(self, ready: Callable[[], object]) -> None:
        self._ready: Callable[[], object] | None = ready

    def start(self, reactor: Any) -> None:
        """Start it, with little of this process's environment."""
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        command = [sys.executable, "-m", "supercloud.demo"]
        reactor.spawnProcess(self, command[0], command, environment, path="/")

    def outReceived(self, data: bytes) -> None:
        """It says its port."""
        self._is_ready()

    def processEnded(self, reason: Failure) -> None:
        """It is gone; the portal does without it."""
        self._is_ready()

    def end(self) -> None:
        """End it."""
        self._ready = None
        if self.transport is not None:
            self.transport.loseConnection()

    def _is_ready(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready()
