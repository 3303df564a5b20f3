"""Things of the whole machine that several test runs use at once: the first makes them, the last removes them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = Path("/run/lock")


@contextmanager
def shared(name: str, make: Callable[[], None], remove: Callable[[], None]) -> Iterator[None]:
    """Hold ``name`` while the block runs.

    A run that crashed holds nothing any more (the kernel drops its locks), so the next one finds what it left, uses it
    and removes it.

    :param make: idempotent.
    :param remove: called by the last holder only; leaves what these tests did not make.
    """
    use = _open(f"{name}.use")
    try:
        with _alone(name):
            make()
            fcntl.flock(use, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with _alone(name):
                fcntl.flock(use, fcntl.LOCK_UN)
                try:
                    fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass
                else:
                    remove()
    finally:
        os.close(use)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    fd = _open(f"{name}.change")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _open(name: str) -> int:
    return os.open(_FOLDER / f"supercloud-tests-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
