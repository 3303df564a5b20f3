"""What is served where."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from supercloud.monitor.wire import VERSION, Task, Workspace
from supercloud.workers import application
from supercloud.workers.session_told import Told

TASK = Task(
    version=VERSION,
    front_uid=1,
    only_uid=None,
    min_uid=1000,
    pam_service="",
    run="/run/x",
    desk="/run/x/portal.sock",
    roots={"/": "/srv"},
)


class Dav:
    """Notes how it was made and called."""

    def __init__(self) -> None:
        self.made: list[object] = []
        self.called: list[tuple[str, str]] = []

    tree = None

    def make(self, *arguments: object) -> Dav:
        self.made.append(arguments)
        return self

    def __call__(self, environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        self.called.append((environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        return [b"dav"]


@pytest.fixture
def dav(monkeypatch: pytest.MonkeyPatch) -> Dav:
    made = Dav()
    monkeypatch.setattr(application, "make_app", made.make)
    return made


def ask(path: str, method: str = "GET", forwards: str = "") -> tuple[list[object], bytes]:
    said: list[object] = []
    served = application.make(replace(TASK, forwards=forwards), "/home/alice")
    body = served({"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}, lambda *head: said.extend(head))
    return said, b"".join(body)


@pytest.mark.parametrize(("path", "rest"), [("/dav", ""), ("/dav/", "/"), ("/dav/home/x y", "/home/x y")])
def test_what_is_below_dav_is_the_file_system(dav: Dav, path: str, rest: str) -> None:
    assert ask(path) == ([], b"dav")
    assert dav.made == [({"/": "/srv"}, "/home/alice", "/run/x/portal.sock")]
    assert dav.called == [("/dav", rest)]


@pytest.mark.parametrize("path", ["/", "/davx", "/DAV/", "//dav/", "/x/dav/", "/.portal/"])
def test_without_a_workspace_nothing_else_is_there(dav: Dav, path: str) -> None:
    said, body = ask(path)
    assert said[0] == "404 Not Found"
    assert ("Content-Type", "text/plain; charset=utf-8") in said[1]  # type: ignore[operator]
    assert ("Content-Length", str(len(body))) in said[1]  # type: ignore[operator]
    assert dav.called == []


def test_nobody_is_told_whether_a_forward_may_be_executed(dav: Dav, tmp_path: Path) -> None:
    """Its word would count for somebody else's file; see monitor.forwards."""
    (tmp_path / "alice-tb").touch(0o700)
    assert ask("/alice-tb", "MAY-EXECUTE", str(tmp_path))[0][0] == "404 Not Found"


@pytest.fixture
def hers(dav: Dav, tmp_path: Path) -> Callable[..., tuple[Any, bytes]]:
    served = application.make(replace(TASK, workspace=Workspace("https://portal.test", "local", ())), str(tmp_path))

    def asks(path: str, method: str = "GET") -> tuple[Any, bytes]:
        said: list[Any] = []
        environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "wsgi.url_scheme": "https"}
        environ |= {"SERVER_NAME": "portal.test", "SERVER_PORT": "443", "wsgi.input": io.BytesIO()}  # type: ignore[dict-item]
        return said, b"".join(served(environ, lambda *head: said.append(head[0])))

    return asks


def test_all_the_rest_is_the_workspaces(dav: Dav, hers: Callable[..., tuple[Any, bytes]]) -> None:
    assert hers("/")[0] == ["200 OK"]
    assert hers("/api/jobs") == (["200 OK"], b'{"jobs":[]}')
    assert hers("/davx")[0] == ["404 NOT FOUND"]
    assert dav.called == []


def test_the_front_is_told_where_jobs_listen_that_are_there(
    hers: Callable[..., tuple[Any, bytes]], tmp_path: Path
) -> None:
    folder = tmp_path / ".local/share/jupyter/runtime"
    folder.mkdir(parents=True)
    file = folder / f"jpserver-{os.getpid()}.json"
    file.touch(0o600)
    file.write_text(json.dumps({"url": "http://localhost:8888/", "port": 8888, "pid": os.getpid(), "token": "abc"}))
    said, body = hers(f"/jupyter-{os.getpid()}", "SESSION")
    assert said == ["200 OK"]
    assert msgspec.json.decode(body, type=Told) == Told("localhost", 8888, "/", "token abc")
    assert hers("/42", "SESSION")[0] == ["404 Not Found"]
