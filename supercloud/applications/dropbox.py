"""Jobs for people who reach nothing but a drive: a batch script that is saved as ``~/portal-jobs/NAME.job`` runs.

``NAME.status`` says what became of it (JSON: `Told`), ``NAME.out`` is what it prints, and saving a ``NAME.cancel`` ends
it. Only what this account saved itself, through the portal, starts or ends anything: a file that somebody else put into
the folder does not. What is to be done is written into the status first and done by a thread of its own, so that a
worker that ends in between leaves nothing half done: the next one goes on from there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from supercloud.applications.own_file import read_own_file
from supercloud.applications.sessions import Session, Sessions
from supercloud.applications.shared_jobs import SHARED
from supercloud.scheduler.interface import OVER, Job, NoSuchJob, Refused, Scheduler, SchedulerError

FOLDER: Final = "portal-jobs"
MOST_SCRIPT: Final = 4 * 1024 * 1024  # bytes; SLURM takes no longer one (max_script_size)
MOST_FOLLOWED: Final = 1000  # jobs of the folder that are not over
# Seconds between two looks while nobody asks, and for which who asks or saves waits for a look.
EVERY: Final = 10.0
PATIENCE: Final = 3.0
# Seconds within which the same script saved again is the same save: some clients write a file twice.
_SAME_SAVE: Final = 5.0
_SKEW: Final = 5.0  # that the scheduler's clock may be behind this host's
_MOST_STATUS: Final = 16 * 1024
_STATUS_BLOCK: Final = 1024
_NAME: Final = re.compile(r"[^.\x00-\x1f\x7f/\\][^\x00-\x1f\x7f/\\]{0,199}")
_SUBMITTING, _REFUSED, _ENDED = "submitting", "refused", "ended"
_SETTLED: Final = frozenset({*OVER, _REFUSED, _ENDED})
_USUAL: Final = {"running": "It runs.", "ending": "It is ending."}
_EXCHANGED: Final = "The file was changed after it was saved, so it was not submitted. Save it again."
_log = logging.getLogger("supercloud.dropbox")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """``NAME.status``.

    :ivar job: the scheduler's id; None while there is none.
    :ivar state: "submitting", "refused", a `scheduler.interface.State`, or "ended" if nobody knows how.
    :ivar node: where it runs or ran, several with commas.
    :ivar since: when it came to this state (ISO 8601, UTC).
    :ivar message: for the person.
    :ivar script: a digest of the script that it runs.
    :ivar saved: when that was saved, in seconds since the epoch.
    :ivar tried: it was on its way to the scheduler once, which may have taken it.
    :ivar cancel: it is to be cancelled.
    :ivar newer: another script was saved since.
    """

    job: str | None = None
    state: str
    node: str = ""
    since: str = ""
    message: str = ""
    script: str = ""
    saved: float = 0.0
    tried: bool = False
    cancel: bool = False
    newer: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be done or seen."""
        return self.state in _SETTLED


class DropBox:
    """The folder of the account that this process is.

    :param folder: need not be there.
    :param start: starts the thread that does the work.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        sessions: Sessions,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        start: Callable[[Callable[[], None]], None] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.folder = folder
        self._scheduler = scheduler
        self._sessions = sessions
        self._clock = clock
        self._start = start or _start
        self._patience = patience
        self._is_started = False
        self._files = threading.Lock()
        self._followed: set[str] | None = None  # names whose jobs are not settled; None before the first look
        self._turn = threading.Condition()
        self._wanted = self._looked = 0
        self._looked_at = 0.0

    def saved(self, file: str) -> None:
        """A file was saved in the folder. Comes back when it was looked at, or is taking long."""
        name, _, kind = file.rpartition(".")
        if kind not in ("job", "cancel") or not name or name.startswith("."):
            return
        with self._files:
            self._heed_script(name) if kind == "job" else self._heed_cancel(name)
        self._have_looked()

    def refresh(self) -> None:
        """Somebody looks into the folder: what is told there should be true."""
        has_work = self._followed is None or bool(self._followed)
        # Where a look is under way, somebody waits for it already.
        if has_work and self._wanted == self._looked and self._clock() - self._looked_at >= SHARED:
            self._have_looked()

    def look(self) -> None:
        """Do what is to be done, and write down what became of it."""
        names = self._follow()
        for name in names:
            self._act(name)
        if not names:
            return
        try:
            sessions = {one.id: one for one in self._sessions.of_jobs()}
        except SchedulerError as error:
            text = str(error)
            for name in names:
                self._change(name, lambda told: told if told.job is None else _with(told, message=text))
            return
        for name in names:
            self._change(name, lambda told: self._seen(told, sessions))

    # What was saved: the lock of the files is held.

    def _heed_script(self, name: str) -> None:
        found = self._script(name)
        if found is not None and not found.strip():
            return  # some clients make an empty file first
        told, now = self._told(name), self._clock()
        if found is None or not _NAME.fullmatch(name):
            why = (
                "A job is a file of your own, no link, and not longer than 4 MiB."
                if found is None
                else "Give it a name without backslashes and control characters, of 200 characters at most."
            )
            if told is None or told.is_settled:
                self._write(name, Told(state=_REFUSED, since=_iso(now), message=why))
            return
        script = _digest(found)
        if told is not None and not told.is_settled and (told.job is not None or told.tried):
            if told.script != script:
                self._write(name, _with(told, newer=True))
            return
        if told is not None and told.script == script and now - told.saved < _SAME_SAVE:
            return
        message = "It is on its way to the scheduler."
        self._write(name, Told(state=_SUBMITTING, since=_iso(now), message=message, script=script, saved=now))
        self._remember(name)

    def _heed_cancel(self, name: str) -> None:
        told = self._told(name)
        if told is not None and not told.is_settled:
            self._write(name, _with(told, cancel=True))
            self._remember(name)

    def _remember(self, name: str) -> None:
        if self._followed is not None:
            self._followed.add(name)

    # What is done: by the thread, which alone asks the scheduler.

    def _follow(self) -> list[str]:
        """Names whose jobs are not settled; at first those that an earlier worker left."""
        with self._files:
            names = self._all() if self._followed is None else sorted(self._followed)
            found = (name for name in names if (told := self._told(name)) is not None and not told.is_settled)
            followed = list(islice(found, MOST_FOLLOWED))
            self._followed = set(followed)
            return followed

    def _act(self, name: str) -> None:
        """Submit it, or cancel it, if that is to be done."""
        told = self._told(name)
        if told is None or told.is_settled:
            return
        try:
            if told.job is not None:
                if told.cancel:
                    self._scheduler.cancel(told.job)
                    self._sessions.forget()
                    self._change(name, lambda now: _with(now, cancel=False, message="It is being cancelled."))
            elif told.tried:
                self._find_again(name, told)
            elif told.cancel:
                self._change(name, lambda now: self._come_to(now, "cancelled", "It was cancelled before it began."))
            else:
                self._submit(name)
        except NoSuchJob:
            self._change(name, lambda now: _with(now, cancel=False))
        except Refused as error:
            text = str(error)
            if told.job is None:
                self._change(name, lambda now: self._come_to(now, _REFUSED, text))
            else:
                self._change(name, lambda now: _with(now, cancel=False, message=text))
        except SchedulerError as error:
            text = str(error) + ("" if told.job is not None else " It is submitted as soon as that is over.")
            self._change(name, lambda now: _with(now, message=text))

    def _submit(self, name: str) -> None:
        try:
            script = self._take(name)
        except OSError:
            return  # a full disk: it is submitted when its status can say so
        if script is None:
            return
        output = self.folder / f"{name}.out"
        with suppress(OSError):
            output.unlink(missing_ok=True)
        try:
            job_id = self._scheduler.submit_batch(script, self.folder / f"{name}.job", output)
        except Refused:
            raise
        except SchedulerError:
            self._sessions.forget()  # it may have taken it all the same
            raise
        self._sessions.forget()
        self._change(name, lambda told: _with(told, job=job_id, state="pending", message="It waits for its turn."))

    def _take(self, name: str) -> bytes | None:
        """The script that was saved, whose turn has come; None when its file holds another one by now.

        :raises OSError: the status cannot say that it is on its way.
        """
        with self._files:
            told, found = self._told(name), self._script(name)
            if told is None:
                return None
            if found is None or _digest(found) != told.script:
                # Whoever may write the folder can exchange it.
                self._write(name, self._come_to(told, _REFUSED, _EXCHANGED))
                return None
            self._write(name, _with(told, tried=True))
            return found

    def _find_again(self, name: str, told: Told) -> None:
        """It was on its way when the scheduler fell silent, or this account's worker ended: is it there?

        :raises SchedulerError: nobody could say.
        """
        known = {other.job for one in self._all() if (other := self._told(one)) is not None}
        there = [
            job.id
            for one in self._sessions.of_jobs()
            if (job := one.job) is not None and job.id not in known and self._may_be(job, told)
        ]
        if len(there) > 1:
            text = (
                f"It is one of the jobs {', '.join(sorted(there))}, but nobody can say which. Look at your jobs' page."
            )
            self._change(name, lambda now: self._come_to(now, _ENDED, text))
        elif there:
            self._change(name, lambda now: _with(now, job=there[0]))
        else:
            self._change(name, lambda now: _with(now, tried=False))
            self._submit(name)

    def _may_be(self, job: Job, told: Told) -> bool:
        return Path(job.folder) == self.folder and job.submitted is not None and job.submitted >= told.saved - _SKEW

    def _seen(self, told: Told, sessions: dict[str, Session]) -> Told:
        """What the scheduler says of it now."""
        if told.job is None or told.is_settled:
            return told
        session = sessions.get(told.job)
        if session is None or session.job is None:
            words = "It is over, and the scheduler has forgotten how it ended. Its output may tell."
            return self._come_to(told, _ENDED, words)
        job = session.job
        begun = {"pending": job.submitted, "running": job.starts}.get(job.state, job.ends if job.is_over else None)
        since = told.since if begun is None else _iso(begun)
        if job.state != told.state and begun is None:
            since = _iso(self._clock())
        message = session.words or _USUAL.get(job.state, "")
        if told.newer:
            message += (
                " What you saved since was not submitted: save it again."
                if job.is_over
                else " It runs what was saved before: save a .cancel to end it, and then the new .job again."
            )
        return _with(told, state=job.state, node=",".join(job.nodes) or told.node, since=since, message=message)

    def _come_to(self, told: Told, state: str, message: str) -> Told:
        return _with(told, state=state, message=message, since=_iso(self._clock()))

    # The files.

    def _change(self, name: str, change: Callable[[Told], Told]) -> None:
        with self._files:
            told = self._told(name)
            if told is None:
                return  # whoever removes a status wants to hear no more of it
            changed = change(told)
            if changed != told:
                with suppress(OSError):  # a full disk: the next look tries again
                    self._write(name, changed)

    def _all(self) -> list[str]:
        """Names that have a status."""
        try:
            files = os.listdir(self.folder)  # noqa: PTH208
        except OSError:
            return []
        return sorted(one.removesuffix(".status") for one in files if one.endswith(".status") and one[0] != ".")

    def _script(self, name: str) -> bytes | None:
        found = read_own_file(self.folder / f"{name}.job", most=MOST_SCRIPT, closed=0)
        return None if found is None else found[0]

    def _told(self, name: str) -> Told | None:
        found = read_own_file(self.folder / f"{name}.status", most=_MOST_STATUS, closed=0o022)
        try:
            return None if found is None else msgspec.json.decode(found[0], type=Told)
        except (ValueError, RecursionError):
            return None

    def _write(self, name: str, told: Told) -> None:
        """:raises OSError: it cannot be written; the old one is whole."""
        draft = self.folder / f".{name[:200]}.status-{os.getpid()}"
        draft.unlink(missing_ok=True)
        text = msgspec.json.format(msgspec.json.encode(told), indent=1)
        # Of one length: a mounted drive believes for a while the length that it last saw.
        text += b" " * (-(len(text) + 1) % _STATUS_BLOCK) + b"\n"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(text)
        draft.replace(self.folder / f"{name}.status")

    # The thread.

    def _have_looked(self) -> None:
        """Have the thread look, and wait for that."""
        with self._turn:
            if not self._is_started:
                self._is_started = True
                try:
                    self._start(self._work)
                except RuntimeError as error:  # the account's limit of processes; whoever comes next tries again
                    self._is_started = False
                    _log.error("no thread for portal-jobs: %s", error)
                    return
            self._wanted += 1
            wanted = self._wanted
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._looked >= wanted, self._patience)

    def _work(self) -> None:
        while True:
            with self._turn:
                has_work = self._followed is None or bool(self._followed)
                self._turn.wait_for(lambda: self._wanted > self._looked, EVERY if has_work else None)
                wanted = self._wanted
            self._step(wanted)

    def _step(self, wanted: int) -> None:
        """One look, for all that asked for it until now."""
        try:
            self.look()
        except Exception as error:
            _log.error("portal-jobs cannot be looked at", exc_info=error)
        with self._turn:
            self._looked = wanted
            self._looked_at = self._clock()
            self._turn.notify_all()


def _with(told: Told, **changes: object) -> Told:
    return msgspec.structs.replace(told, **changes)


def _digest(script: bytes) -> str:
    return hashlib.sha256(script).hexdigest()[:32]


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="portal-jobs", daemon=True).start()
