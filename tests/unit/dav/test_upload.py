"""PUT: bodies, checksums, times, pieces, and ownCloud's chunks."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav import part
from supercloud.dav.app import make_app
from supercloud.dav.checksum import BadChecksum, Checksum
from tests.fakes.wsgi import Broken, Caller

BYTES = bytes(range(256)) * 100


def test_a_chunked_upload_is_written(dav: Caller, folder: Path) -> None:
    answer = dav.ask("PUT", "/new", io.BytesIO(BYTES), transfer_encoding="chunked")

    assert answer.status == 201
    assert (folder / "new").read_bytes() == BYTES


def test_put_tells_the_tag_that_get_tells(dav: Caller) -> None:
    answer = dav.put("/new", BYTES)

    assert answer.fields["etag"] == answer.fields["oc-etag"] == dav.ask("HEAD", "/new").fields["etag"]


@pytest.mark.parametrize(
    ("given", "ns"),
    [
        ("1500000000", 1_500_000_000_000_000_000),
        ("1500000000.25", 1_500_000_000_250_000_000),
        ("-86400", -86_400_000_000_000),
        ("0", 0),
    ],
)
def test_the_time_of_the_last_change_is_the_clients(dav: Caller, folder: Path, given: str, ns: int) -> None:
    for path in ("/new", "/new"):
        answer = dav.put(path, x_oc_mtime=given)
        assert answer.fields["x-oc-mtime"] == "accepted"
        assert (folder / "new").stat().st_mtime_ns == ns


@pytest.mark.parametrize("given", ["", "soon", "1e9", "12345678901234", "0x10", "\u0661"])
def test_a_time_that_is_none_writes_nothing(dav: Caller, folder: Path, given: str) -> None:
    assert dav.put("/new", x_oc_mtime=given).status == 400
    assert list(folder.iterdir()) == []


def test_the_time_reaches_a_file_that_keeps_its_identity(dav: Caller, folder: Path) -> None:
    (folder / "a").touch()
    os.link(folder / "a", folder / "b")

    dav.put("/a", x_oc_mtime="1500000000")

    assert (folder / "b").stat().st_mtime == 1500000000


@pytest.mark.parametrize(
    "field",
    [
        "SHA1:" + hashlib.sha1(BYTES).hexdigest(),
        "sha1:" + hashlib.sha1(BYTES).hexdigest().upper(),
        "MD5:" + hashlib.md5(BYTES).hexdigest(),
        f"ADLER32:{zlib.adler32(BYTES):x}",
        "SHA256:" + hashlib.sha256(BYTES).hexdigest(),
        "BLAKE9:00",
    ],
)
def test_bytes_that_add_up_are_taken(dav: Caller, folder: Path, field: str) -> None:
    assert dav.put("/new", BYTES, oc_checksum=field).status == 201
    assert dav.put("/other", BYTES[1:], oc_checksum=field).status == (201 if "BLAKE9" in field else 400)
    assert not (folder / "other").exists() or "BLAKE9" in field


def test_a_wrong_checksum_leaves_the_old_file(dav: Caller, folder: Path) -> None:
    dav.put("/file", b"old")

    answer = dav.put("/file", b"new", oc_checksum="MD5:" + "0" * 32)

    assert answer.status == 400
    assert (folder / "file").read_bytes() == b"old"
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("field", ["SHA1", "SHA1:", ":00"])
def test_a_checksum_that_cannot_be_read_is_refused(field: str) -> None:
    if field == ":00":
        assert not Checksum(field)
        return
    with pytest.raises(BadChecksum):
        Checksum(field)


def test_an_encoded_body_is_not_stored_as_if_it_were_plain(dav: Caller, folder: Path) -> None:
    assert dav.put("/new", content_encoding="gzip").status == 501
    assert list(folder.iterdir()) == []


def piece(dav: Caller, first: int, end: int, total: int = len(BYTES), **fields: str):
    """Send a part of BYTES."""
    return dav.put("/big", BYTES[first:end], content_range=f"bytes {first}-{end - 1}/{total}", **fields)


def test_pieces_become_the_file_all_at_once(dav: Caller, folder: Path) -> None:
    dav.put("/big", b"old")

    first = piece(dav, 0, 10_000)
    assert (first.status, first.fields["upload-offset"]) == (202, "10000")
    assert piece(dav, 10_000, 20_000).status == 202
    assert (folder / "big").read_bytes() == b"old"
    assert b".big" not in dav.ask("PROPFIND", "/", depth="1").body
    last = piece(dav, 20_000, len(BYTES), x_oc_mtime="1500000000")

    assert last.status == 204
    assert last.fields["etag"] == dav.ask("HEAD", "/big").fields["etag"]
    assert (folder / "big").read_bytes() == BYTES
    assert (folder / "big").stat().st_mtime == 1500000000
    assert [path.name for path in folder.iterdir()] == ["big"]


def test_a_piece_out_of_order_is_told_where_to_go_on(dav: Caller, folder: Path) -> None:
    assert piece(dav, 5, 10).fields["upload-offset"] == "0"
    piece(dav, 0, 10)
    for first in (5, 11, 20):
        answer = piece(dav, first, 30)
        assert (answer.status, answer.fields["upload-offset"]) == (409, "10")
    assert piece(dav, 0, 4).fields["upload-offset"] == "4"


def test_a_piece_that_breaks_off_is_resumed(dav: Caller, folder: Path) -> None:
    answer = dav.ask("PUT", "/big", Broken(BYTES[:7000]), length=10_000, content_range=f"bytes 0-9999/{len(BYTES)}")
    assert answer.status == 400

    told = dav.put("/big", b"", content_range=f"bytes */{len(BYTES)}")

    assert (told.status, told.fields["upload-offset"]) == (202, "7000")
    assert piece(dav, 7000, len(BYTES)).status == 201
    assert (folder / "big").read_bytes() == BYTES


@pytest.mark.parametrize(
    "field",
    ["bytes 0-9", "bytes 9-0/10", "bytes 0-10/10", "bytes 0-9/*", "0-9/10", "bytes -1-9/10", "bytes 0-8/10"],
)
def test_a_piece_that_does_not_fit_is_refused(dav: Caller, folder: Path, field: str) -> None:
    assert dav.put("/big", b"0123456789", content_range=field).status == 400
    assert list(folder.iterdir()) == []


def test_a_chunked_piece_must_have_the_length_that_it_says(dav: Caller, folder: Path) -> None:
    for content in (b"123", b"1234567"):
        answer = dav.ask("PUT", "/big", io.BytesIO(content), transfer_encoding="chunked", content_range="bytes 0-4/5")
        assert answer.status == 400
    assert not (folder / "big").exists()


def test_the_whole_of_the_pieces_is_added_up(dav: Caller, folder: Path) -> None:
    piece(dav, 0, 10_000)

    assert piece(dav, 10_000, len(BYTES), oc_checksum="MD5:" + "0" * 32).status == 400
    assert not (folder / "big").exists()
    assert piece(dav, 0, 10_000).status == 202
    assert piece(dav, 10_000, len(BYTES), oc_checksum="MD5:" + hashlib.md5(BYTES).hexdigest()).status == 201


def test_two_at_once_do_not_mix_one_upload(dav: Caller) -> None:
    class Second(Broken):
        def readinto(self, buffer: Any) -> int:
            if not answers:
                answers.append(piece(dav, 0, 10))
            return super().readinto(buffer)

    answers: list[object] = []
    dav.ask("PUT", "/big", Second(BYTES[:10]), length=10, content_range=f"bytes 0-9/{len(BYTES)}")

    assert [answer.status for answer in answers] == [409]  # type: ignore[attr-defined]


def test_a_link_in_place_of_the_pieces_is_not_followed(dav: Caller, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"0123456789")
    (folder / part.resumable_name("big", len(BYTES))).symlink_to(tmp_path / "secret")

    assert piece(dav, 0, 10).status == 409
    assert (tmp_path / "secret").read_bytes() == b"0123456789"


def test_pieces_are_not_put_into_what_somebody_else_has_laid_there(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = folder / part.resumable_name("big", len(BYTES))
    laid.touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert piece(dav, 0, 10).status == 403
    assert laid.read_bytes() == b""


def test_pieces_are_not_put_into_a_file_that_has_another_name(dav: Caller, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"0123456789")
    (folder / part.resumable_name("big", len(BYTES))).hardlink_to(tmp_path / "other")

    assert piece(dav, 0, 5).status == 403
    assert (tmp_path / "other").read_bytes() == b"0123456789"


@pytest.fixture
def cloud(folder: Path, home: Path) -> Caller:
    """With ownCloud's addresses."""
    app = make_app({"/": str(folder), "/home": str(home)}, str(folder), None)
    cloud = Caller(app)
    cloud.login = app.login  # type: ignore[attr-defined]
    return cloud


def send_chunks(cloud: Caller, *names: str) -> str:
    folder = f"/uploads/{cloud.login}/rclone-chunked-upload-1"  # type: ignore[attr-defined]
    assert cloud.ask("DELETE", folder + "/").status in (204, 404)
    assert cloud.ask("MKCOL", folder + "/").status == 201
    for name in names:
        first, last = name.split("-")
        assert cloud.put(f"{folder}/{name}", BYTES[int(first) : int(last) + 1]).status == 201
    return folder


SPANS = ["000000000000000-000000000009999", "000000000010000-000000000019999", "000000000020000-000000000025599"]


def finish(cloud: Caller, upload: str, **fields: str):
    target = f"https://portal.test/dav/files/{cloud.login}/big"  # type: ignore[attr-defined]
    return cloud.ask("MOVE", f"{upload}/.file", destination=target, **fields)


def test_chunks_become_a_file_as_rclone_sends_them(cloud: Caller, folder: Path) -> None:
    upload = send_chunks(cloud, *reversed(SPANS))

    sum_of = "SHA1:" + hashlib.sha1(BYTES).hexdigest()
    answer = finish(cloud, upload, x_oc_mtime="1500000000", oc_checksum=sum_of, oc_total_length="25600")

    assert (answer.status, answer.fields["x-oc-mtime"]) == (201, "accepted")
    assert (folder / "big").read_bytes() == BYTES
    assert (folder / "big").stat().st_mtime == 1500000000
    assert cloud.ask("PROPFIND", upload, depth="0").status == 404


def test_numbered_chunks_are_sorted_as_numbers(cloud: Caller, folder: Path) -> None:
    upload = send_chunks(cloud)
    for number in range(1, 12):
        cloud.put(f"{upload}/{number}", b"%d," % number)

    assert finish(cloud, upload).status == 201
    assert (folder / "big").read_bytes() == b"1,2,3,4,5,6,7,8,9,10,11,"


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        (SPANS[:1] + SPANS[2:], {}),
        (SPANS[1:], {}),
        (SPANS[:2], {"oc_total_length": "25600"}),
        (SPANS, {"oc_checksum": "MD5:" + "0" * 32}),
    ],
)
def test_chunks_that_are_not_whole_leave_the_old_file_and_stay(
    cloud: Caller, folder: Path, names: list[str], fields: dict[str, str]
) -> None:
    (folder / "big").write_bytes(b"old")
    upload = send_chunks(cloud, *names)

    assert finish(cloud, upload, **fields).status == 400
    assert (folder / "big").read_bytes() == b"old"
    assert cloud.ask("GET", f"{upload}/{names[0]}").status == 200


def test_no_chunks_no_file(cloud: Caller, folder: Path) -> None:
    assert finish(cloud, send_chunks(cloud)).status == 404
    assert finish(cloud, f"/uploads/{cloud.login}/nothing").status == 404  # type: ignore[attr-defined]
    assert not (folder / "big").exists()


def test_a_full_disk_keeps_the_chunks(cloud: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    upload = send_chunks(cloud, *SPANS)
    monkeypatch.setattr("supercloud.dav.chunks.copy_range", full)

    assert finish(cloud, upload).status == 507
    monkeypatch.undo()
    assert finish(cloud, upload).status == 201


def test_abandoned_uploads_go_when_the_next_begins(
    cloud: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_chunks(cloud, SPANS[0])
    uploads = folder / ".cache" / "supercloud" / "uploads"
    monkeypatch.setattr("supercloud.dav.chunks.ABANDONED", -1)

    cloud.ask("MKCOL", f"/uploads/{cloud.login}/next")  # type: ignore[attr-defined]

    assert [path.name for path in uploads.iterdir()] == ["next"]
    assert uploads.stat().st_mode & 0o777 == 0o700


def test_uploads_of_others_are_nowhere(cloud: Caller) -> None:
    assert cloud.ask("MKCOL", "/uploads/somebody/x").status == 409


def test_a_file_of_that_name_elsewhere_is_just_moved(dav: Caller, folder: Path) -> None:
    (folder / ".file").write_bytes(b"mine")

    assert dav.ask("MOVE", "/.file", destination="/dav/x").status == 201
