"""What stands before every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wsgidav.dav_error import DAVError

from supercloud.dav.guard import Guard, Request, local_path, state_of
from supercloud.dav.tree import Tree
from supercloud.dav.writing import Claim

ENVIRON: dict[str, Any] = {
    "SCRIPT_NAME": "/dav", "HTTP_HOST": "portal.test", "wsgi.url_scheme": "https", "REQUEST_METHOD": "PUT",
}  # fmt: skip


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://portal.test/dav/a%20b", "/a b"),
        ("HTTPS://PORTAL.TEST:443/dav/x", "/x"),
        ("https://user@portal.test/dav/x", "/x"),
        ("/dav/x", "/x"),
        ("/dav", "/"),
        ("/dav/%ff", "/\udcff"),
    ],
)
def test_an_address_of_this_portal_is_read(url: str, path: str) -> None:
    assert local_path(ENVIRON, url) == path


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/dav/x", "http://portal.test/dav/x", "//evil.test/dav/x", "https://portal.test:444/dav/x",
        "/davx", "/x", "x", "", "https://portal.test", "https://portal.test.evil.test/dav/x", "file:///dav/x",
    ],
)  # fmt: skip
def test_an_address_that_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        local_path(ENVIRON, url)


def test_ports_count_where_they_are_not_implied() -> None:
    environ = {**ENVIRON, "HTTP_HOST": "localhost:8443"}

    assert local_path(environ, "https://localhost:8443/dav/x") == "/x"
    with pytest.raises(ValueError, match="elsewhere"):
        local_path(environ, "https://localhost/dav/x")


@pytest.fixture
def request_(folder: Path, home: Path) -> tuple[Guard, Request]:
    """For a file, without a portal that keeps locks."""
    (folder / "file").write_bytes(b"x")
    tree = Tree({"/": str(folder)}, str(home))
    located = tree.locate("/file")
    return Guard(tree, None), Request(dict(ENVIRON), located, tree.stat(located))


def test_without_a_portal_nothing_is_locked(request_: tuple[Guard, Request]) -> None:
    guard, request = request_

    assert guard.check_locks(request, request.located, members=True) == ()
    guard.drop_locks((1, 2))
    with guard.writing(request, request.located, request.status) as claim:
        assert type(claim) is Claim
    with guard.writing(request, request.located, None) as nothing:
        assert nothing is None


def test_without_a_portal_a_token_covers_nothing(request_: tuple[Guard, Request]) -> None:
    guard, request = request_
    request.environ["HTTP_IF"] = "(<urn:uuid:1>)"
    guard.read_if(request)

    with pytest.raises(DAVError) as caught:
        guard.check_conditions(request, request.status)
    assert caught.value.value == 412


@pytest.mark.parametrize("field", ["", "nonsense", "(<urn:uuid:1>", "()", "</x>"])
def test_a_condition_that_cannot_be_read_is_refused(request_: tuple[Guard, Request], field: str) -> None:
    guard, request = request_
    request.environ["HTTP_IF"] = field

    with pytest.raises(DAVError) as caught:
        guard.read_if(request)
    assert caught.value.value == 400


def test_a_condition_about_another_server_does_not_hold(request_: tuple[Guard, Request]) -> None:
    guard, request = request_
    tag = f'"{state_of(request.status).etag}"'
    for where, holds in (("https://evil.test/dav/file", False), ("https://portal.test/dav/file", True)):
        request.environ["HTTP_IF"] = f"<{where}> ([{tag}])"
        guard.read_if(request)
        if holds:
            guard.check_conditions(request, request.status)
        else:
            with pytest.raises(DAVError):
                guard.check_conditions(request, request.status)
