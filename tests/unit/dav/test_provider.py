"""Locks, properties, OPTIONS and what is refused: wsgidav's methods through our provider."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from pathlib import Path

import pytest

from supercloud.dav.app import MAX_XML, make_app
from supercloud.dav.provider import content_type, etag_of
from supercloud.dav.quota import Quota
from tests.fakes.wsgi import Caller

BYTES = bytes(range(256)) * 40
LOCK = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "file.bin"
    made.write_bytes(BYTES)
    os.utime(made, ns=(0, 1_700_000_000_123_456_789))
    return made


def tag(file: Path) -> str:
    return f'"{etag_of(file.stat())}"'


def test_a_lock_binds_who_does_not_show_its_token(dav: Caller, file: Path) -> None:
    locked = dav.ask("LOCK", "/file.bin", LOCK)
    token = locked.fields["lock-token"]

    assert locked.status == 200
    assert dav.put("/file.bin").status == 423
    assert dav.ask("DELETE", "/file.bin").status == 423
    assert dav.ask("MOVE", "/file.bin", destination="/dav/x").status == 423
    assert file.read_bytes() == BYTES
    assert dav.put("/file.bin", b"mine", **{"if": f"({token})"}).status == 204
    assert dav.ask("DELETE", "/file.bin", **{"if": f"({token})"}).status == 204
    assert dav.put("/file.bin").status == 201


def test_a_locked_member_keeps_its_folder_from_being_removed(dav: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a").touch()
    dav.ask("LOCK", "/sub/a", LOCK)

    assert dav.ask("DELETE", "/sub").status == 423
    assert (folder / "sub" / "a").exists()


def test_locking_nothing_makes_an_empty_file(dav: Caller, folder: Path) -> None:
    assert dav.ask("LOCK", "/new", LOCK).status == 201
    assert (folder / "new").read_bytes() == b""
    assert dav.ask("LOCK", "/no/new", LOCK).status == 409


def test_a_locked_folder_gets_no_empty_file_by_another_lock(dav: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()
    dav.ask("LOCK", "/sub", LOCK, depth="infinity")

    assert dav.ask("LOCK", "/sub/new", LOCK).status == 423
    assert not (folder / "sub" / "new").exists()


def test_a_folder_is_no_file_but_no_error(dav: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()

    assert dav.ask("GET", "/sub/").status == 200
    assert dav.ask("HEAD", "/sub").body == b""
    assert dav.ask("GET", "/sub/", range="bytes=0-1").status == 200


def test_options_name_the_classes_everywhere(dav: Caller, file: Path) -> None:
    for path in ("/", "/file.bin", "/nothing"):
        answer = dav.ask("OPTIONS", path)
        assert answer.status == 200
        assert answer.fields["dav"] == "1, 2, 3"
        assert answer.fields["ms-author-via"] == "DAV"
    assert "PUT" in dav.ask("OPTIONS", "/file.bin").fields["allow"]
    assert "PUT" not in dav.ask("OPTIONS", "/").fields["allow"]
    assert "MKCOL" in dav.ask("OPTIONS", "/nothing").fields["allow"]


def test_without_locks_class_2_is_not_promised(folder: Path) -> None:
    dav = Caller(make_app({"/": str(folder)}, str(folder), None))

    assert dav.ask("OPTIONS", "/").fields["dav"] == "1, 3"
    assert dav.put("/new").status == 201


def test_methods_that_do_nothing_are_named_so(dav: Caller) -> None:
    answer = dav.ask("PATCH", "/")

    assert answer.status == 405
    assert "PROPFIND" in answer.fields["allow"]


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/etc/passwd", "/a%00b", "//x", "/.", "/a/%2e%2e/%2e%2e/x"])
def test_traversal_in_the_address_reads_and_writes_nothing(dav: Caller, folder: Path, path: str) -> None:
    for method in ("GET", "HEAD", "PROPFIND", "OPTIONS"):
        assert dav.ask(method, path).status == 404
    for method in ("PUT", "MKCOL", "DELETE", "COPY", "MOVE", "LOCK", "PROPPATCH"):
        assert dav.ask(method, path, destination="/dav/x").status == 403
    assert list(folder.parent.iterdir()) == [folder] or {p.name for p in folder.parent.iterdir()} == {"served", "home"}


def test_a_files_name_cannot_forge_a_page(dav: Caller, folder: Path) -> None:
    answer = dav.ask("GET", "/%3Cscript%3Ealert(1)%3C/script%3E")

    assert answer.status == 404
    assert b"script" not in answer.body
    assert answer.fields["content-type"] == "text/plain; charset=utf-8"
    assert answer.fields["x-content-type-options"] == "nosniff"


def test_what_may_not_be_read_is_forbidden(dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_args: object, **_named: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("supercloud.dav.tree.os.open", denied)
    answer = dav.ask("GET", "/file.bin")

    assert answer.status == 403
    assert b"Errno" not in answer.body


def test_properties_are_found_with_hrefs_below_the_prefix(dav: Caller, file: Path, folder: Path) -> None:
    (folder / "a b%").mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).touch()

    answer = dav.ask("PROPFIND", "/", depth="1")

    hrefs = set(re.findall(rb"<[^>]*href>([^<]*)<", answer.body))
    assert answer.status == 207
    assert hrefs == {b"/dav/", b"/dav/file.bin", b"/dav/a%20b%25/", b"/dav/caf%E9"}
    assert tag(file).strip('"').encode() in answer.body


def test_xml_that_names_entities_is_refused(dav: Caller, file: Path) -> None:
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        b'<D:propfind xmlns:D="DAV:"><D:prop><D:x>&a;</D:x></D:prop></D:propfind>'
    )
    answer = dav.ask("PROPFIND", "/file.bin", bomb, depth="0")

    assert answer.status == 400
    assert b"root" not in answer.body


def test_xml_is_bounded(dav: Caller, file: Path) -> None:
    assert dav.ask("PROPFIND", "/file.bin", b" " * (MAX_XML + 1), depth="0").status == 413


@pytest.mark.parametrize("name", ["{DAV:}getlastmodified", "{urn:schemas-microsoft-com:}Win32LastModifiedTime"])
def test_the_time_of_the_last_change_can_be_set(dav: Caller, file: Path, name: str) -> None:
    space, local = name[1:].split("}")
    body = (
        f'<D:propertyupdate xmlns:D="DAV:" xmlns:N="{space}"><D:set><D:prop>'
        f"<N:{local}>Sun, 06 Nov 1994 08:49:37 GMT</N:{local}></D:prop></D:set></D:propertyupdate>"
    )
    answer = dav.ask("PROPPATCH", "/file.bin", body.encode())

    assert answer.status == 207
    assert b"200 OK" in answer.body
    assert file.stat().st_mtime == 784111777


def test_a_time_that_is_none_is_a_conflict_and_changes_nothing(dav: Caller, file: Path) -> None:
    body = (
        b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:getlastmodified>soon</D:getlastmodified>'
        b"</D:prop></D:set></D:propertyupdate>"
    )
    answer = dav.ask("PROPPATCH", "/file.bin", body)

    assert b"409" in answer.body
    assert file.stat().st_mtime_ns == 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.html", "text/html; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.txt.xz", "application/x-xz"),
        ("README", "application/octet-stream"),
        ("data:text", "application/octet-stream"),
        ("http:x.png", "image/png"),
    ],
)
def test_a_compressed_file_is_told_as_what_it_is(name: str, kind: str) -> None:
    assert content_type(name) == kind


def test_an_unforeseen_failure_says_nothing_of_itself(
    dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("inner thoughts")

    monkeypatch.setattr("supercloud.dav.app.read", broken)
    answer = dav.ask("GET", "/file.bin")

    assert answer.status == 500
    assert b"inner" not in answer.body
    assert "inner thoughts" in caplog.text


def test_room_is_told(folder: Path) -> None:
    handle = os.open(folder, os.O_PATH)
    quota = Quota.of(handle)
    os.close(handle)

    assert quota.available > 0
    assert quota.used > 0


def test_locks_of_another_resource_do_not_count(dav: Caller, folder: Path, file: Path) -> None:
    other = dav.ask("LOCK", "/other", LOCK).fields["lock-token"]

    assert dav.put("/file.bin", **{"if": f"({other})"}).status == 412
    assert dav.put("/file.bin", **{"if": f"</dav/other> ({other})"}).status == 204


@pytest.mark.parametrize(("soft", "hard", "limit"), [(100, 200, 100), (0, 200, 200), (0, 0, None)])
def test_an_accounts_own_quota_is_told(
    folder: Path, soft: int, hard: int, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel:
        """Answers quotactl_fd as linux/quota.h says: struct if_dqblk, limits in blocks of 1 KiB, room in bytes."""

        def syscall(self, number: int, _handle: int, command: object, _uid: int, answer: object) -> int:
            assert (number, command.value) == (443, 0x80000700)  # type: ignore[attr-defined]
            packed = struct.pack("=8QI", hard, soft, 60 * 1024, 0, 0, 0, 0, 0, 0b111111)
            ctypes.memmove(answer, packed, len(packed))  # type: ignore[arg-type]
            return 0

    handle = os.open(folder, os.O_PATH)
    whole = Quota.of(handle)
    monkeypatch.setattr("supercloud.dav.quota._libc", Kernel())
    quota = Quota.of(handle)
    os.close(handle)

    if limit is None:
        assert quota.used == pytest.approx(whole.used, rel=0.1)
    else:
        assert quota == Quota(60 * 1024, (limit - 60) * 1024)
