"""The way into a portal, as it is kept and chosen."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from supercloud.entry import (
    Entry,
    Failed,
    choose_entry,
    entry_file,
    parse_token,
    parse_url,
    read_entry,
    write_entry,
)

TOKEN, OTHER = f"scp_{'ab' * 32}", f"scp_{'cd' * 32}"
ENTRY = Entry("https://portal.test", TOKEN, "/etc/ca.pem")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "supercloud" / "portal.toml"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://portal.test", "https://portal.test"),
        ("https://Portal.Test/", "https://portal.test"),
        ("portal.test", "https://portal.test"),
        ("localhost:8443", "https://localhost:8443"),
        ("https://portal.test:443/", "https://portal.test"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_address_is_read_as_an_origin(text: str, url: str) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "http://portal.test",
        "",
        "https://",
        "https://portal.test/login?link=x",
        "https://portal.test/?a",
        "https://portal.test/#a",
        "https://portal.test@evil.test",
        "https://:@evil.test",
        "https://portal.test:0",
        "https://portal.test:99999",
        "https://pörtal.test",
        "https://-portal.test",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_portals_address_is_said(text: str) -> None:
    with pytest.raises(Failed, match=r"is not a portal's address; write it as https://portal\.example\.org"):
        parse_url(text)


@pytest.mark.parametrize("text", ["", "scp_", TOKEN.upper(), f"{TOKEN}\r\nX: y", f"{TOKEN}0", "password"])
def test_what_is_no_token_is_not_repeated(text: str) -> None:
    with pytest.raises(Failed) as failed:
        parse_token(text, "https://portal.test")
    assert "Make one for jobs at https://portal.test/tokens" in str(failed.value)
    assert TOKEN not in str(failed.value) and "password" not in str(failed.value)


def test_an_entry_does_not_show_its_token() -> None:
    assert TOKEN not in repr(ENTRY)


def test_what_is_kept_is_read_again(file: Path) -> None:
    assert read_entry(file) is None
    entry = Entry("https://portal.test:8443", TOKEN, '/home/alïce/a "quoted" \\ name.pem')
    write_entry(file, entry)
    assert read_entry(file) == entry
    write_entry(file, ENTRY)
    assert read_entry(file) == ENTRY


def test_nobody_else_can_read_what_is_kept_whatever_the_umask(file: Path) -> None:
    before = os.umask(0)
    try:
        write_entry(file, ENTRY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_an_exposed_file_is_replaced_and_not_written_into(file: Path) -> None:
    file.parent.mkdir()
    file.touch(0o644)
    with file.open() as opened_by_others:
        write_entry(file, ENTRY)
        assert opened_by_others.read() == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_symbolic_link_is_neither_read_nor_written_through(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_entry(elsewhere, ENTRY)
    file.parent.mkdir()
    file.symlink_to(elsewhere)
    with pytest.raises(Failed, match="it is a symbolic link"):
        read_entry(file)
    write_entry(file, Entry("https://other.test", OTHER))
    assert not file.is_symlink()
    assert read_entry(elsewhere) == ENTRY


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o666])
def test_a_file_that_others_have_rights_to_is_refused(file: Path, mode: int) -> None:
    write_entry(file, ENTRY)
    file.chmod(mode)
    with pytest.raises(Failed, match=f"mode {mode & 0o77:03o}.*revoke the token that it held, and log in again"):
        read_entry(file)


def test_a_fifo_stalls_nobody(file: Path) -> None:
    file.parent.mkdir()
    os.mkfifo(file, 0o600)
    with pytest.raises(Failed, match="not a regular file"):
        read_entry(file)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not TOML",
        "\xff",
        f'portal = "http://portal.test"\ntoken = "{TOKEN}"\n',
        'portal = "https://portal.test"\ntoken = "x"\n',
        f'portal = "https://portal.test"\ntoken = "{TOKEN}"\nmore = 1\n',
    ],
)
def test_a_file_that_says_something_else_is_refused(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.touch(0o600)
    file.write_text(text, "latin-1")
    with pytest.raises(Failed):
        read_entry(file)


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "supercloud").touch()
    with pytest.raises(Failed, match="cannot be written"):
        write_entry(tmp_path / "supercloud" / "portal.toml", ENTRY)
    with pytest.raises(Failed, match="rename it"):
        write_entry(tmp_path / "portal.toml", Entry("https://portal.test", TOKEN, "/a\nb"))
    assert [one.name for one in tmp_path.iterdir()] == ["supercloud"]


def test_the_file_is_where_settings_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = tmp_path / ".config/supercloud/portal.toml"
    assert entry_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/supercloud/portal.toml")
    assert entry_file({"XDG_CONFIG_HOME": "relative"}) == usual
    assert entry_file({}) == usual


def test_the_environment_stands_in_for_the_file(file: Path) -> None:
    said = {"SUPERCLOUD_PORTAL": "other.test", "SUPERCLOUD_TOKEN": OTHER, "SUPERCLOUD_CA": "/ca"}
    write_entry(file, ENTRY)
    file.chmod(0o644)
    assert choose_entry(file, said) == Entry("https://other.test", OTHER, "/ca")


def test_what_the_environment_does_not_say_is_kept(file: Path) -> None:
    write_entry(file, ENTRY)
    assert choose_entry(file, {}) == ENTRY
    assert choose_entry(file, {"SUPERCLOUD_TOKEN": OTHER}) == Entry(ENTRY.url, OTHER, ENTRY.ca)
    assert choose_entry(file, {"SUPERCLOUD_CA": "/ca"}) == Entry(ENTRY.url, TOKEN, "/ca")
    assert choose_entry(file, {"SUPERCLOUD_PORTAL": "https://portal.test:443/"}) == ENTRY


@pytest.mark.parametrize("url", ["https://evil.test", "https://portal.test:8443", "https://portal.test.evil.test"])
def test_the_token_of_one_portal_is_not_taken_for_another(file: Path, url: str) -> None:
    write_entry(file, ENTRY)
    with pytest.raises(Failed, match="SUPERCLOUD_TOKEN too"):
        choose_entry(file, {"SUPERCLOUD_PORTAL": url})


def test_without_any_portal_it_is_said_how_to_log_in(file: Path) -> None:
    for said in ({}, {"SUPERCLOUD_TOKEN": TOKEN}, {"SUPERCLOUD_PORTAL": "portal.test"}):
        with pytest.raises(Failed, match="supercloud login"):
            choose_entry(file, said)
