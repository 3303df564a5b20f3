"""GET, HEAD, and conditions of every method."""

from __future__ import annotations

import email.utils
import os
from pathlib import Path

import pytest

from supercloud.dav import reading
from supercloud.dav.conditions import BadCondition, parse_if
from supercloud.dav.provider import etag_of
from tests.fakes.wsgi import Caller

BYTES = bytes(range(256)) * 40


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "file.bin"
    made.write_bytes(BYTES)
    os.utime(made, ns=(0, 1_700_000_000_123_456_789))
    return made


def tag(file: Path) -> str:
    return f'"{etag_of(file.stat())}"'


def date(file: Path, later: int = 0) -> str:
    return email.utils.formatdate(int(file.stat().st_mtime) + later, usegmt=True)


def test_a_file_is_read_with_what_clients_cache_it_by(dav: Caller, file: Path) -> None:
    answer = dav.ask("GET", "/file.bin")

    assert (answer.status, answer.body) == (200, BYTES)
    assert answer.fields["etag"] == tag(file)
    assert answer.fields["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert answer.fields["content-length"] == str(len(BYTES))
    assert answer.fields["accept-ranges"] == "bytes"


def test_head_says_the_same_without_the_bytes(dav: Caller, file: Path) -> None:
    head, get = dav.ask("HEAD", "/file.bin"), dav.ask("GET", "/file.bin")

    assert head.fields == get.fields
    assert head.body == b""


def test_an_empty_file_is_read(dav: Caller, folder: Path) -> None:
    (folder / "empty").touch()

    assert dav.ask("GET", "/empty").fields["content-length"] == "0"


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-9", 5, 9),
        ("bytes=10000-", 10000, 10239),
        ("bytes=10000-99999", 10000, 10239),
        ("bytes=-10", 10230, 10239),
        ("bytes=-99999", 0, 10239),
        ("Bytes = 1 - 2", 1, 2),
    ],
)
def test_a_range_is_sent_alone(dav: Caller, file: Path, wanted: str, first: int, last: int) -> None:
    answer = dav.ask("GET", "/file.bin", range=wanted)

    assert (answer.status, answer.body) == (206, BYTES[first : last + 1])
    assert answer.fields["content-range"] == f"bytes {first}-{last}/10240"


@pytest.mark.parametrize("wanted", ["bytes=10240-", "bytes=10240-10250", "bytes=-0"])
def test_a_range_beyond_the_end_says_how_long_it_is(dav: Caller, file: Path, wanted: str) -> None:
    answer = dav.ask("GET", "/file.bin", range=wanted)

    assert answer.status == 416
    assert answer.fields["content-range"] == "bytes */10240"


@pytest.mark.parametrize("wanted", ["bytes=9-5", "bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes=", "bytes=-"])
def test_a_range_that_is_not_understood_is_ignored(dav: Caller, file: Path, wanted: str) -> None:
    assert dav.ask("GET", "/file.bin", range=wanted).status == 200


def test_if_range_sends_the_rest_only_of_the_same_file(dav: Caller, file: Path) -> None:
    def status(if_range: str) -> int:
        return dav.ask("GET", "/file.bin", range="bytes=5-", if_range=if_range).status

    assert status(tag(file)) == 206
    assert status(date(file)) == 206
    assert status('"other"') == 200
    assert status("W/" + tag(file)) == 200
    assert status(date(file, -1)) == 200
    assert status("nonsense") == 200


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(
    dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK", 1000)
    pread = os.pread

    def shrinking(handle: int, size: int, offset: int) -> bytes:
        os.truncate(file, 3000)
        return pread(handle, size, offset)

    monkeypatch.setattr(os, "pread", shrinking)
    with pytest.raises(reading.Truncated):
        dav.ask("GET", "/file.bin")


def test_reading_leaves_no_descriptor_open(dav: Caller, file: Path) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    for fields in ({}, {"range": "bytes=1-2"}, {"range": "bytes=99999-"}, {"if_none_match": "*"}, {"if_match": '"x"'}):
        dav.ask("GET", "/file.bin", **fields)
        dav.ask("HEAD", "/file.bin", **fields)
    dav.ask("PUT", "/file.bin", b"new")
    dav.ask("PUT", "/file.bin", b"new", if_match='"x"')
    dav.ask("PUT", "/no/file.bin", b"new")
    dav.ask("MOVE", "/file.bin", destination="/dav/moved")
    dav.ask("COPY", "/moved", destination="/dav/copied")
    dav.ask("DELETE", "/moved")
    dav.ask("PROPFIND", "/", depth="1")

    assert opened() == before


@pytest.mark.parametrize(
    ("fields", "get", "put"),
    [
        ({"if_match": "*"}, 200, 204),
        ({"if_match": "{tag}"}, 200, 204),
        ({"if_match": '"a", {tag}'}, 200, 204),
        ({"if_match": '"a"'}, 412, 412),
        ({"if_match": "W/{tag}"}, 412, 412),
        ({"if_none_match": "*"}, 304, 412),
        ({"if_none_match": "{tag}"}, 304, 412),
        ({"if_none_match": "W/{tag}"}, 304, 412),
        ({"if_none_match": '"a"'}, 200, 204),
        ({"if_none_match": '"a,b", {tag}'}, 304, 412),
        ({"if_modified_since": "{date}"}, 304, 204),
        ({"if_modified_since": "{earlier}"}, 200, 204),
        ({"if_modified_since": "{date}", "if_none_match": '"a"'}, 200, 204),
        ({"if_modified_since": "nonsense"}, 200, 204),
        ({"if_unmodified_since": "{date}"}, 200, 204),
        ({"if_unmodified_since": "{earlier}"}, 412, 412),
        ({"if_unmodified_since": "{earlier}", "if_match": "{tag}"}, 200, 204),
        ({"if_match": '"a" "b"'}, 400, 400),
    ],
)
def test_conditions_are_judged_in_rfc_9110s_order(
    dav: Caller, file: Path, fields: dict[str, str], get: int, put: int
) -> None:
    given = {
        name: value.format(tag=tag(file), date=date(file), earlier=date(file, -1)) for name, value in fields.items()
    }

    assert dav.ask("GET", "/file.bin", **given).status == get
    assert dav.put("/file.bin", **given).status == put


def test_not_modified_names_the_tag_and_has_no_body(dav: Caller, file: Path) -> None:
    answer = dav.ask("GET", "/file.bin", if_none_match=tag(file))

    assert (answer.body, answer.fields["etag"]) == (b"", tag(file))


def test_conditions_for_nothing(dav: Caller, folder: Path) -> None:
    assert dav.put("/new", if_match="*").status == 412
    assert not (folder / "new").exists()
    assert dav.put("/new", if_none_match="*").status == 201
    assert dav.put("/new", if_none_match="*").status == 412


def test_the_tag_changes_with_every_write_of_the_same_length(dav: Caller, folder: Path) -> None:
    tags = {dav.put("/same", bytes([65 + n]) * 10).fields["etag"] for n in range(20)}

    assert len(tags) == 20


def test_the_tag_stays_when_only_permissions_or_properties_change(dav: Caller, file: Path) -> None:
    before = dav.ask("GET", "/file.bin").fields["etag"]
    file.chmod(0o600)

    assert dav.ask("GET", "/file.bin").fields["etag"] == before


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("([{tag}])", True),
        ('(["other"])', False),
        ('(["other"]) ([{tag}])', True),
        ('(Not ["other"])', True),
        ("(Not [{tag}])", False),
        ("(<urn:uuid:none>)", False),
        ("(Not <DAV:no-lock>)", True),
        ("(<DAV:no-lock>)", False),
        ("</dav/file.bin> ([{tag}])", True),
        ("<https://portal.test/dav/file.bin> ([{tag}])", True),
        ("<https://portal.test:443/dav/file.bin> ([{tag}])", True),
        ("<https://other.test/dav/file.bin> ([{tag}])", False),
        ("</dav/nothing> ([{tag}])", False),
        ("</dav/nothing> (Not [{tag}])", True),
        ("</dav/../etc/passwd> ([{tag}])", False),
    ],
)
def test_the_if_field_is_a_disjunction_of_lists(dav: Caller, file: Path, condition: str, holds: bool) -> None:
    answer = dav.put("/file.bin", **{"if": condition.format(tag=tag(file))})

    assert answer.status == (204 if holds else 412)


@pytest.mark.parametrize("field", ["", "()", "(<a>", "[x]", "<a>", "(<a>) x", "(Not)", "<a> <b> (<c>)"])
def test_an_if_field_that_cannot_be_read_stops_the_request(dav: Caller, file: Path, field: str) -> None:
    with pytest.raises(BadCondition):
        parse_if(field)
    assert dav.put("/file.bin", **{"if": field}).status == 400
    assert file.read_bytes() == BYTES


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_is_not_to_be_had_at_a_folders_address(dav: Caller, file: Path, method: str) -> None:
    assert dav.ask(method, "/file.bin/").status == 404


def test_pdf_is_saved_and_nothing_else(dav: Caller, folder: Path, file: Path) -> None:
    (folder / "a.pdf").write_bytes(b"%PDF")

    assert dav.ask("GET", "/a.pdf").fields["content-disposition"] == "attachment"
    assert "content-disposition" not in dav.ask("GET", "/file.bin").fields
    assert dav.ask("GET", "/a.pdf", range="bytes=0-1").status == 206
    assert dav.ask("GET", "/a.pdf").status == 200
