"""The lines that an administrator's commands leave: in the portal's audit, or in the system's log where it has no file.

The commands work on the state folder, whether a portal runs or not, so it is they who leave them.
"""

from __future__ import annotations

import os
import pwd
import syslog
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time as wall_clock
from typing import Final

import click

from supercloud.events import ActLine
from supercloud.front.audit import append

_UNSET: Final = 2**32 - 1  # loginuid of what no login began, proc(5)


@dataclass(frozen=True, slots=True)
class Leaves:
    """Made before root becomes the owner of the state folder.

    :ivar uid: of whoever typed the command, root where it was sudo.
    :ivar login_uid: see `ActLine`.
    :ivar audit: file of audit lines; empty for none.
    """

    uid: int
    login_uid: int | None
    audit: str = ""

    @classmethod
    def of_this_process(cls, audit: str) -> Leaves:
        """For whoever runs it."""
        return cls(os.getuid(), _login_uid(Path("/proc/self/loginuid")), audit)

    def __call__(self, act: str, account: str, what: str = "") -> None:
        """Leave one. What was done is done: where none can be left, that is said."""
        when = datetime.fromtimestamp(wall_clock(), UTC)
        line = ActLine(when, act, account, _name(self.uid), self.uid, "command", what, login_uid=self.login_uid)
        if not self.audit:
            syslog.openlog("supercloud", facility=syslog.LOG_AUTHPRIV)
            syslog.syslog(syslog.LOG_NOTICE, line.line().decode().rstrip())
            return
        try:
            append(Path(self.audit), line.line())
        except OSError as error:
            click.echo(f"done, but no line of it is in {self.audit}: {error.strerror}", err=True)


def _login_uid(file: Path) -> int | None:
    try:
        uid = int(file.read_text())
    except (OSError, ValueError):
        return None  # a kernel without audit
    return None if uid == _UNSET else uid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
