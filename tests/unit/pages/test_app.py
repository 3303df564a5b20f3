"""The workspace as it is served."""

from __future__ import annotations

from typing import Any

import pytest

from supercloud.monitor.wire import Workspace
from supercloud.pages.app import make_app

APP = make_app(Workspace("https://portal.test", "local", ()), "/home/alice")


def ask(path: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    said: list[Any] = []
    body = b"".join(APP({"REQUEST_METHOD": method, "PATH_INFO": path}, lambda *head: said.extend(head)))
    return said[0], dict(said[1]), body


def test_the_first_page_runs_the_portals_own_script() -> None:
    status, fields, body = ask("/")
    assert (status, fields["Content-Type"]) == ("200 OK", "text/html; charset=utf-8")
    assert b'src="/.portal/workspace.js"' in body
    assert ask("/", "HEAD") == (status, fields, b"")


def test_the_workspace_is_json() -> None:
    assert ask("/api/workspace")[2] == b"{}"


@pytest.mark.parametrize(("path", "method", "status"), [("/x", "GET", "404"), ("/", "POST", "405")])
def test_nothing_else_is_there(path: str, method: str, status: str) -> None:
    assert ask(path, method)[0].startswith(status)
