"""What is worth telling: one function for each event, and the audit line that every exchange ends with.

Never a body, a cookie, a token or a query string.
"""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger(namespace="supercloud")

# Seconds between an exchange's end and its line in the file; a line a write would cost more than the exchange. Batches
# of 0.2 s took 15 ms at once at 20,000 requests/s, and everybody's requests waited for them.
FLUSH_AFTER: Final = 0.02

MOST_PATH: Final = 4096  # bytes of a path in a line: nobody needs an account to ask, and a head may have 64 KiB

_run = secrets.token_hex(4)
_count = itertools.count(1)


class AuditLine(msgspec.Struct, omit_defaults=False):
    """One decision of the portal, as one line of JSON.

    What costs time to write out is kept as it came until a batch is written: ``time`` in unix time, ``id`` as a number,
    ``method`` and ``path`` in bytes.

    :ivar time: when the exchange began, RFC 3339 in UTC.
    :ivar id: unique over restarts, and short enough to be read out on the telephone: error pages show it.
    :ivar principal: login; empty when nobody was authenticated.
    :ivar claimed: whom somebody said, or showed, that they are who was refused; see `PortalError`.
    :ivar credential: what the principal showed: ``session``, ``password`` or ``token`` with its id.
    :ivar address: of the browser.
    :ivar path: without its query, which is cut off when the line is written, as is what is over `MOST_PATH`.
    :ivar target: node and port, or empty.
    :ivar verdict: what the firewall rule said; ``rule`` tells on what ground it was asked: of the listener
        (``listener``), of the connection itself (``connection``), or of a connection checked before (``kept``).
    :ivar age: seconds since ident2 answered.
    :ivar up: bytes of bodies toward the application; ``down`` toward the browser.
    :ivar seconds: from the head's end to the last byte handed to the transport.
    :ivar outcome: served, refused, unreachable, abandoned, broken, timed-out.
    """

    time: datetime | float = 0.0
    id: str | int = msgspec.field(default_factory=_count.__next__)
    principal: str = ""
    claimed: str = ""
    credential: str = ""
    address: str = ""
    method: str | bytes = ""
    origin: str = ""
    path: str | bytes = ""
    target: str = ""
    verdict: str = ""
    rule: str = ""
    pid: int | None = None
    uid: int | None = None
    gid: int | None = None
    age: float | None = None
    status: int = 0
    up: int = 0
    down: int = 0
    seconds: float = 0.0
    outcome: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The ``id`` as it is written out."""
        return self.id if isinstance(self.id, str) else f"{_run}-{self.id:x}"


class ActLine(msgspec.Struct):
    """Something that changed who is let in, as one line of JSON among those of exchanges.

    :ivar time: RFC 3339 in UTC.
    :ivar act: ``token-made``, ``token-revoked``, ``tokens-revoked``, ``locked``, ``unlocked`` or ``kicked``.
    :ivar account: login of whose access it is.
    :ivar by: login of who did it, and ``by_uid``: signed in, or as the kernel says of who asked.
    :ivar way: ``page``, ``socket`` (the portal's own) or ``command`` (an administrator's, on the state folder).
    :ivar what: which token or session, for what; an administrator's reason.
    :ivar address: of the browser.
    :ivar login_uid: as whom the administrator's login began, whatever sudo made of it (loginuid, proc(5)).
    """

    time: datetime
    act: str
    account: str
    by: str
    by_uid: int
    way: str
    what: str = ""
    address: str = ""
    login_uid: int | None = None

    def line(self) -> bytes:
        """As it is written."""
        return msgspec.json.encode(self) + b"\n"


class Audit:
    """Collects lines and writes them in batches.

    :ivar outcomes: how many there were of each.
    :param write: takes the bytes of whole lines; must not block.
    """

    def __init__(self, clock: IReactorTime, write: Callable[[bytes], object]) -> None:
        self._clock = clock
        self._write = write
        self.outcomes: Counter[str] = Counter()
        self._lines: list[AuditLine | ActLine] = []
        self._call: IDelayedCall | None = None
        self._encoder = msgspec.json.Encoder()

    def add(self, line: AuditLine, *, is_told: bool = True) -> None:
        """Count an exchange, and keep its line for the next batch.

        :param is_told: false for what says nothing of anybody, as a style sheet.
        """
        self.outcomes[line.outcome] += 1
        if is_told:
            self._keep(line)

    def act(self, line: ActLine) -> None:
        """Keep a line for the next batch."""
        self._keep(line)

    def _keep(self, line: AuditLine | ActLine) -> None:
        self._lines.append(line)
        if self._call is None:
            self._call = self._clock.callLater(FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        """Write what was collected; called at the end too."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        lines, self._lines = self._lines, []
        for line in lines:
            if isinstance(line, AuditLine):
                _write_out(line)
        if lines:
            self._write(self._encoder.encode_lines(lines))


class Acts:
    """Leaves a line of each; see `ActLine`.

    :param now: unix time.
    """

    def __init__(self, audit: Audit, now: Callable[[], float]) -> None:
        self._audit = audit
        self._now = now

    def __call__(
        self, act: str, account: str, *, by: str, by_uid: int, way: str, what: str = "", address: str = ""
    ) -> None:
        """Somebody did it."""
        self._audit.act(ActLine(datetime.fromtimestamp(self._now(), UTC), act, account, by, by_uid, way, what, address))


def _write_out(line: AuditLine) -> None:
    if isinstance(line.time, float):
        line.time = datetime.fromtimestamp(line.time, UTC)
    line.id = line.name
    if isinstance(line.method, bytes):
        line.method = line.method.decode("ascii")
    if isinstance(line.path, bytes):
        line.path = line.path.partition(b"?")[0][:MOST_PATH].decode("ascii", "backslashreplace")
    line.seconds = round(line.seconds, 6)
    line.age = None if line.age is None else round(line.age, 6)


def unexpected(doing: str, failure: Failure | None = None) -> None:
    """A mistake of the portal's own: ``failure``, or else the exception that is being handled."""
    _log.failure("while {doing}", failure=failure, doing=doing)


def watch(deferred: Deferred[Any], doing: str) -> None:
    """Own a Deferred that nobody waits for: what fails in it is a mistake of the portal's own."""
    deferred.addErrback(lambda failure: unexpected(doing, failure))


def audited(lines: bytes) -> None:
    """Audit lines, where the site set no file for them."""
    _log.info("{lines}", lines=lines.decode().rstrip("\n"))


def listening(address: str) -> None:
    """A port is bound."""
    _log.info("listens at {address}", address=address)


def runs_as(login: str) -> None:
    """Whom the portal runs as."""
    _log.info("runs as {login}", login=login)


def warned(what: str) -> None:
    """Something that an administrator should look at."""
    _log.warn("{what}", what=what)


def login_failed(scheme: str, address: str, reason: str) -> None:
    """Somebody could not be signed in; ``reason`` is for the administrator."""
    _log.warn("sign-in by {scheme} from {address} failed: {reason}", scheme=scheme, address=address, reason=reason)


def signed_in(scheme: str, login: str, address: str) -> None:
    """Somebody was signed in."""
    _log.info("{login} signed in by {scheme} from {address}", scheme=scheme, login=login, address=address)


def kept_out(login: str, why: str) -> None:
    """An account may not be used from now on, and what it had open has ended."""
    _log.warn("{login} is kept out: {why}", login=login, why=why)


def let_in_again(login: str) -> None:
    """An account may be used again."""
    _log.info("{login} may be used again", login=login)


def maintenance(what: str) -> None:
    """The site said, or took back, for whom the portal is closed."""
    _log.warn("maintenance: {what}", what=what)


def worker_started(login: str, number: int, pid: int) -> None:
    """A process runs as that account."""
    _log.info("worker {number} of {login} is process {pid}", number=number, login=login, pid=pid)


def worker_ended(uid: int, number: int, how: str) -> None:
    """A worker's process is gone."""
    _log.info("worker {number} of uid {uid} ended: {how}", number=number, uid=uid, how=how)


def monitor_lost(why: str) -> None:
    """The monitor is gone, so the portal stops."""
    _log.critical("the monitor is gone ({why}): the portal stops", why=why)


def reloaded(what: str) -> None:
    """Settings of a running portal were read again."""
    _log.info("read again: {what}", what=what)


def reload_failed(reason: str) -> None:
    """What was read again cannot be used; the portal goes on with what it had."""
    _log.error("not read again, going on as before: {reason}", reason=reason)


def stopping(exchanges: int, seconds: float) -> None:
    """The portal closes its listeners and waits for what is under way."""
    _log.info("stops: {exchanges} connections, at most {seconds:g} s", exchanges=exchanges, seconds=seconds)
