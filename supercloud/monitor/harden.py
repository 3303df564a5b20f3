"""What the monitor and its children take from themselves: descriptors, and outliving their parent."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from supercloud.workers.kernel import end_with_parent

_STANDARD: Final = frozenset({0, 1, 2})


def close_others(keep: Collection[int]) -> None:
    """Close every descriptor but these and the standard three."""
    kept = _STANDARD.union(keep)
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if descriptor not in kept:
            with suppress(OSError):  # the listing's own is closed already
                os.close(descriptor)


def die_with(parent: int) -> None:
    """Be killed when the parent ends, and at once when it has ended already.

    :param parent: its id as it was before the fork.
    """
    end_with_parent()
    if os.getppid() != parent:
        os._exit(1)
