"""What a worker serves to its account: the file system below /dav. And what it tells the front about forwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from supercloud.dav.app import make_app
from supercloud.monitor.wire import Task
from supercloud.workers.forward_check import METHOD, check

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
        if environ["REQUEST_METHOD"] == METHOD:
            return _tell_check(task.forwards, path, start_response)
        if path != _DAV and not path.startswith(f"{_DAV}/"):
            length = ("Content-Length", str(len(_NOT_FOUND)))
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), length])
            return [_NOT_FOUND]
        answer: Iterable[bytes] = dav({**environ, "SCRIPT_NAME": _DAV, "PATH_INFO": path[len(_DAV) :]}, start_response)
        return answer

    return application


def _tell_check(folder: str, path: str, start_response: Callable[..., Any]) -> list[bytes]:
    """Answer `supercloud.workers.asking`."""
    checked = check(folder, path.removeprefix("/"))
    body = b"" if checked is None else msgspec.json.encode(checked)
    status = "404 Not Found" if checked is None else "200 OK"
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
