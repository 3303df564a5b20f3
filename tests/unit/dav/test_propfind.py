"""PROPFIND: the examples of RFC 4918 section 9.1, how far it goes, and how it is sent."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav import propfind
from supercloud.dav.app import MAX_XML
from supercloud.dav.provider import etag_of
from supercloud.dav.tree import Tree
from tests.fakes.wsgi import Answer, Caller
from tests.unit.dav.multistatus import body, find, many, read, set_property

USUAL = {
    f"{{DAV:}}{name}"
    for name in ("resourcetype", "displayname", "getlastmodified", "creationdate", "supportedlock", "lockdiscovery")
}
OF_FILES = {f"{{DAV:}}{name}" for name in ("getcontentlength", "getcontenttype", "getetag")}


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "front.html"
    made.write_bytes(b"12345")
    os.utime(made, ns=(0, 1_700_000_000_123_456_789))
    return made


def test_retrieving_named_properties(dav: Caller, file: Path) -> None:
    """Section 9.1.3."""
    set_property(dav, "/front.html", "<R:author><R:Name>J.J. Johnson</R:Name></R:author>")
    names = "<R:bigbox/><R:author/><D:getcontentlength/><D:getetag/>"
    [(href, found)] = find(dav, "/front.html", f"<D:prop>{names}</D:prop>", depth="0").items()

    assert href == "/dav/front.html"
    assert set(found[200]) == {"{http://ns.example.com/boxschema/}author", "{DAV:}getcontentlength", "{DAV:}getetag"}
    assert found[200]["{http://ns.example.com/boxschema/}author"][0].text == "J.J. Johnson"
    assert found[200]["{DAV:}getcontentlength"].text == "5"
    assert found[200]["{DAV:}getetag"].text == f'"{etag_of(file.stat())}"'
    assert set(found[404]) == {"{http://ns.example.com/boxschema/}bigbox"}


def test_retrieving_all_property_names(dav: Caller, file: Path) -> None:
    """Section 9.1.4."""
    set_property(dav, "/front.html", "<R:bigbox/>")
    found = find(dav, "/", "<D:propname/>")

    quota = {"{DAV:}quota-available-bytes", "{DAV:}quota-used-bytes"}
    assert set(found["/dav/"][200]) == USUAL | quota
    assert set(found["/dav/front.html"][200]) == USUAL | OF_FILES | {"{http://ns.example.com/boxschema/}bigbox"}
    assert not any(one.text or len(one) for one in found["/dav/"][200].values())


@pytest.mark.parametrize("inside", ["", "<D:allprop/>"])
def test_retrieving_all_properties(dav: Caller, file: Path, folder: Path, inside: str) -> None:
    """Section 9.1.5."""
    (folder / "sub").mkdir()
    set_property(dav, "/front.html", "<R:bigbox>large</R:bigbox>")
    found = find(dav, "/", inside)

    assert set(found) == {"/dav/", "/dav/front.html", "/dav/sub/"}
    assert all(set(one) == {200} for one in found.values())
    assert set(found["/dav/sub/"][200]) == USUAL
    assert found["/dav/sub/"][200]["{DAV:}resourcetype"][0].tag == "{DAV:}collection"
    of_file = found["/dav/front.html"][200]
    assert set(of_file) == USUAL | OF_FILES | {"{http://ns.example.com/boxschema/}bigbox"}
    assert len(of_file["{DAV:}resourcetype"]) == 0
    assert of_file["{DAV:}getlastmodified"].text == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert of_file["{DAV:}creationdate"].text == "2023-11-14T22:13:20Z"
    assert of_file["{DAV:}getcontenttype"].text == "text/html; charset=utf-8"
    assert of_file["{DAV:}displayname"].text == "front.html"
    assert len(of_file["{DAV:}supportedlock"]) == 2


def test_using_allprop_with_include(dav: Caller, file: Path) -> None:
    """Section 9.1.6."""
    inside = "<D:allprop/><D:include><D:quota-used-bytes/><D:acl/><R:none/></D:include>"
    found = find(dav, "/", inside)

    assert int(found["/dav/"][200]["{DAV:}quota-used-bytes"].text or "") > 0
    assert set(found["/dav/"][404]) == {"{DAV:}acl", "{http://ns.example.com/boxschema/}none"}
    assert set(found["/dav/front.html"][404]) == {*found["/dav/"][404], "{DAV:}quota-used-bytes"}


def test_what_a_kind_does_not_have_is_missing_from_it(dav: Caller, file: Path) -> None:
    found = find(dav, "/", "<D:prop><D:getcontentlength/><D:quota-available-bytes/></D:prop>")

    assert set(found["/dav/"][200]) == {"{DAV:}quota-available-bytes"}
    assert set(found["/dav/"][404]) == {"{DAV:}getcontentlength"}
    assert set(found["/dav/front.html"][404]) == {"{DAV:}quota-available-bytes"}


@pytest.mark.parametrize("field", [{"prefer": "return=minimal"}, {"brief": "t"}])
def test_who_wants_little_is_not_told_what_is_missing(dav: Caller, file: Path, field: dict[str, str]) -> None:
    answer = dav.ask("PROPFIND", "/", body("<D:prop><D:getcontentlength/></D:prop>"), depth="1", **field)
    found = read(answer.body)

    assert answer.fields["preference-applied"] == "return=minimal"
    assert found["/dav/"] == {200: {}}
    assert set(found["/dav/front.html"]) == {200}


def test_an_empty_prop_is_answered_by_one(dav: Caller, file: Path) -> None:
    assert find(dav, "/front.html", "<D:prop/>") == {"/dav/front.html": {200: {}}}


def test_depth_says_how_far(dav: Caller, folder: Path) -> None:
    (folder / "a" / "b" / "c").mkdir(parents=True)
    (folder / "a" / "file").touch()

    def hrefs(path: str, depth: str | None) -> set[str]:
        fields = {} if depth is None else {"depth": depth}
        return set(read(dav.ask("PROPFIND", path, **fields).body))

    assert hrefs("/a", "0") == {"/dav/a/"}
    assert hrefs("/a/", "1") == {"/dav/a/", "/dav/a/b/", "/dav/a/file"}
    assert hrefs("/a", None) == hrefs("/a", "infinity") == {"/dav/a/", "/dav/a/b/", "/dav/a/b/c/", "/dav/a/file"}
    assert hrefs("/a/file", "infinity") == {"/dav/a/file"}
    assert dav.ask("PROPFIND", "/a", depth="2").status == 400


def test_nothing_is_not_found(dav: Caller) -> None:
    assert dav.ask("PROPFIND", "/nothing", depth="0").status == 404


def test_conditions_are_held_against_it(dav: Caller, file: Path) -> None:
    assert dav.ask("PROPFIND", "/front.html", depth="0", if_match='"other"').status == 412


def test_members_that_are_gone_or_never_served_are_left_out(dav: Caller, folder: Path) -> None:
    (folder / "dangling").symlink_to("nowhere")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "circle").symlink_to("circle")
    (folder / "good").symlink_to("file")
    (folder / "file").write_bytes(b"123")
    os.mkfifo(folder / "fifo")
    found = find(dav, "/", "<D:prop><D:getcontentlength/></D:prop>")

    assert set(found) == {"/dav/", "/dav/file", "/dav/good"}
    assert found["/dav/good"][200]["{DAV:}getcontentlength"].text == "3"


def test_infinity_tells_a_link_to_a_folder_and_does_not_follow_it(dav: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "round").symlink_to("..")

    assert set(find(dav, "/", depth="infinity")) == {"/dav/", "/dav/sub/", "/dav/sub/round/"}


def test_infinity_is_refused_over_its_limit(dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propfind, "MOST_MEMBERS", 3)
    (folder / "sub").mkdir()
    for name in ("a", "sub/b"):
        (folder / name).touch()
    assert len(find(dav, "/", depth="infinity")) == 4

    (folder / "sub" / "c").touch()
    answer = dav.ask("PROPFIND", "/", depth="infinity")
    assert answer.status == 403
    assert b"propfind-finite-depth" in answer.body
    assert dav.ask("PROPFIND", "/", depth="1").status == 207


def test_infinity_is_refused_where_folders_nest_too_deeply(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propfind, "MOST_LEVELS", 2)
    (folder / "a" / "b").mkdir(parents=True)
    assert dav.ask("PROPFIND", "/", depth="infinity").status == 207

    (folder / "a" / "b" / "c").mkdir()
    assert dav.ask("PROPFIND", "/", depth="infinity").status == 403


def test_a_folder_that_grows_while_it_is_told_ends_with_507(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propfind._Walk, "refuse_endless", lambda _self: None)
    monkeypatch.setattr(propfind, "MOST_MEMBERS", 2)
    for number in range(5):
        (folder / str(number)).touch()
    answer = dav.ask("PROPFIND", "/", depth="infinity")

    assert answer.body.count(b"<D:response>") == 4
    assert b"<D:href>/dav/</D:href><D:status>HTTP/1.1 507" in answer.body


def test_a_folder_that_cannot_be_listed_is_an_error_and_a_closed_one_below_is_passed_over(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "closed" / "hidden").mkdir(parents=True)
    children = Tree.children

    def closed(tree: Tree, located: Any) -> Any:
        if located.name == "closed":
            raise PermissionError(13, "Permission denied")
        return children(tree, located)

    monkeypatch.setattr(Tree, "children", closed)

    assert dav.ask("PROPFIND", "/closed", depth="1").status == 403
    assert dav.ask("PROPFIND", "/closed", depth="infinity").status == 403
    assert set(find(dav, "/", depth="infinity")) == {"/dav/", "/dav/closed/"}


def test_a_folder_that_breaks_below_is_not_taken_for_empty(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub" / "in").mkdir(parents=True)
    member = Tree.member

    def broken(tree: Tree, located: Any, entry: Any) -> Any:
        if entry.name == "in":
            raise OSError(5, "Input/output error")
        return member(tree, located, entry)

    monkeypatch.setattr(Tree, "member", broken)

    assert dav.ask("PROPFIND", "/", depth="infinity").status == 503
    assert dav.ask("PROPFIND", "/", depth="1").status == 207


def test_a_long_answer_comes_in_pieces_and_a_short_one_with_its_length(dav: Caller, folder: Path) -> None:
    assert int(dav.ask("PROPFIND", "/", depth="1").fields["content-length"]) > 0
    many(folder, 1000)
    pieces: list[int] = []
    answer = streamed(dav, lambda piece: pieces.append(len(piece)))

    assert "content-length" not in answer.fields
    assert len(read(answer.body)) == 1001
    assert len(pieces) > 8
    assert max(pieces) < 100_000


def streamed(dav: Caller, see: Callable[[bytes], None]) -> Answer:
    app = dav._app
    seen = Caller(lambda environ, start: (see(piece) or piece for piece in app(environ, start)))
    return seen.ask("PROPFIND", "/", depth="1")


def test_a_large_folder_is_never_in_memory_as_a_whole(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propfind, "_TOGETHER", 64)
    many(folder, 1500)
    sizes: list[int] = []
    dav.ask("PROPFIND", "/", depth="1")
    tracemalloc.start()
    app = dav._app

    def dropped(environ: Any, start: Any) -> Any:
        sizes.append(sum(map(len, app(environ, start))))
        return []

    Caller(dropped).ask("PROPFIND", "/", depth="1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sizes[0] > 1_000_000
    assert peak < sizes[0] / 2


def test_a_client_that_leaves_leaves_no_folder_open(dav: Caller, folder: Path) -> None:
    many(folder, 1000)
    before = len(os.listdir("/proc/self/fd"))
    environ = {
        "REQUEST_METHOD": "PROPFIND",
        "SCRIPT_NAME": "/dav",
        "PATH_INFO": "/",
        "HTTP_DEPTH": "1",
        "wsgi.input": open(os.devnull, "rb"),  # noqa: SIM115
        "wsgi.url_scheme": "https",
        "CONTENT_LENGTH": "0",
    }
    answer: Any = dav._app(environ, lambda *_: None)
    next(iter(answer))
    answer.close()
    environ["wsgi.input"].close()  # type: ignore[attr-defined]

    assert len(os.listdir("/proc/self/fd")) == before


def test_two_megabytes_of_xml_are_refused(dav: Caller, file: Path) -> None:
    assert dav.ask("PROPFIND", "/", b"<" + b"a" * 2_000_000, depth="0").status == 413
    assert dav.ask("PROPFIND", "/", b" " * MAX_XML, depth="0").status == 207


def test_a_bomb_is_answered_400_and_shows_nothing(dav: Caller, file: Path) -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    answer = dav.ask("PROPFIND", "/", bomb, depth="0")

    assert (answer.status, b"root:" in answer.body) == (400, False)
