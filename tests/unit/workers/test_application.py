"""What is served where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from supercloud.monitor.wire import VERSION, Task
from supercloud.workers import application

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


def ask(path: str) -> tuple[list[object], bytes]:
    said: list[object] = []
    served = application.make(TASK, "/home/alice")
    body = served({"SCRIPT_NAME": "", "PATH_INFO": path}, lambda *head: said.extend(head))
    return said, b"".join(body)


@pytest.mark.parametrize(("path", "rest"), [("/dav", ""), ("/dav/", "/"), ("/dav/home/x y", "/home/x y")])
def test_what_is_below_dav_is_the_file_system(dav: Dav, path: str, rest: str) -> None:
    assert ask(path) == ([], b"dav")
    assert dav.made == [({"/": "/srv"}, "/home/alice", "/run/x/portal.sock")]
    assert dav.called == [("/dav", rest)]


@pytest.mark.parametrize("path", ["/", "/davx", "/DAV/", "//dav/", "/x/dav/", "/.portal/"])
def test_nothing_else_is_there(dav: Dav, path: str) -> None:
    said, body = ask(path)
    assert said[0] == "404 Not Found"
    assert ("Content-Type", "text/plain; charset=utf-8") in said[1]  # type: ignore[operator]
    assert ("Content-Length", str(len(body))) in said[1]  # type: ignore[operator]
    assert dav.called == []
