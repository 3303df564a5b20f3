"""What the site tells everybody, and whether the portal is closed for maintenance, by one file that is read again.

```toml
[[notice]]
text = "The scratch file system is slow today."
kind = "warning"                            # or "info"
until = 2026-12-01T18:00:00+01:00           # and from; both may be left out

[maintenance]
text = "The cluster gets a new network. It is back at six."
from = 2026-12-02T08:00:00+01:00
until = 2026-12-02T18:00:00+01:00
allow = ["alice"]                           # accounts that may use the portal all the same
```

Maintenance lets nobody begin anything: no page, no file, no application, no sign-in. What is under way goes on, as an
upload of an hour has done no harm to anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from twisted.internet.interfaces import IReactorTime

from supercloud import events
from supercloud.accounts import Offloaded
from supercloud.authn.recurring import Recurring
from supercloud.errors import UnderMaintenance
from supercloud.notice import Told, field_line

EVERY: Final = 2.0  # seconds between two looks at the file
MOST: Final = 64 * 1024  # bytes of it
MOST_WAIT: Final = 3600  # seconds that programs are asked to wait

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class _Timed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:ivar begins, ends: times without a zone are the host's own."""

    text: Text
    begins: datetime | None = msgspec.field(default=None, name="from")
    ends: datetime | None = msgspec.field(default=None, name="until")

    def holds(self, now: float) -> bool:
        """Whether it is its time."""
        has_begun = self.begins is None or self.begins.timestamp() <= now
        return has_begun and (self.ends is None or now < self.ends.timestamp())


class Notice(_Timed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[notice]]``"""

    kind: Literal["info", "warning"] = "info"


class Maintenance(_Timed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[maintenance]``"""

    allow: tuple[str, ...] = ()


class Notices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    notice: Annotated[tuple[Notice, ...], msgspec.Meta(max_length=10)] = ()
    maintenance: Maintenance | None = None


class WrongNotices(ValueError):
    """The file cannot be used; says why."""


def read(file: Path) -> Notices:
    """Read the file; one that is not there says nothing.

    :raises WrongNotices: it cannot be read, or says what is not known.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST + 1)
    except FileNotFoundError:
        return Notices()
    except OSError as error:
        raise WrongNotices(f"{file}: {error.strerror}") from None
    if len(text) > MOST:
        raise WrongNotices(f"{file}: is longer than {MOST} bytes")
    try:
        return msgspec.toml.decode(text, type=Notices)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WrongNotices(f"{file}: {error}; conf/notices.example.toml shows every key") from None


class Board:
    """What holds now.

    :param file: None where the site has none.
    :param now: seconds since the epoch.
    """

    def __init__(self, file: Path | None, *, offload: Offloaded, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._file = file
        self._offload = offload
        self._now = now
        self._notices = Notices()
        self._wrong = ""
        self._field: tuple[tuple[Told, ...], bytes] = ((), b"")
        self._recurring = Recurring(clock, EVERY, self._look, "reading the site's notices")

    def start(self) -> None:
        """Read it, which blocks, before anybody is let in; and begin to look.

        :raises WrongNotices: see `read`; later the last one that could be used goes on to hold.
        """
        if self._file is not None:
            self._notices = read(self._file)
            self._recurring.start()

    def stop(self) -> None:
        """Leave no timer behind."""
        self._recurring.stop()

    def refusal(self, login: str) -> UnderMaintenance | None:
        """What an account's requests are answered now; None when it may use the portal."""
        closed = self._notices.maintenance
        if closed is None or login in closed.allow:
            return None
        now = self._now()
        if not closed.holds(now):
            return None
        error = UnderMaintenance("maintenance", public=f"{UnderMaintenance.public} {closed.text}", claimed=login)
        left = MOST_WAIT if closed.ends is None else closed.ends.timestamp() - now
        error.retry_after = max(1, min(MOST_WAIT, int(left)))
        return error

    def shown(self) -> tuple[Told, ...]:
        """What pages show now."""
        notices, now = self._notices, self._now()
        told = [Told(one.kind, one.text) for one in notices.notice if one.holds(now)]
        closed = notices.maintenance
        if closed is not None and closed.holds(now):
            told.insert(0, Told("warning", f"Closed for maintenance. {closed.text}"))
        return tuple(told)

    def field(self) -> bytes:
        """The same as a line of a request to a worker; empty when there is nothing to say."""
        if not self._notices.notice and self._notices.maintenance is None:
            return b""
        shown = self.shown()
        if self._field[0] != shown:
            self._field = shown, field_line(shown)
        return self._field[1]

    async def _look(self) -> None:
        file = self._file
        if file is None:
            return
        try:
            said = await self._offload.run(lambda: read(file))
        except WrongNotices as error:
            if str(error) != self._wrong:
                events.reload_failed(str(error))
            self._wrong = str(error)
        else:
            self._wrong = ""
            if said.maintenance != self._notices.maintenance:
                events.maintenance(_told(said.maintenance))
            self._notices = said


def _told(closed: Maintenance | None) -> str:
    """For the log."""
    if closed is None:
        return "none"
    begins, ends = (when.isoformat() if when is not None else "open" for when in (closed.begins, closed.ends))
    return f"from {begins} until {ends}, but for {', '.join(closed.allow) or 'nobody'}: {closed.text}"
