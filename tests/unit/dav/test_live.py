"""Live properties: names in any bytes, times of any year, kinds by name."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from supercloud.dav.app import make_app
from supercloud.dav.live import member
from supercloud.dav.provider import content_type
from tests.fakes.wsgi import Caller
from tests.unit.dav.multistatus import find

NAMES = [
    "new\nline",
    "quote\"'s",
    "]]>",
    "<script>alert(1)<script>",
    "a&amp;b",
    "100%",
    "%41",
    "a b;c?d#e",
    "café",
    "cafe\u0301",
    "\x01\x1b[31m",
    "\r",
    "~",
    "-",
    "a:b",
    "\U0001f600",
    os.fsdecode(b"\xff\xfe.txt"),
    os.fsdecode(b"\xed\xa0\x80"),
    "x" * 255,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_any_bytes_is_found_by_its_href(dav: Caller, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"here")
    (folder / "sub").mkdir()
    (folder / "sub" / name).mkdir()
    [href] = [one for one in find(dav, "/") if one not in ("/dav/", "/dav/sub/")]
    [below] = [one for one in find(dav, "/sub") if one != "/dav/sub/"]

    assert dav.ask("GET", href.removeprefix("/dav")).body == b"here"
    assert set(find(dav, below.removeprefix("/dav"), depth="0")) == {below}
    assert re.fullmatch(r"[A-Za-z0-9/._~!*(),$+:@=%-]+", href)


def test_a_name_that_xml_cannot_hold_is_shown_with_replacements(dav: Caller, folder: Path) -> None:
    (folder / os.fsdecode(b"a\xff\x01b")).touch()
    [found] = [one[200] for href, one in find(dav, "/").items() if href != "/dav/"]

    assert found["{DAV:}displayname"].text == "a\ufffd\ufffdb"


def test_a_time_beyond_all_calendars_hides_nothing(dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "front.html").touch()
    late = os.stat_result([0o100644, 1, 1, 1, 0, 0, 5, 0, 2**62, 2**62], {"st_mtime_ns": 2**62 * 10**9})
    monkeypatch.setattr("supercloud.dav.tree.Tree.member", lambda *_: late)
    found = find(dav, "/")["/dav/front.html"][200]

    assert found["{DAV:}getlastmodified"].text == "Fri, 31 Dec 9999 23:59:59 GMT"
    assert found["{DAV:}creationdate"].text == "9999-12-31T23:59:59Z"


def test_a_root_is_called_as_in_its_address(folder: Path, home: Path) -> None:
    dav = Caller(make_app({"/data": str(folder), "/": "/"}, str(home), None))
    for path, name in (("/data/", "data"), ("/~", "~"), ("/", None)):
        [found] = find(dav, path, depth="0").values()
        assert found[200]["{DAV:}displayname"].text == name


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a.txt",
        ".txt",
        "..gz",
        "a.tar.gz",
        "a.gz",
        "a.b.c.xz",
        ".a.gz",
        "a.TXT",
        "a.tgz",
        "a.svgz",
        "a.",
        "a.1.h5",
        "a.b\n",
    ],
)
def test_a_kind_is_the_same_as_for_get(dav: Caller, folder: Path, name: str) -> None:
    (folder / name).touch()
    [found] = [one[200] for href, one in find(dav).items() if href != "/dav/"]

    assert found["{DAV:}getcontenttype"].text == content_type(name)


def test_an_href_is_quoted_once() -> None:
    status = os.stat("/")

    assert member("/dav/", "a b", status, is_folder=False).href == "/dav/a%20b"
    assert member("/dav/", "~a:b", status, is_folder=True).href == "/dav/~a:b/"
