"""One's own forward files, made and changed by the command line."""

from __future__ import annotations

import grp
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supercloud.forward_files import ForwardFiles, Kept, NotDone


@pytest.fixture
def files(tmp_path: Path) -> ForwardFiles:
    return ForwardFiles(tmp_path)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_forward_is_its_owners_alone_and_on(files: ForwardFiles, tmp_path: Path) -> None:
    inode = files.add("alice-tb", "http://node1:8080/")
    assert (tmp_path / "alice-tb").read_text() == "http://node1:8080/\n"
    assert mode(tmp_path / "alice-tb") == 0o700
    assert (tmp_path / "alice-tb").stat().st_ino == inode
    assert files.list() == [Kept("alice-tb", "http://node1:8080/", "on")]


def test_ones_own_name_leads_elsewhere_from_now_on_for_the_same_people(files: ForwardFiles, tmp_path: Path) -> None:
    files.add("alice-tb", "http://node1:8080/a/long/path")
    (tmp_path / "alice-tb").chmod(0o610)
    files.add("alice-tb", "http://node2:9090")
    assert (tmp_path / "alice-tb").read_text() == "http://node2:9090\n"
    assert mode(tmp_path / "alice-tb") == 0o710


def test_a_disabled_forward_keeps_its_name(files: ForwardFiles, tmp_path: Path) -> None:
    files.add("alice-tb", "http://node1:8080/")
    (tmp_path / "alice-tb").chmod(0o755)
    files.disable("alice-tb")
    assert mode(tmp_path / "alice-tb") == 0o644
    if os.geteuid():  # root may execute what anybody may; nobody may here
        assert "chmod u+x" in files.list()[0].state


def test_a_group_is_let_in_and_may_not_write(files: ForwardFiles, tmp_path: Path) -> None:
    files.add("alice-tb", "http://node1:8080/")
    (tmp_path / "alice-tb").chmod(0o722)
    files.share("alice-tb", grp.getgrgid(os.getegid()).gr_name)
    assert mode(tmp_path / "alice-tb") == 0o710
    assert (tmp_path / "alice-tb").stat().st_gid == os.getegid()
    assert files.list()[0].state == f"on, shared with {grp.getgrgid(os.getegid()).gr_name}"
    (tmp_path / "alice-tb").chmod(0o711)
    assert files.list()[0].state == "on, shared with everybody"
    files.unshare("alice-tb")
    assert files.list()[0].state == "on"
    with pytest.raises(NotDone, match="no group"):
        files.share("alice-tb", "nobody-made-this-group")


def test_a_removed_name_is_free(files: ForwardFiles, tmp_path: Path) -> None:
    inode = files.add("alice-tb", "http://node1:8080/")
    files.remove("alice-tb", inode + 1)
    assert (tmp_path / "alice-tb").exists(), "it is another one's by now"
    files.remove("alice-tb")
    assert files.list() == []
    with pytest.raises(NotDone, match="you have no forward alice-tb"):
        files.remove("alice-tb")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a b", "a\n", "é", "a" * 256])
def test_a_name_that_is_none_touches_nothing(files: ForwardFiles, tmp_path: Path, name: str) -> None:
    for do in (lambda: files.add(name, "http://node1:8080/"), lambda: files.remove(name), lambda: files.disable(name)):
        with pytest.raises(NotDone, match="cannot be a forward's name"):
            do()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("node1:8080", "not a URL"),
        ("http://node1/", "no port"),
        ("", "write a URL"),
        ("http://n:1/" + "x" * 1020, "1,024"),
    ],
)
def test_a_url_that_leads_nowhere_is_not_written(files: ForwardFiles, tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(NotDone, match=words):
        files.add("alice-tb", url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/etc/passwd"), lambda path: path.symlink_to("target")],
)
def test_what_is_no_plain_file_is_neither_written_nor_waited_for(
    files: ForwardFiles, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "x")
    for do in (lambda: files.add("x", "http://node1:8080/"), lambda: files.disable("x")):
        with pytest.raises(NotDone, match="rm "):
            do()
    assert not (tmp_path / "target").exists()
    assert files.list()[0].url == ""


def test_a_hard_link_is_not_written_through(files: ForwardFiles, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    os.link(tmp_path / "target", tmp_path / "x")
    with pytest.raises(NotDone, match="one name"):
        files.add("x", "http://node1:8080/")
    assert (tmp_path / "target").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("", "empty: the name is kept, nothing is forwarded"),
        ("hello", "cannot be used: the line is not a URL; write one as http://NODE:PORT/"),
        ("x" * 1025, "cannot be used: it is longer than 1,024 bytes"),
        ("http://a:1\nhttp://b:2\n", "on (2 lines; the last one is used)"),
    ],
)
def test_the_list_says_what_is_wrong(files: ForwardFiles, tmp_path: Path, text: str, state: str) -> None:
    (tmp_path / "x").write_text(text)
    (tmp_path / "x").chmod(0o700)
    assert [one.state for one in files.list()] == [state]


def test_the_list_shows_no_password(files: ForwardFiles) -> None:
    files.add("x", "http://jim:sesame@node1:8080/lab")
    assert files.list() == [Kept("x", "http://node1:8080/lab/", "on")]


def test_without_the_folder_it_is_said(tmp_path: Path) -> None:
    files = ForwardFiles(tmp_path / "nothing")
    with pytest.raises(NotDone, match="no forwards on this host"):
        files.add("x", "http://node1:8080/")
    with pytest.raises(NotDone, match="no forwards on this host"):
        files.list()
