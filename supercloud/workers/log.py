"""Where a worker's own messages go: to the system's log, as every program of its account may.

Not to the portal's standard error. That may be the terminal of whoever started the portal, and who holds a terminal
can read what is typed there; or a file, which its holder can cut.
"""

from __future__ import annotations

import io
import os
import sys
import syslog
from typing import Final

_NAME: Final = "supercloud-worker"
_STANDARD_ERROR: Final = 2


class SystemLog(io.TextIOBase):
    """A text stream whose lines become messages; never fails."""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line:
                syslog.syslog(syslog.LOG_ERR, ascii(line)[1:-1])
        return len(text)


def leave_standard_error() -> None:
    """Let go of it, for this process and whatever it starts; standard input leads to /dev/null already."""
    os.dup2(0, _STANDARD_ERROR)
    syslog.openlog(_NAME, syslog.LOG_PID, syslog.LOG_USER)
    sys.stderr = SystemLog()
