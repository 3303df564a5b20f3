"""The page that a browser gets for a folder."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest

from supercloud.dav import folder_page
from supercloud.dav.app import make_app
from supercloud.dav.folder_page import shown, size_text
from tests.fakes.wsgi import Answer, Caller

ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"


class Page(HTMLParser):
    """The elements of a page, and its links with their texts.

    :ivar rows: href and text of each link in the list.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[tuple[str, str]] = []
        self._href: str | None = None
        self._text = ""
        self.feed(body.decode())
        self.rows = [link for link in self.links if link[0].startswith("./")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "a":
            self._href, self._text = dict(attrs).get("href"), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.links.append((self._href or "", self._text))

    def has(self, tag: str) -> bool:
        return any(one == tag for one, _ in self.elements)


def look(dav: Caller, path: str = "/", query: str = "", links: str = "", **fields: str) -> Answer:
    def with_query(environ: dict[str, object], start: object) -> object:
        more = {"QUERY_STRING": query, "REMOTE_USER": "alice", "supercloud.links": links}
        return dav._app(environ | more, start)

    return Caller(with_query).ask("GET", path, **{"accept": ACCEPT, **fields})  # type: ignore[arg-type]


def names(answer: Answer) -> list[str]:
    return [text for _, text in Page(answer.body).rows]


def test_a_browser_gets_a_page_and_a_program_a_sentence(dav: Caller) -> None:
    assert look(dav).fields["content-type"] == "text/html; charset=utf-8"
    assert look(dav).fields["cache-control"] == "no-store"
    for fields in ({"accept": "*/*"}, {"accept": ""}, {"translate": "f"}):
        answer = look(dav, **fields)
        assert answer.fields["content-type"] == "text/plain; charset=utf-8"
        assert answer.fields["vary"] == "Accept"


def test_a_person_is_told_in_a_page_what_went_wrong_and_a_program_in_a_sentence(dav: Caller) -> None:
    answer = look(dav, "/none%3Cb%3E")
    assert (answer.status, answer.fields["content-type"]) == (404, "text/html; charset=utf-8")
    assert b'<html lang="en">' in answer.body and b"<title>Not Found" in answer.body and b"<b>" not in answer.body
    assert b"<script" not in answer.body and b"stylesheet" not in answer.body
    assert b"stylesheet" in look(dav, "/none/").body
    assert look(dav, "/none", accept="*/*").fields["content-type"] == "text/plain; charset=utf-8"
    assert dav.ask("DELETE", "/none", accept=ACCEPT).fields["content-type"] == "text/plain; charset=utf-8"


def test_the_workspaces_links_are_on_top(dav: Caller) -> None:
    assert b"<nav>" not in look(dav).body
    assert b"SuperCloud portal</a><nav>" in look(dav, links="<nav>").body


def test_head_has_the_fields_only(dav: Caller) -> None:
    answer = dav.ask("HEAD", "/", accept=ACCEPT)

    assert (answer.status, answer.body) == (200, b"")


def test_without_the_slash_it_is_redirected_within_the_origin(dav: Caller, folder: Path) -> None:
    (folder / "a b\n").mkdir()
    answer = look(dav, "/a%20b%0a")

    assert (answer.status, answer.fields["location"], answer.body) == (308, "/dav/a%20b%0A/", b"")


def test_it_lists_folders_first_with_sizes_and_times(dav: Caller, folder: Path) -> None:
    (folder / "b.txt").write_bytes(b"x" * 1500)
    (folder / "A.txt").touch()
    (folder / "z").mkdir()
    os.utime(folder / "b.txt", (0, 1_700_000_000))
    answer = look(dav)

    assert Page(answer.body).rows == [("./z/", "z"), ("./A.txt", "A.txt"), ("./b.txt", "b.txt")]
    assert b'<span title="1,500 bytes">1.5 kB</span>' in answer.body
    assert b'<time datetime="2023-11-14T22:13Z">2023-11-14 22:13 UTC</time>' in answer.body


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["f", "a", "b", "c"]),
        ("by=name&down=1", ["f", "c", "b", "a"]),
        ("by=size", ["f", "b", "c", "a"]),
        ("by=size&down=1", ["f", "a", "c", "b"]),
        ("by=time", ["f", "c", "a", "b"]),
        ("by=time&down=1", ["f", "b", "a", "c"]),
        ("by=nonsense&down=1", ["f", "a", "b", "c"]),
        ("&".join(["by=size"] * 20), ["f", "a", "b", "c"]),
    ],
)
def test_it_is_sorted_as_asked(dav: Caller, folder: Path, query: str, wanted: list[str]) -> None:
    (folder / "f").mkdir()
    for name, size, at in (("a", 3, 2), ("b", 1, 3), ("c", 2, 1)):
        (folder / name).write_bytes(b"x" * size)
        os.utime(folder / name, (0, at))

    assert names(look(dav, query=query)) == wanted


def test_a_heading_turns_its_own_order_round(dav: Caller) -> None:
    links = Page(look(dav, query="by=size").body).links

    assert ("?by=size&down=1", "Size") in links
    assert ("?by=name", "Name") in links


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)<script>",
        "<img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        "javascript:alert(1)",
        "&lt;b&gt;",
        "%3Cb%3E",
        "{note}{0}%s",
        "a?b#c",
        os.fsdecode(b"\xff<b>"),
    ],
)
def test_a_name_is_text_and_its_link_leads_to_it(dav: Caller, folder: Path, name: str) -> None:
    (folder / name).mkdir()
    (folder / name / name).write_bytes(b"here")
    page = Page(look(dav).body)
    [(href, text)] = page.rows
    inside = Page(look(dav, urljoin("/dav/", href).removeprefix("/dav")).body)
    [(below, _)] = inside.rows

    assert text == name.replace("\udcff", "\ufffd")
    for one in (page, inside):
        assert [attributes for tag, attributes in one.elements if tag == "script"] == [
            {"type": "module", "src": "/.portal/files.js"}
        ]
        assert not one.has("img")
        assert not one.has("svg")
        assert not any(key.startswith("on") for _, attributes in one.elements for key in attributes)
    address = urljoin(urljoin("https://portal.test/dav/", href), below)
    assert dav.ask("GET", address.removeprefix("https://portal.test/dav")).body == b"here"


@pytest.mark.parametrize("path", ["/", "/none", "/none/"])
def test_each_page_says_as_whom_one_is_signed_in(dav: Caller, path: str) -> None:
    """Above all the root of a drive: whoever was signed in as another would put files there."""
    assert b'<span class="soft">alice</span></header>' in look(dav, path).body


def test_a_login_is_text(dav: Caller) -> None:
    asked = Caller(lambda environ, start: dav._app(environ | {"REMOTE_USER": "<b>"}, start))

    assert b"&lt;b&gt;" in asked.ask("GET", "/", accept=ACCEPT).body


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\n", "\x1b", "\x7f", "\u2028", "\ufeff", "\udc80"])
def test_what_would_make_a_name_look_like_another_is_shown(hidden: str) -> None:
    assert shown(f"a{hidden}b") == "a\ufffdb"


def test_the_way_up_is_links(dav: Caller, folder: Path) -> None:
    (folder / "a & b" / "c" / "d").mkdir(parents=True)
    links = Page(look(dav, "/a%20%26%20b/c/d/").body).links

    assert links[2:5] == [("/dav/", "All files"), ("/dav/a%20%26%20b/", "a & b"), ("/dav/a%20%26%20b/c/", "c")]
    assert ("../", "Up one folder") in links
    assert ("../", "Up one folder") not in Page(look(dav).body).links


def test_roots_have_their_names(folder: Path, home: Path) -> None:
    roots = {"/data": str(folder), "/": "/"}
    dav = Caller(make_app(roots, str(home), None))

    assert b"<bdi>data</bdi></h1>" in look(dav, "/data/").body
    assert b"<bdi>Home</bdi></h1>" in look(dav, "/~/").body


def test_a_folder_that_cannot_be_written_offers_nothing(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b'id="tools"' in look(dav).body
    monkeypatch.setattr("supercloud.dav.reading.os.access", lambda *_: False)

    answer = look(dav)
    assert b'id="tools"' not in answer.body
    assert b"You cannot change" in answer.body


def test_a_folder_that_cannot_be_listed_is_forbidden(dav: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("supercloud.dav.tree.Tree.children", denied)

    assert look(dav).status == 403


def test_an_empty_folder_says_so(dav: Caller) -> None:
    assert b"This folder is empty." in look(dav).body


def test_a_long_list_comes_in_pieces_and_ends_somewhere(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_page, "MOST_ROWS", 600)
    for number in range(600):
        (folder / f"{number:04}").touch()
    pieces: list[int] = []
    app = dav._app
    whole = Caller(lambda environ, start: (pieces.append(len(one)) or one for one in app(environ, start)))
    answer = whole.ask("GET", "/", accept=ACCEPT)

    assert len(Page(answer.body).rows) == 600
    assert len(pieces) == 4
    assert max(pieces) < 100_000
    assert b"There is more" not in answer.body

    (folder / "one more").touch()
    answer = look(dav)
    assert len(Page(answer.body).rows) == 600
    assert b"There is more than these 600 entries" in answer.body


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (2**63 - 1, "9.2 EB"),
        (2**80, "1208926 EB"),
    ],
)
def test_sizes_have_three_figures_at_most(size: int, text: str) -> None:
    assert size_text(size) == text
