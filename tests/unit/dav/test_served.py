"""The application as a worker serves it: what cheroot and the socket make of bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav.app import make_app
from tests.unit.workers.serving import Conversation, Start, serving

OLD = b"old content"
BYTES = bytes(range(256)) * 4096
Connect = Callable[[], Conversation]


@pytest.fixture
def connect(tmp_path: Path, folder: Path, home: Path) -> Iterator[Connect]:
    dav = make_app({"/": str(folder)}, str(home), None)

    def application(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"].removeprefix("/dav")
        return dav({**environ, "SCRIPT_NAME": "/dav", "PATH_INFO": path}, start)

    with serving(tmp_path, application) as connect:
        yield connect


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "file"
    made.write_bytes(OLD)
    return made


@pytest.mark.parametrize(
    "sent",
    [
        b"Transfer-Encoding: chunked\r\n\r\n" + b"4\r\nnew \r\n" * 1000,
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nnew \r\nffff\r\nhalf of a chu",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nnew \r\n0\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nnew \r\nnonsense\r\n",
        b"Content-Length: 1000000\r\n\r\n" + b"new " * 10_000,
    ],
)
@pytest.mark.parametrize("name", ["file", "new"])
def test_an_upload_that_is_cut_short_leaves_the_old_file_and_no_litter(
    connect: Connect, folder: Path, file: Path, sent: bytes, name: str
) -> None:
    front = connect()
    front.send(f"PUT /dav/{name} HTTP/1.1\r\nHost: portal.test\r\n".encode() + sent)
    front.socket.shutdown(1)

    assert b"HTTP/1.1 2" not in front.rest()
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert file.read_bytes() == OLD


def test_an_upload_in_chunks_is_written_whole(connect: Connect, folder: Path) -> None:
    front = connect()
    front.send(b"PUT /dav/new HTTP/1.1\r\nHost: portal.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    for at in range(0, len(BYTES), 70_000):
        piece = BYTES[at : at + 70_000]
        front.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    front.send(b"0\r\n\r\n")

    assert front.answer()[0] == 201
    assert (folder / "new").read_bytes() == BYTES


@pytest.mark.parametrize(
    ("wanted", "status", "first", "end"),
    [
        ("", 200, 0, len(BYTES)),
        ("Range: bytes=1000-300000\r\n", 206, 1000, 300_001),
        ("Range: bytes=-1\r\n", 206, -1, None),
    ],
)
def test_a_file_is_sent_as_it_is(
    connect: Connect, file: Path, wanted: str, status: int, first: int, end: int | None
) -> None:
    file.write_bytes(BYTES)
    front = connect()
    for _ in range(2):
        front.send(f"GET /dav/file HTTP/1.1\r\nHost: portal.test\r\n{wanted}\r\n".encode())
        assert front.answer() == (status, BYTES[first:end])


def test_a_refused_upload_of_gigabytes_ends_the_connection_after_the_answer(connect: Connect) -> None:
    front = connect()
    front.send(b"PUT /dav/no/file HTTP/1.1\r\nHost: portal.test\r\nContent-Length: 9999999999\r\n\r\n")

    said = front.rest()

    assert said.startswith(b"HTTP/1.1 409")
    assert b"\r\nConnection: close\r\n" in said
