"""What one person's workspace is made of."""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from supercloud.applications.catalogue import App, Broken, Catalogue
from supercloud.applications.form import Asked
from supercloud.applications.launching import Launching
from supercloud.applications.sessions import Session, Sessions
from supercloud.dav.quota import Quota
from supercloud.forward_files import ForwardFiles, is_there
from supercloud.monitor.wire import Workspace as WorkspaceTask
from supercloud.pages.keys import Keys
from supercloud.pages.listeners import NodeListeners, own_listeners
from supercloud.scheduler.interface import Listener, Scheduler, SchedulerError
from supercloud.scheduler.local import Local
from supercloud.scheduler.slurm import Slurm
from supercloud.workers.job_told import JobAt
from supercloud.workers.session_told import Told

_DATA: Final = ".local/share/supercloud"
_STATE: Final = ".local/state/supercloud"
# What is not started from a folder of an application is a Jupyter server, or takes none.
_JUPYTERS: Final = "token {token}"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The parts, and how they are told to pages and programs.

    :ivar portal: URL of the portal's own origin.
    :ivar forwards: None where the site has none.
    """

    portal: str
    login: str
    home: Path
    scheduler: Scheduler
    catalogue: Catalogue
    launching: Launching
    sessions: Sessions
    keys: Keys
    nodes: NodeListeners
    forwards: ForwardFiles | None

    @classmethod
    def of_this_process(cls, task: WorkspaceTask, *, home: str, forwards: str) -> Workspace:
        """Of the account that this process is.

        :param forwards: the site's folder of them; "" where there is none.
        """
        place, login = Path(home), _login()
        runs: Scheduler = Slurm() if task.scheduler == "slurm" else Local(place / _STATE / "jobs")
        catalogue = Catalogue([Path(folder) for folder in task.folders], place / ".config/supercloud/apps")
        data = place / _DATA / "jobs"
        return cls(
            portal=task.portal,
            login=login,
            home=place,
            scheduler=runs,
            catalogue=catalogue,
            launching=Launching(
                runs, home=place, login=login, data=data, state=place / _STATE / "forms", idle=task.idle
            ),
            sessions=Sessions(
                runs,
                catalogue,
                data=data,
                announced=place / _DATA / "sessions",
                runtime=Path(os.environ.get("JUPYTER_RUNTIME_DIR", place / ".local/share/jupyter/runtime")),
                host=socket.gethostname().partition(".")[0],
            ),
            keys=Keys(place),
            nodes=NodeListeners(runs),
            forwards=ForwardFiles(Path(forwards)) if is_there(forwards) else None,
        )

    def launch(self, app: App, given: Mapping[str, Any]) -> str:
        """Start an application; the job's id.

        :raises Unanswered, WrongDefinition, SchedulerError: it was not; see `Launching.launch`.
        """
        job_id = self.launching.launch(app, given)
        self.sessions.forget()
        with suppress(SchedulerError):  # it was started all the same
            self.sessions.tidy()
        return job_id

    def told(self, session_id: str) -> Told | None:
        """Where a job listens, for the front; None when it does not say, or not properly.

        :param session_id: or node and port.
        """
        try:
            # Each page that waits for it asks every two seconds; what the job announced is read each time.
            session = self._at(session_id) if ":" in session_id else self.sessions.known(session_id)
        except SchedulerError:
            return None
        if session is None:
            return None
        place = session.place
        if place is None or not session.can_open:
            return None
        app = self.catalogue.find(session.app) if session.app else None
        how = app.definition.open.authorization if app is not None else _JUPYTERS
        authorization = how.replace("{token}", place.token) if place.token else ""
        try:
            return msgspec.convert(
                {"node": place.node, "port": place.port, "path": place.path, "authorization": authorization}, Told
            )
        except msgspec.ValidationError:
            return None

    def _at(self, where: str) -> Session | None:
        """What has announced that it listens there.

        :raises SchedulerError: nobody could say.
        """
        for one in self.sessions.all():
            if one.place is not None and f"{one.place.node.lower()}:{one.place.port}" == where:
                return one
        return None

    def job_at(self, node: str) -> JobAt | None:
        """The last job on a node; None when there is none, or nobody can say."""
        short = node.partition(".")[0]
        try:
            jobs = [one.job for one in self.sessions.all() if one.job is not None]
        except SchedulerError:
            return None
        there = [job for job in jobs if short in {name.partition(".")[0].lower() for name in job.nodes}]
        last = next((job for job in there if not job.is_over), None) or max(
            there, key=lambda job: job.ends or 0.0, default=None
        )
        if last is None or (last.is_over and last.ends is None):
            return None
        return JobAt(last.id, max(0.0, self.sessions.now() - last.ends) if last.is_over and last.ends else None)

    def listeners(self, sessions: Iterable[Session], *, on_nodes: bool) -> list[Listener]:
        """What else listens than these applications.

        :param on_nodes: look at the nodes of jobs too, which takes a second.
        """
        shown = {(one.place.node, one.place.port) for one in sessions if one.place is not None}
        portal_port = urlsplit(self.portal).port or 443  # no application of theirs, where it runs as them
        found = own_listeners({portal_port, *(port for _, port in shown)})
        if on_nodes:
            jobs = [one.job for one in sessions if one.job is not None]
            found += [one for one in self.nodes.of(jobs) if (one.node, one.port) not in shown]
        return found

    def quota(self) -> Quota | None:
        """Of the home folder; None where nobody says."""
        try:
            opened = os.open(self.home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return Quota.of(opened)
        except OSError:
            return None
        finally:
            os.close(opened)


def told_session(one: Session) -> dict[str, Any]:
    """A session as programs are told; no token."""
    job = one.job
    told: dict[str, Any] = {
        "id": one.id,
        "name": one.name,
        "app": one.app,
        "icon": one.icon,
        "stage": one.stage,
        "words": one.words,
        "open": f"/open/{one.id}" if one.can_open else None,
        "idle": msgspec.to_builtins(one.idle),
        "node": one.place.node if one.place is not None else None,
        "port": one.place.port if one.place is not None else None,
    }
    if job is not None:
        told |= {
            "state": job.state,
            "reason": job.reason,
            "partition": job.partition,
            "nodes": list(job.nodes),
            "submitted": job.submitted,
            "starts": job.starts,
            "ends": job.ends,
        }
    return told


def told_app(one: App | Broken) -> dict[str, Any]:
    """An application as programs are told."""
    if isinstance(one, Broken):
        return {"id": one.id, "name": one.id, "own": one.is_own, "broken": one.why}
    about = one.definition
    return {"id": one.id, "name": about.name, "about": about.about, "icon": about.icon, "own": one.is_own}


def told_field(one: Asked) -> dict[str, Any]:
    """A field of a form as programs are told."""
    told: dict[str, Any] = {
        "name": one.name,
        "label": one.label,
        "kind": one.kind,
        "help": one.help,
        "default": one.default,
        "required": one.required,
        "advanced": one.advanced,
    }
    if one.choices:
        told["choices"] = [
            {"value": choice.value, "label": choice.label or choice.value, "when": choice.when}
            for choice in one.choices
        ]
    for name in ("least", "most"):
        if getattr(one, name) is not None:
            told[name] = getattr(one, name)
    if one.when:
        told["when"] = one.when
    return told


def iso(seconds: float | None) -> str:
    """For ``<time datetime>``; "" for no time."""
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _login() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
