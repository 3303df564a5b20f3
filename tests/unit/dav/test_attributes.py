"""What a file is besides its bytes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav.attributes import copy_users, take_over


@pytest.fixture
def old(folder: Path) -> Path:
    made = folder / "old"
    made.touch()
    made.chmod(0o640)
    return made


@pytest.fixture
def new(folder: Path) -> Iterator[int]:
    with (folder / "new").open("w+b") as file:
        yield file.fileno()


def take(old: Path, new: int) -> bool:
    return take_over(str(old), old.lstat(), new)


def test_mode_and_attributes_are_given(old: Path, new: int) -> None:
    os.setxattr(old, "user.mood", b"calm")

    assert take(old, new)
    assert stat.S_IMODE(os.fstat(new).st_mode) == 0o640
    assert os.getxattr(new, "user.mood") == b"calm"


def test_rights_to_act_as_somebody_else_are_not_given(old: Path, new: int) -> None:
    old.chmod(0o6755)

    assert take(old, new)
    assert stat.S_IMODE(os.fstat(new).st_mode) == 0o755


@pytest.mark.parametrize("call", ["chown", "fchmod", "setxattr", "listxattr"])
def test_what_cannot_be_given_makes_the_new_one_unfit(
    old: Path, new: int, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    os.setxattr(old, "user.mood", b"calm")
    status = os.stat_result((*old.stat()[:5], old.stat().st_gid + 1, *old.stat()[6:10]))
    monkeypatch.setattr(os, call, denied)

    assert not take_over(str(old), status if call == "chown" else old.stat(), new)


def test_bits_that_a_file_system_drops_without_a_word_are_noticed(
    old: Path, new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.chmod(0o666)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    os.chmod(new, 0o600)

    assert not take(old, new)


def test_a_file_system_without_attributes_has_none_to_give(
    old: Path, new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> list[str]:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "listxattr", none)

    assert take(old, new)


def test_users_attributes_are_copied_as_far_as_they_are_taken(
    old: Path, new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("user.a", "user.b"):
        os.setxattr(old, name, b"x")
    setxattr = os.setxattr

    def taking(target: Any, name: str, value: bytes) -> None:
        if name == "user.a":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        setxattr(target, name, value)

    monkeypatch.setattr(os, "setxattr", taking)
    with old.open("rb") as file:
        copy_users(file.fileno(), new)

    assert os.listxattr(new) == ["user.b"]
