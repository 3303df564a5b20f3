"""What the site tells everybody, and maintenance."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from twisted.internet.task import Clock

from supercloud.authn.notices import EVERY, MOST, MOST_WAIT, Board, WrongNotices, read
from supercloud.config import read as read_settings
from supercloud.notice import Told
from tests.fakes.offload import FakeOffload

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
FILE = """
[[notice]]
text = "Slow <today>."
kind = "warning"
until = 2026-12-01T13:00:00Z
[[notice]]
text = "Ärger ist vorbei."
[maintenance]
text = "Back at two."
from = 2026-12-01T12:30:00Z
until = 2026-12-01T14:00:00Z
allow = ["carol"]
"""


class Site:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.now = NOON
        self.clock = Clock()
        self.board = Board(file, offload=FakeOffload(), clock=self.clock, now=lambda: self.now)

    def says(self, text: str) -> None:
        self.file.write_text(text)
        self.clock.advance(EVERY)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "notices.toml")


def test_a_file_that_is_not_there_says_nothing(site: Site) -> None:
    site.board.start()
    assert (site.board.shown(), site.board.field(), site.board.refusal("alice")) == ((), b"", None)
    site.board.stop()
    nothing = Board(None, offload=FakeOffload(), clock=site.clock, now=lambda: 0.0)
    nothing.start()
    assert (nothing.shown(), nothing.field(), nothing.refusal("alice")) == ((), b"", None)
    assert not site.clock.getDelayedCalls()


def test_each_holds_in_its_time(site: Site) -> None:
    site.board.start()
    site.says(FILE)
    slow, over = Told("warning", "Slow <today>."), Told("info", "Ärger ist vorbei.")
    closed = Told("warning", "Closed for maintenance. Back at two.")
    assert site.board.shown() == (slow, over)
    site.now = NOON + 1800
    assert site.board.shown() == (closed, slow, over)
    site.now = NOON + 3600
    assert site.board.shown() == (closed, over)
    site.now = NOON + 7200
    assert site.board.shown() == (over,)
    site.file.unlink()
    site.clock.advance(EVERY)
    assert site.board.shown() == ()


def test_maintenance_lets_in_whom_the_site_names_and_says_when_to_come_back(site: Site) -> None:
    site.board.start()
    site.says(FILE)
    assert site.board.refusal("alice") is None
    site.now = NOON + 1800
    assert site.board.refusal("carol") is None
    refusal = site.board.refusal("alice")
    assert refusal is not None
    assert (refusal.status, refusal.retry_after) == (503, MOST_WAIT)
    assert refusal.public == "The portal is closed for maintenance. Back at two."
    site.now = NOON + 7190
    assert (site.board.refusal("alice") or refusal).retry_after == 10
    site.now = NOON + 7200
    assert site.board.refusal("alice") is None


def test_workers_are_told_on_one_line_of_letters(site: Site) -> None:
    site.board.start()
    site.says(FILE.replace("Slow <today>.", "a\\r\\nX-Forwarded-User: root\\u0000"))
    line = site.board.field()
    assert line.startswith(b"Supercloud-Notices: ")
    assert line.endswith(b"\r\n")
    assert line.isascii()
    assert line.count(b"\r") == line.count(b"\n") == 1
    assert b"\0" not in line
    assert "Ärger ist vorbei." in unquote(line.decode())
    site.now = NOON + 1800
    assert "Closed for maintenance." in unquote(site.board.field().decode())


def test_that_maintenance_is_said_and_taken_back_is_told_to_the_log(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("supercloud.events.maintenance", said.append)
    site.board.start()
    site.says('[maintenance]\ntext = "Back soon."\nuntil = 2026-11-20T12:00:00Z\nallow = ["root-of-all"]\n')
    assert said == ["from open until 2026-11-20T12:00:00+00:00, but for root-of-all: Back soon."]
    site.says('[maintenance]\ntext = "Back soon."\nuntil = 2026-11-20T12:00:00Z\nallow = ["root-of-all"]\n')
    site.says("")
    assert said[1:] == ["none"]


def test_a_file_that_is_wrong_ends_no_maintenance_and_is_said_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("supercloud.events.reload_failed", said.append)
    site.board.start()
    site.now = NOON + 1800
    site.says(FILE)
    for text in ("[maintenance]\n", "nonsense", FILE + "colour = 3\n", "#" * (MOST + 1)):
        site.says(text)
        site.clock.pump([EVERY] * 3)
        assert site.board.refusal("alice") is not None
    assert len(said) == 4
    site.says("")
    assert site.board.refusal("alice") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[maintenance]\n", "text"),
        ("[[notice]]\ntext = ''\n", "length"),
        ("[[notice]]\ntext = 'x'\nkind = 'loud'\n", "loud"),
        ("[[notice]]\ntext = 'x'\nuntill = 2026-12-01T13:00:00Z\n", "untill"),
        ("[[notice]]\ntext = 'x'\nuntil = 'noon'\n", "datetime"),
        ("\xff\xfe", "toml"),
        ("[[notice]]\ntext = 'x'\n" * 11, "length"),
    ],
)
def test_what_is_wrong_is_said_before_the_portal_starts(site: Site, text: str, words: str) -> None:
    site.file.write_bytes(text.encode("latin-1"))
    with pytest.raises(WrongNotices, match=words) as caught:
        site.board.start()
    assert str(site.file) in str(caught.value)
    site.file.unlink()
    site.file.mkdir()
    with pytest.raises(WrongNotices, match="directory"):
        read(site.file)


def test_the_example_can_be_used() -> None:
    conf = Path(__file__).parents[3] / "conf"
    notices = read(conf / "notices.example.toml")
    assert notices.notice
    assert notices.maintenance is not None
    front = read_settings(conf / "portal.example.toml").front
    assert front is not None
    assert front.notices == "/etc/supercloud/notices.toml"
