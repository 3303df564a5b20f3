"""What became of a job on a node, as its owner's worker tells the front: why nothing listens where a forward leads.

The front asks with a method that no browser can send, as about jobs that listen (`supercloud.workers.session_told`).
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

METHOD: Final = "JOB-AT"


class JobAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last job of an account's on a node.

    :ivar ended: seconds since it ended; None while it runs.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}(?:[_+][0-9]{1,10})?\Z")]
    ended: Annotated[float, msgspec.Meta(ge=0)] | None

    @property
    def words(self) -> str:
        """For its owner, behind "nothing listens there"."""
        if self.ended is None:
            return f"Your job {self.id} runs there; it may be getting ready, or listen at another port."
        return f"Your job {self.id} there ended {_ago(self.ended)} ago."


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return f"{int(seconds)} seconds"
