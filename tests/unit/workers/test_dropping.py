"""Which requests to /dav save something in the drop-box, and before which it looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from supercloud.dav.app import make_app
from supercloud.workers.dropping import Dropping
from tests.fakes.wsgi import Caller


class Noted:
    """Notes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[str] = []
        self.looks = 0
        self.trouble: OSError | None = None

    def saved(self, file: str) -> None:
        self.files.append(file)
        if self.trouble is not None:
            raise self.trouble

    def refresh(self) -> None:
        self.looks += 1


@pytest.fixture
def box(tmp_path: Path) -> Noted:
    (tmp_path / "home/portal-jobs").mkdir(parents=True)
    return Noted(tmp_path / "home/portal-jobs")


@pytest.fixture
def caller(tmp_path: Path, box: Noted) -> Caller:
    app = make_app({"/": "/"}, str(tmp_path / "home"), None)
    return Caller(Dropping(app, app.tree, box))  # type: ignore[arg-type]


def test_a_file_that_is_put_there_is_told_by_whatever_address(caller: Caller, box: Noted, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for place in ("/~", str(tmp_path / "home"), str(tmp_path / "link")):
        assert caller.ask("PUT", f"{place}/portal-jobs/a%20b.job", b"x").status in (201, 204)
    assert box.files == ["a b.job"] * 3


def test_a_file_that_is_moved_or_copied_there_is_told(caller: Caller, box: Noted) -> None:
    assert caller.ask("PUT", "/~/draft", b"x").status == 201
    assert caller.ask("COPY", "/~/draft", destination="/dav/~/portal-jobs/a.job").status == 201
    assert caller.ask("MOVE", "/~/draft", destination="/dav/~/portal-jobs/b.job").status == 201
    assert box.files == ["a.job", "b.job"]


def test_what_fails_or_goes_elsewhere_is_not_told(caller: Caller, box: Noted, tmp_path: Path) -> None:
    (tmp_path / "portal-jobs").mkdir()  # of somebody else, as far as this account is concerned
    (tmp_path / "home/portal-jobs/sub").mkdir()
    for path in ("/~/portal-jobs/sub/a.job", f"{tmp_path}/portal-jobs/a.job", "/~/a.job"):
        assert caller.ask("PUT", path, b"x").status == 201
    assert caller.ask("PUT", "/~/portal-jobs/a.job", b"x", if_match='"never"').status == 412
    assert caller.ask("PUT", "/~/portal-jobs/sub", b"x").status == 405
    assert caller.ask("PUT", "/~/portal-jobs/a.job", b"12", content_range="bytes 0-1/4").status == 202
    assert caller.ask("MOVE", "/~/portal-jobs/gone", destination="/dav/~/portal-jobs/a.job").status == 404
    assert caller.ask("MOVE", "/~/a.job", destination="https://elsewhere.test/dav/~/portal-jobs/a.job").status == 502
    assert caller.ask("DELETE", "/~/portal-jobs/sub").status == 204
    assert box.files == []
    assert caller.ask("PUT", "/~/portal-jobs/a.job", b"34", content_range="bytes 2-3/4").status == 201
    assert box.files == ["a.job"]


def test_before_its_files_are_read_it_looks(caller: Caller, box: Noted) -> None:
    assert caller.ask("PUT", "/~/portal-jobs/a.status", b"{}").status == 201
    assert caller.ask("GET", "/~/portal-jobs/a.status").body == b"{}"
    assert caller.ask("PROPFIND", "/~/portal-jobs/", depth="1").status == 207
    assert box.looks == 2
    caller.ask("PROPFIND", "/~/", depth="1")
    caller.ask("GET", "/~/portal-jobs/sub/portal-jobs")
    assert box.looks == 2


def test_a_job_that_cannot_be_noted_is_said_to_whoever_saves_it(caller: Caller, box: Noted) -> None:
    box.trouble = OSError(28, "No space left on device")
    answer = caller.ask("PUT", "/~/portal-jobs/a.job", b"x")
    assert (answer.status, b"Save it again" in answer.body) == (507, True)
