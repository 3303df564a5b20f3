"""Audit lines in a file of their own, written beside the reactor's thread."""

from __future__ import annotations

import os
from pathlib import Path

from supercloud import events
from supercloud.offload import Offload


class AuditFile:
    """Appends batches of lines; opened anew for each, so that logrotate needs to tell nobody."""

    def __init__(self, path: Path, offload: Offload) -> None:
        self._path = path
        self._offload = offload

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        events.watch(self._offload.run(append, self._path, lines), f"writing {self._path}")


def append(path: Path, lines: bytes) -> None:
    """Append whole lines; blocks.

    :raises OSError: as the kernel says.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(lines)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
