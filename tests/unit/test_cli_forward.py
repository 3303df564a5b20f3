"""The command line of forwards."""

from __future__ import annotations

import grp
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from supercloud.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "fw").mkdir()
    config = tmp_path / "portal.toml"
    config.write_text(
        f'[front]\nhostname = "portal.test"\npublic_port = 8443\n[forwards]\ndirectory = "{tmp_path}/fw"\n'
        '[authn]\nschemes = ["session", "token"]\n'
    )
    return lambda *words: CliRunner().invoke(main, ["forward", "--config", str(config), *words])


def test_a_forward_is_made_listed_and_removed(run: Run) -> None:
    assert run("list").output == "you have no forwards\n"
    assert run("add", "alice-tb", "http://node1:8080/").output == "https://portal.test:8443/fw/alice-tb/\n"
    assert run("list").output == "alice-tb  http://node1:8080/  on\n"
    assert run("disable", "alice-tb").exit_code == 0
    assert run("remove", "alice-tb").exit_code == 0
    assert run("list").output == "you have no forwards\n"


def test_what_was_shared_is_ones_own_again(run: Run) -> None:
    run("add", "alice-tb", "http://node1:8080/")
    group = grp.getgrgid(os.getegid()).gr_name
    assert run("share", "alice-tb", group).exit_code == 0
    assert run("list").output == f"alice-tb  http://node1:8080/  on, shared with {group}\n"
    assert run("unshare", "alice-tb").exit_code == 0
    assert run("list").output == "alice-tb  http://node1:8080/  on\n"
    assert run("unshare", "none").output == "Error: you have no forward none\n"


def test_a_name_without_an_origin_is_under_a_path(run: Run) -> None:
    assert run("add", "Alice.TB", "http://node1:8080/").output == "https://portal.test:8443/fw/Alice.TB/\n"


def test_what_is_wrong_is_said_in_one_line(run: Run) -> None:
    failed = run("add", "alice-tb", "node1:8080")
    assert failed.exit_code == 1
    assert failed.output == "Error: the line is not a URL; write one as http://NODE:PORT/\n"
    assert run("remove", "alice-tb").output == "Error: you have no forward alice-tb\n"
    assert run("share", "alice-tb", "nobody-made-this").exit_code == 1


def test_a_command_runs_under_a_name_with_its_own_options(run: Run, tmp_path: Path) -> None:
    program = "import sys; open(sys.argv[1], 'w').write(sys.argv[2]); sys.exit(3)"
    done = run(
        "run", "--node", "node1", "alice-tb", "--", sys.executable, "-c", program, f"{tmp_path}/out", "--port={port}"
    )
    assert done.exit_code == 3
    assert (tmp_path / "out").read_text().removeprefix("--port=").isdecimal()
    assert run("list").output == "you have no forwards\n"


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    failed = CliRunner().invoke(main, ["forward", "--config", str(tmp_path / "none.toml"), "list"])
    assert (failed.exit_code, "none.toml" in failed.output) == (1, True)


def test_a_folder_can_be_named_without_settings(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["forward", "--directory", str(tmp_path), "add", "x", "http://node1:8080/"])
    assert done.exit_code == 0
    assert (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("portal", "shown"),
    [
        ("https://portal.test:8443/", "https://portal.test:8443/fw/alice-tb/"),
        ("", "/fw/alice-tb/ at the portal"),
        ("http://portal.test", "/fw/alice-tb/ at the portal"),
    ],
)
def test_on_a_node_the_environment_tells_the_portals_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portal: str, shown: str
) -> None:
    monkeypatch.setenv("SUPERCLOUD_PORTAL", portal)
    (tmp_path / "node.toml").write_text("[ident2]\n")
    words = ["forward", "--config", str(tmp_path / "node.toml"), "--directory", str(tmp_path)]
    assert CliRunner().invoke(main, [*words, "add", "alice-tb", "http://node1:8080/"]).output == f"{shown}\n"
