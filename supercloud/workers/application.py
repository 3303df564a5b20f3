"""What a worker serves to its account: the file system below /dav, with a drop-box for jobs in it, and everywhere else
the workspace. And what it tells the front about its account's jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Any, Final

import msgspec

from supercloud.applications.dropbox import FOLDER, DropBox
from supercloud.dav.app import make_app
from supercloud.links import navigation
from supercloud.monitor.wire import Task
from supercloud.pages.app import make_app as make_pages
from supercloud.pages.workspace import Workspace
from supercloud.workers import job_told, session_told
from supercloud.workers.dropping import Dropping

_DAV: Final = "/dav"
_NOT_FOUND: Final = b"There is nothing here.\n"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make(task: Task, home: str) -> Application:
    """The WSGI application of the account that this process is.

    :param home: the account's.
    """
    files = make_app(task.roots, home, task.desk)
    dav: Application = files
    workspace = (
        None if task.workspace is None else Workspace.of_this_process(task.workspace, home=home, forwards=task.forwards)
    )
    links = "" if workspace is None else navigation(has_forwards=workspace.forwards is not None)
    if workspace is not None:
        dav = Dropping(files, files.tree, DropBox(workspace.scheduler, workspace.sessions, Path(home) / FOLDER))
    pages = _answer_nothing if workspace is None else _Late(lambda: make_pages(workspace))

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        about = path.removeprefix("/")
        match environ["REQUEST_METHOD"]:
            case session_told.METHOD:
                return _tell(None if workspace is None else workspace.told(about), start_response)
            case job_told.METHOD:
                return _tell(None if workspace is None else workspace.job_at(about), start_response)
        if path != _DAV and not path.startswith(f"{_DAV}/"):
            return pages(environ, start_response)
        about_dav = {"SCRIPT_NAME": _DAV, "PATH_INFO": path[len(_DAV) :], "supercloud.links": links}
        answer: Iterable[bytes] = dav({**environ, **about_dav}, start_response)
        return answer

    return application


class _Late:
    """An application that is made when it is first asked: whoever has a drive mounted looks at no page. All that it
    needs was imported above, as nothing can be imported after the fork.
    """

    def __init__(self, make_it: Callable[[], Application]) -> None:
        self._make = make_it
        self._made: Application | None = None
        self._making = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._made is None:
            with self._making:
                self._made = self._made or self._make()
        return self._made(environ, start_response)


def _answer_nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    length = ("Content-Length", str(len(_NOT_FOUND)))
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), length])
    return [_NOT_FOUND]


def _tell(found: msgspec.Struct | None, start_response: Callable[..., Any]) -> list[bytes]:
    """Answer `supercloud.workers.asking`."""
    body = b"" if found is None else msgspec.json.encode(found)
    status = "404 Not Found" if found is None else "200 OK"
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
