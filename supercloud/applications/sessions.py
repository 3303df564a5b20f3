"""What runs: jobs with what their applications say of themselves, in words for the person."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import msgspec

from supercloud.applications.announcement import Announcement, jupyter_servers, read_announcement
from supercloud.applications.catalogue import Catalogue
from supercloud.applications.launching import MARK, OUTPUT
from supercloud.applications.own_file import read_own_file
from supercloud.applications.shared_jobs import SharedJobs
from supercloud.scheduler.interface import Job, NoSuchJob, Scheduler

Stage = Literal["waiting", "starting", "ready", "ending", "over"]

MOST_LOG: Final = 64 * 1024  # bytes of the output in one answer
KEPT_FOLDERS: Final = 100
MOST_WARNING: Final = 3600.0  # seconds; its owner is told in the last quarter of the time
_MOST_TROUBLE: Final = 2000  # bytes
_LATE: Final = 120.0  # seconds that a judge's look may take
# In a job's folder: what its script and its judge leave there (prelude.sh, idle.py), and what a person's page does.
_TROUBLE, _IDLE, _ENDED, _RENEWED = "trouble", "idle.json", "ended", "renewed"
_FOLDER: Final = re.compile(r"\d{8}-\d{6}-[a-z0-9][a-z0-9_-]{0,39}-[0-9a-f]{6}")
_REASONS: Final = {
    "Priority": "Others are before it in the queue.",
    "Resources": "It waits for enough free processors, memory or GPUs.",
    "PartitionConfig": "The partition has no node that is this large. It will not start as it is.",
    "PartitionNodeLimit": "It asks for more nodes than the partition gives. It will not start as it is.",
    "PartitionTimeLimit": "It asks for more time than the partition gives. It will not start as it is.",
    "PartitionDown": "The partition is closed for now.",
    "PartitionInactive": "The partition is closed for now.",
    "ReqNodeNotAvail": "A node that it needs is down or reserved.",
    "Reservation": "It waits for its reservation.",
    "QOSMaxJobsPerUserLimit": "You have as many jobs as you may have at once. It starts when one of them ends.",
    "QOSMaxCpuPerUserLimit": "You use as many processors as you may. It starts when one of your jobs ends.",
    "QOSMaxGRESPerUser": "You use as many GPUs as you may. It starts when one of your jobs ends.",
    "AssocGrpCpuLimit": "Your group uses as many processors as it may.",
    "AssocMaxJobsLimit": "You have as many jobs as you may have at once. It starts when one of them ends.",
    "JobHeldUser": "It is held. Release it with: scontrol release ID",
    "JobHeldAdmin": "An administrator holds it; ask the site's support.",
    "Licenses": "It waits for a licence.",
    "Dependency": "It waits for another job.",
    "BeginTime": "It is to start later.",
    "DependencyNeverSatisfied": "The job that it waits for failed: it will not start.",
}
_OVER: Final = {
    "done": "It has ended.",
    "cancelled": "It was stopped.",
    "timed-out": "Its time was up.",
    "lost": "Its node, or the scheduler's part there, went down.",
    "failed": "It failed.",
}


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """What a job's own judge says (see `idle`), in seconds since the epoch.

    :ivar since: when it was used last.
    :ivar ends: when it ends unless it is used or renewed.
    """

    since: float
    ends: float


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One job, or one server that was found.

    :ivar id: the job's, or ``jupyter-PID``.
    :ivar app: id of its application; "" for other jobs.
    :ivar words: what is going on, and what to do.
    :ivar place: where it is opened, once it says so.
    :ivar folder: of its files; "" where it has none here.
    :ivar idle: that nobody uses it, when its owner has to be told.
    """

    id: str
    name: str
    stage: Stage
    words: str = ""
    app: str = ""
    icon: str = ""
    job: Job | None = None
    place: Announcement | None = None
    folder: str = ""
    idle: Idle | None = None

    @property
    def can_open(self) -> bool:
        """Whether there is something to open."""
        return self.place is not None and self.stage == "ready"


class Sessions:
    """Jobs and applications of the account that this process is.

    :param data: folder of the jobs' folders.
    :param announced: folder of what applications say of themselves.
    :param runtime: of Jupyter's runtime files.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        catalogue: Catalogue,
        *,
        data: Path,
        announced: Path,
        runtime: Path,
        host: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._scheduler = scheduler
        self._catalogue = catalogue
        self._data = data
        self._announced = announced
        self._runtime = runtime
        self._host = host
        self._clock = clock
        self._jobs = SharedJobs(scheduler, clock)

    def all(self) -> list[Session]:
        """The newest first; what was found beside the jobs comes last.

        :raises SchedulerError: nobody could say.
        """
        return self._all(self.of_jobs())

    def watched(self) -> list[Session]:
        """The same for an open page that waits for a change; see `SharedJobs.watch`.

        :raises SchedulerError: nobody could say.
        """
        return self._all([self._of(job) for job in self._jobs.watch()])

    def known(self, session_id: str) -> Session:
        """One of them, as the pages show it now; asked about afresh if they do not.

        :raises NoSuchJob, SchedulerError: there is none, or nobody could say.
        """
        found = next((one for one in self.all() if one.id == session_id), None)
        return self.find(session_id) if found is None else found

    def _all(self, sessions: list[Session]) -> list[Session]:
        known = {(one.place.node, one.place.port) for one in sessions if one.place is not None}
        running = [one.job for one in sessions if one.job is not None and one.job.state == "running"]
        nodes = {node for job in running for node in job.nodes}
        return [*sessions, *(one for one in self._found(nodes) if _at(one) not in known)]

    def of_jobs(self) -> list[Session]:
        """Those that are jobs.

        :raises SchedulerError: nobody could say.
        """
        return [self._of(job) for job in self._jobs.get()]

    def find(self, session_id: str) -> Session:
        """One of them, asked about afresh.

        :raises NoSuchJob, SchedulerError: there is none, or nobody could say.
        """
        if session_id.startswith("jupyter-"):
            for one in self.all():
                if one.id == session_id:
                    return one
            raise NoSuchJob("This server has ended.")
        return self._of(self._scheduler.job(session_id))

    def stop(self, session_id: str) -> None:
        """End its job.

        :raises NoSuchJob, SchedulerError: it was not.
        """
        self._scheduler.cancel(session_id)
        self._jobs.forget()

    def renew(self, session_id: str) -> None:
        """Have it go on though nobody uses it: as if somebody had just used it.

        :raises NoSuchJob, SchedulerError: there is none.
        :raises OSError: it cannot be noted.
        """
        session = self.find(session_id)
        if not session.folder or session.stage == "over":
            raise NoSuchJob("There is nothing to renew: it is over, or was not started here.")
        mark = Path(session.folder) / _RENEWED
        mark.touch(mode=0o600)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    def forget(self) -> None:
        """Ask the scheduler anew next time: something was started."""
        self._jobs.forget()

    def log(self, session: Session, offset: int = -1) -> tuple[bytes, int]:
        """A part of what a session printed, and where the next part begins.

        :param offset: bytes; negative for the end of it.
        :raises OSError: there is none.
        """
        if not session.folder:
            raise FileNotFoundError(2, "this job was not started here")
        with (Path(session.folder) / OUTPUT).open("rb") as output:
            size = os.fstat(output.fileno()).st_size
            begin = max(0, size - MOST_LOG) if offset < 0 or offset > size else offset
            output.seek(begin)
            data = output.read(MOST_LOG)
        return data, begin + len(data)

    def tidy(self) -> None:
        """Remove what is left of old jobs: folders beyond the last hundred, and announcements of jobs that are over."""
        jobs = self._jobs.get()
        over = {job.id for job in jobs if job.is_over}
        using = {folder for job in jobs if not job.is_over and (folder := _folder_of(job))}
        for name in sorted(filter(_FOLDER.fullmatch, _names(self._data)), reverse=True)[KEPT_FOLDERS:]:
            if name not in using:
                shutil.rmtree(self._data / name, ignore_errors=True)
        for name in _names(self._announced):
            if name.removesuffix(".json") in over:
                (self._announced / name).unlink(missing_ok=True)

    def _of(self, job: Job) -> Session:
        app_id, folder = _mark(job)
        app = self._catalogue.find(app_id) if app_id else None
        place = None if job.is_over else self._place(job)
        stage = _stage(job, place)
        within = app.definition.open.within if app is not None else None
        idle = self._idle(self._data / folder) if folder and stage in ("starting", "ready") else None
        if stage == "starting" and app is None:
            stage = "ready"  # a job of the person's own: nobody knows whether there is something to open
        return Session(
            id=job.id,
            name=app.definition.name if app is not None and job.name == app_id else job.name,
            stage=stage,
            words=self._words(job, stage, within) if idle is None else self._warning(idle),
            app=app_id,
            icon=app.definition.icon if app is not None else "",
            job=job,
            place=place,
            folder=str(self._data / folder) if folder and (self._data / folder).is_dir() else "",
            idle=idle,
        )

    def _idle(self, folder: Path) -> Idle | None:
        """What its owner has to be told: that it ends soon, as nobody uses it."""
        found = read_own_file(folder / _IDLE, most=_MOST_TROUBLE, closed=0o022)
        try:
            told = None if found is None else msgspec.json.decode(found[0], type=Idle)
        except (ValueError, RecursionError):
            return None
        if told is None:
            return None
        now = self._clock()
        try:
            if (folder / _RENEWED).stat().st_mtime > told.since:
                return None
        except OSError:
            pass
        warned = max(told.ends - MOST_WARNING, (told.since + 3 * told.ends) / 4)
        # One that is long past is of a judge that was ended itself.
        return told if warned <= now < told.ends + _LATE else None

    def _warning(self, idle: Idle) -> str:
        left = max(0, round((idle.ends - self._clock()) / 60))
        when = "within a minute" if left < 1 else f"in {left} minute{'s' if left > 1 else ''}"
        return f"Nobody uses it. It ends {when}, unless it is used or renewed."

    def _place(self, job: Job) -> Announcement | None:
        """What a job announced, unless an earlier job of the same number did."""
        told = read_announcement(self._announced / f"{job.id}.json")
        if told is None or (job.starts is not None and told.written < job.starts - 60):
            return None
        return told

    def _words(self, job: Job, stage: Stage, within: int | None) -> str:
        if stage == "waiting":
            return _REASONS.get(job.reason, f"It waits ({job.reason})." if job.reason else "It waits for its turn.")
        if stage == "over":
            ended = _said(self._data / _folder_of(job) / _ENDED)
            if ended and job.state != "lost":
                return ended
            said = _said(self._data / _folder_of(job) / _TROUBLE) if job.state == "failed" else ""
            words = _OVER.get(job.state, "It is over.")
            return (
                f"{words.removesuffix('.')} ({job.reason})." if job.reason and not said else f"{words} {said}".rstrip()
            )
        if stage == "starting" and within is not None and job.starts is not None:
            late = self._clock() - job.starts - within
            if late > 0:
                return "It takes longer than usual. Its output may say why."
            return "It runs, and gets ready."
        return "It is ending." if stage == "ending" else ""

    def _found(self, nodes: Iterable[str]) -> list[Session]:
        """Jupyter servers that run in jobs of this account, or on this host."""
        shorts = {node.partition(".")[0] for node in nodes}
        found = []
        for pid, place in jupyter_servers(self._runtime):
            short = place.node.partition(".")[0]
            is_here = short in ("localhost", "127", self._host) and Path(f"/proc/{pid}").exists()
            if not is_here and short not in shorts:
                continue
            if is_here:
                place = msgspec.structs.replace(place, node="localhost")
            found.append(
                Session(
                    id=f"jupyter-{pid}",
                    name="Jupyter",
                    stage="ready",
                    icon="Jup",
                    place=place,
                    words=f"Found on {short}.",
                )
            )
        return found


def _stage(job: Job, place: Announcement | None) -> Stage:
    if job.is_over:
        return "over"
    if job.state == "pending":
        return "waiting"
    if job.state == "ending":
        return "ending"
    return "ready" if place is not None else "starting"


def _mark(job: Job) -> tuple[str, str]:
    """Application and folder that a job's comment names."""
    parts = job.comment.split(":")
    if len(parts) != 3 or parts[0] != MARK or not _FOLDER.fullmatch(parts[2]):
        return "", ""
    return parts[1], parts[2]


def _folder_of(job: Job) -> str:
    return _mark(job)[1]


def _said(file: Path) -> str:
    """What its script said when it gave up, or its judge when it was ended; "" where nothing was said."""
    try:
        with file.open("rb") as told:
            return told.read(_MOST_TROUBLE).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _at(one: Session) -> tuple[str, int] | None:
    return None if one.place is None else (one.place.node, one.place.port)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []
