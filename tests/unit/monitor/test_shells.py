"""Which shells let somebody in."""

from __future__ import annotations

from pathlib import Path

import pytest

from supercloud.monitor.shells import has_shell, read_shells

LIST = """# /etc/shells: valid login shells
/bin/sh
  /bin/bash
/bin/zsh # of Z
#/bin/ksh
word /opt/fish

/sbin/nologin
/bin/false
"""


@pytest.fixture
def listed(tmp_path: Path) -> str:
    file = tmp_path / "shells"
    file.write_text(LIST)
    return str(file)


def test_the_list_is_read_as_the_c_library_does(listed: str) -> None:
    expected = {"/bin/sh", "/bin/bash", "/bin/zsh", "/opt/fish", "/sbin/nologin", "/bin/false"}
    assert read_shells(listed) == expected


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("/bin/bash", True),
        ("", True),  # passwd(5): /bin/sh
        ("/opt/fish", True),
        ("/bin/ksh", False),
        ("/bin/bash ", False),
        ("bash", False),
        ("/usr/sbin/nologin", False),
        ("/sbin/nologin", False),  # though it is listed, as some systems do
        ("/bin/false", False),
        ("/opt/site/nologin", False),
    ],
)
def test_a_shell_lets_in_that_is_listed_and_is_one(listed: str, shell: str, expected: bool) -> None:
    assert has_shell(shell, "etc-shells", listed_in=listed) is expected
    assert has_shell(shell, "any", listed_in=listed), "where the site says so, everybody"


def test_without_a_list_there_are_two_shells(tmp_path: Path) -> None:
    """getusershell(3)."""
    nowhere = str(tmp_path / "shells")
    shells = ("/bin/sh", "", "/bin/csh", "/bin/bash", "/bin/false")
    assert [has_shell(one, "etc-shells", listed_in=nowhere) for one in shells] == [True, True, True, False, False]


def test_an_empty_list_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "shells").touch()
    assert not has_shell("/bin/sh", "etc-shells", listed_in=str(tmp_path / "shells"))


def test_the_list_is_read_afresh(listed: str) -> None:
    Path(listed).write_text("/bin/ksh\n")
    assert has_shell("/bin/ksh", "etc-shells", listed_in=listed)
