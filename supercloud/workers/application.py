"""What a worker serves to its account: the file system below /dav."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from supercloud.dav.app import make_app
from supercloud.monitor.wire import Task

_DAV: Final = "/dav"
_NOT_FOUND: Final = b"There is nothing here.\n"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make(task: Task, home: str) -> Application:
    """The WSGI application of the account that this process is.

    :param home: the account's.
    """
    dav = make_app(task.roots, home, task.desk)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        if path != _DAV and not path.startswith(f"{_DAV}/"):
            length = ("Content-Length", str(len(_NOT_FOUND)))
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), length])
            return [_NOT_FOUND]
        answer: Iterable[bytes] = dav({**environ, "SCRIPT_NAME": _DAV, "PATH_INFO": path[len(_DAV) :]}, start_response)
        return answer

    return application
