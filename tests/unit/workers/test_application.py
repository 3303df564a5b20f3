"""What is served where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from supercloud.monitor.wire import VERSION, Task, Workspace
from supercloud.workers import application
from supercloud.workers.forward_check import Checked
from supercloud.workers.session_file import FOLDER
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

    def make(self, *arguments: object) -> Callable[..., Iterable[bytes]]:
        self.made.append(arguments)
        return self.serve

    def serve(self, environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
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


def test_the_front_is_told_whether_a_forward_may_be_executed(dav: Dav, tmp_path: Path) -> None:
    file = tmp_path / "alice-tb"
    file.touch(0o700)
    said, body = ask("/alice-tb", "MAY-EXECUTE", str(tmp_path))
    assert said[0] == "200 OK"
    assert msgspec.json.decode(body, type=Checked).inode == file.stat().st_ino
    assert ask("/bob-tb", "MAY-EXECUTE", str(tmp_path))[0][0] == "404 Not Found"
    assert ask("/alice-tb", "MAY-EXECUTE")[0][0] == "404 Not Found"
    assert dav.called == []


def test_all_the_rest_is_the_workspaces(dav: Dav, monkeypatch: pytest.MonkeyPatch) -> None:
    pages, workspace = Dav(), Workspace("https://portal.test", "local", ("/apps",))
    monkeypatch.setattr(application, "make_workspace", pages.make)
    served = application.make(replace(TASK, workspace=workspace), "/home/alice")
    for path in ("/", "/api/jobs", "/davx"):
        environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path}
        assert b"".join(served(environ, lambda *_: None)) == b"dav"
    assert pages.made == [(workspace, "/home/alice")]
    assert pages.called == [("", "/"), ("", "/api/jobs"), ("", "/davx")]
    assert dav.called == []


def test_the_front_is_told_what_a_job_announced(dav: Dav) -> None:
    told = Told("node1", 8888, "/lab", "token abc")
    said: list[Any] = []
    served = application.make(TASK, "/home/alice", {"42": told}.get)
    for job in ("42", "43"):
        environ = {"REQUEST_METHOD": "SESSION", "SCRIPT_NAME": "", "PATH_INFO": f"/{job}"}
        body = b"".join(served(environ, lambda *head: said.append(head[0])))
        assert job == "43" or msgspec.json.decode(body, type=Told) == told
    assert said == ["200 OK", "404 Not Found"]


def test_a_job_announces_itself_by_its_file(dav: Dav, tmp_path: Path) -> None:
    file = tmp_path / FOLDER / "42.json"
    file.parent.mkdir(parents=True)
    file.touch(0o600)
    file.write_text('{"node":"node1","port":8888}')
    environ = {"REQUEST_METHOD": "SESSION", "SCRIPT_NAME": "", "PATH_INFO": "/42"}
    body = b"".join(application.make(TASK, str(tmp_path))(environ, lambda *_: None))
    assert msgspec.json.decode(body, type=Told) == Told("node1", 8888, "/", "")
