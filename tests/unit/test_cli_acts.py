"""Who did it, as the kernel knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from supercloud.cli_acts import Leaves, _login_uid, _name


@pytest.mark.parametrize(("text", "uid"), [("1001", 1001), ("0\n", 0), ("4294967295", None), ("", None), ("x", None)])
def test_the_login_that_sudo_does_not_change(tmp_path: Path, text: str, uid: int | None) -> None:
    (tmp_path / "loginuid").write_text(text)
    assert _login_uid(tmp_path / "loginuid") == uid
    assert _login_uid(tmp_path / "none") is None


def test_a_uid_without_a_name_is_told_by_its_number_alone() -> None:
    assert (_name(0), _name(4_000_000_000)) == ("root", "")


def test_it_is_known_of_this_process() -> None:
    assert Leaves.of_this_process("/var/log/x").audit == "/var/log/x"
