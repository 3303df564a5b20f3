"""Starting an application: its form becomes a script in a folder of its own, and the script a job."""

from __future__ import annotations

import secrets
import shlex
import shutil
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from supercloud.applications.catalogue import App
from supercloud.applications.definition import RESOURCES
from supercloud.applications.form import NAME, Asked, Values, answered, asked_for
from supercloud.own_folder import make_own_folder
from supercloud.scheduler.interface import Cluster, Scheduler, Submission

# A job's comment says which application it is, and where its files are.
MARK: Final = "supercloud"
SCRIPT: Final = "script.sh"
OUTPUT: Final = "output.log"
# What the prelude runs on nodes, where nothing of the portal's is installed; see guard and idle.
GUARD: Final = "guard.py"
JUDGE: Final = "idle.py"
_OURS: Final = resources.files("supercloud.applications")
_PRELUDE: Final = _OURS.joinpath("prelude.sh").read_text(encoding="utf-8")
_GUARD: Final = _OURS.joinpath(GUARD).read_text(encoding="utf-8")
_JUDGE: Final = _OURS.joinpath(JUDGE).read_text(encoding="utf-8")
_MOST_REMEMBERED: Final = 16 * 1024  # bytes


class Launching:
    """Starts applications of the account that this process is.

    :param data: folder of all jobs' folders; see `sessions`.
    :param state: what was typed last is kept there.
    :param idle: seconds without use, after which applications end; 0 for never.
    """

    def __init__(
        self, scheduler: Scheduler, *, home: Path, login: str, data: Path, state: Path, idle: float = 0.0
    ) -> None:
        self._scheduler = scheduler
        self._home = home
        self._login = login
        self._data = data
        self._state = state
        self._idle = idle

    def asked(self, app: App) -> list[Asked]:
        """What its form asks, with what was typed the last time where that still can be.

        :raises SchedulerError: nobody says what the cluster has.
        """
        last = self._remembered(app)
        found = []
        for one in self.usual(app):
            text = last.get(one.name, one.default)
            is_fit = one.kind != "choice" or any(choice.value == text for choice in one.choices)
            default = text if is_fit else one.default
            # What differs from the usual is seen, so that nobody asks for four nodes because they did so last week.
            is_hidden = one.advanced and default == one.default
            found.append(msgspec.structs.replace(one, default=default, advanced=is_hidden))
        return found

    def usual(self, app: App) -> list[Asked]:
        """What it asks, with the defaults that `launch` takes for what is not given.

        :raises SchedulerError: nobody says what the cluster has.
        """
        return asked_for(app.definition, self._scheduler.cluster())

    def launch(self, app: App, given: Mapping[str, Any]) -> str:
        """Start it; the job's id.

        :param given: what was typed into its form; nothing is its defaults.
        :raises Unanswered: something is wrong with that; nothing was started.
        :raises WrongDefinition: the application's own script is wrong.
        :raises SchedulerError: the scheduler did not take it.
        """
        cluster = self._scheduler.cluster()
        values = answered(asked_for(app.definition, cluster), given)
        folder = self._data / f"{time.strftime('%Y%m%d-%H%M%S')}-{app.id}-{secrets.token_hex(3)}"
        text = app.template.fill(
            {**dict.fromkeys(RESOURCES, 0), **values, "app": app.id, "folder": str(folder), "home": str(self._home),
             "login": self._login, "job_name": _name(app, values)}
        )  # fmt: skip
        make_own_folder(self._data)
        folder.mkdir(mode=0o700)
        script = folder / SCRIPT
        begin = f"#!/bin/bash\nexport SUPERCLOUD_FOLDER={shlex.quote(str(folder))}\n"
        if app.definition.idle and self._idle:
            begin += f"export SUPERCLOUD_IDLE={self._idle:g} SUPERCLOUD_IDLE_BY={app.definition.idle}\n"
            (folder / JUDGE).write_text(_JUDGE, encoding="utf-8")
        script.write_text(begin + _PRELUDE + text, encoding="utf-8")
        (folder / GUARD).write_text(_GUARD, encoding="utf-8")
        try:
            job_id = self._scheduler.submit(self._submission(app, values, cluster, folder=folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._remember(app, given)
        return job_id

    def _submission(self, app: App, values: Values, cluster: Cluster, *, folder: Path) -> Submission:
        asks = app.definition.resources
        features = str(values.get("features") or "").replace(",", " ").split()
        return Submission(
            name=_name(app, values),
            script=folder / SCRIPT,
            folder=self._home,
            output=folder / OUTPUT,
            comment=f"{MARK}:{app.id}:{folder.name}",
            partition=str(values.get("partition") or ""),
            nodes=int(values.get("nodes") or 1),
            cpus=int(values.get("cpus") or 1),
            memory=int(values.get("memory") or 0) or None,
            gpus=int(values.get("gpus") or 0),
            gpu_kind=str(values.get("gpu_kind") or ""),
            minutes=int(values.get("minutes") or 0) or None,
            features=tuple(features),
            ports=app.definition.ports,
            more=(*asks.options, *str(values.get("options") or "").split()) if cluster.kind == "slurm" else (),
        )

    def _remembered(self, app: App) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._file(app).read_bytes(), type=dict[str, str])
        except (OSError, ValueError, RecursionError):
            return {}

    def _remember(self, app: App, given: Mapping[str, Any]) -> None:
        """For the next time, when it has another name; that it cannot be kept stops nobody."""
        typed = {name: _typed(value) for name, value in given.items() if name != NAME.name}
        data = msgspec.json.encode(typed)
        if len(data) > _MOST_REMEMBERED:
            return
        file = self._file(app)
        try:
            make_own_folder(file.parent)
            draft = file.with_name(f".{file.name}")
            draft.write_bytes(data)
            draft.replace(file)
        except OSError:
            return

    def _file(self, app: App) -> Path:
        return self._state / f"{app.id}.json"


def _name(app: App, values: Values) -> str:
    return str(values[NAME.name] or app.id)


def _typed(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
