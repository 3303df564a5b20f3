"""Every message's end is sure: bodies cut short, responses of another length than they said, early answers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supercloud.workers import exchange
from supercloud.workers.body import MOST_DROPPED
from tests.unit.workers.serving import Conversation, Start, serving

GO = b"HTTP/1.1 100 Continue\r\n\r\n"


class Application:
    """Does what the path says, and notes what it saw."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.failed: list[type[BaseException]] = []
        self.environ: dict[str, Any] = {}
        self.goes_on = threading.Event()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        self.environ = environ
        answer: Iterable[bytes] = getattr(self, environ["PATH_INFO"][1:])(environ["wsgi.input"], start)
        return answer

    def take(self, body: Any, start: Start) -> Iterable[bytes]:
        try:
            self.read.append(body.read())
        except OSError as error:
            self.failed.append(type(error))
            raise
        return self.say(start, str(len(self.read[-1])).encode())

    def ignore(self, _: Any, start: Start) -> Iterable[bytes]:
        return self.say(start, b"no", "403 Forbidden")

    def stream(self, body: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        while piece := body.read(5):
            yield piece

    def short(self, _: Any, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "10")])
        return [b"123"]

    def long(self, _: Any, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "3")])
        return [b"123", b"HTTP/1.1 200 OK\r\n\r\nsmuggled"]

    def empty(self, _: Any, start: Start) -> Iterable[bytes]:
        start("304 Not Modified", [("Content-Length", "10")])
        return [b"not to come"]

    def fail(self, _: Any, start: Start) -> Iterable[bytes]:
        raise ValueError("a cookie=secret\nof the request")

    def fail_later(self, _: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"first"
        raise ValueError("too late")

    def wait(self, _: Any, start: Start) -> Iterable[bytes]:
        self.goes_on.wait(10)
        return self.say(start, b"waited")

    def file(self, body: Any, start: Start) -> Iterable[bytes]:
        path = body.read().decode()
        opened = open(path, "rb")  # noqa: SIM115 - the gateway closes it
        opened.seek(10)
        start("200 OK", [("Content-Length", "20")])
        wrapped: Iterable[bytes] = self.environ["wsgi.file_wrapper"](opened)
        return wrapped

    def say(self, start: Start, body: bytes, status: str = "200 OK") -> Iterable[bytes]:
        start(status, [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def connect(tmp_path: Path, application: Application) -> Iterator[Callable[[], Conversation]]:
    with serving(tmp_path, application) as made:
        yield made


@pytest.fixture
def front(connect: Callable[[], Conversation]) -> Conversation:
    return connect()


def put(path: str, body: bytes, *fields: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"PUT {path} HTTP/1.1", "Host: portal.test", f"Content-Length: {size}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(path: str, body: bytes) -> bytes:
    return f"PUT {path} HTTP/1.1\r\nHost: portal.test\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + body


def test_a_body_of_known_length_is_given_whole_and_the_connection_kept(
    front: Conversation, application: Application
) -> None:
    body = os.urandom(300_000)
    for _ in range(2):
        front.send(put("/take", body))
        assert front.answer() == (200, b"300000")
    assert application.read == [body, body]


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        b"5;name=value\r\nhello\r\n06 \r\n world\r\n0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n",
    ],
)
def test_a_chunked_body_ends_with_its_trailers_and_the_connection_is_kept(
    front: Conversation, application: Application, body: bytes
) -> None:
    for _ in range(2):
        front.send(chunked("/take", body))
        assert front.answer() == (200, b"11")
    assert application.read == [b"hello world"] * 2


@pytest.mark.parametrize(
    "request_",
    [put("/take", b"half", length=8), chunked("/take", b"8\r\nhalf"), chunked("/take", b"4\r\nhalf\r\n")],
)
def test_a_body_that_is_cut_short_fails_and_does_not_look_whole(
    front: Conversation, application: Application, request_: bytes
) -> None:
    front.send(request_)
    front.socket.shutdown(socket.SHUT_WR)
    assert front.rest() == b""
    assert application.read == []
    assert issubclass(application.failed[0], ConnectionResetError)


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"1" * 17 + b"\r\n",
        b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_smuggling_by_chunks_that_are_none_ends_the_connection(
    front: Conversation, application: Application, body: bytes
) -> None:
    front.send(chunked("/take", body) + put("/take", b"next"))
    front.socket.shutdown(socket.SHUT_WR)
    assert front.rest() == b""
    assert application.read == []


def test_a_large_chunk_is_not_kept_in_memory(front: Conversation, application: Application) -> None:
    """cheroot's own reader would wait for the whole chunk of 16 EB, and then for memory."""
    front.send(chunked("/stream", b"ffffffffffffffff\r\n" + b"x" * 100_000))
    assert front.head()[0] == b"HTTP/1.1 200 OK"
    assert front.received.read(10) == b"5\r\nxxxxx\r\n"


def test_nobody_is_told_to_go_on_before_the_body_is_wanted(front: Conversation) -> None:
    front.send(put("/ignore", b"", "Expect: 100-continue", length=5))
    assert front.head()[0] == b"HTTP/1.1 403 Forbidden"
    assert front.rest() == b"no"


def test_who_waits_is_told_to_go_on_once_the_body_is_wanted(front: Conversation, application: Application) -> None:
    front.send(put("/take", b"", "Expect: 100-Continue", length=5))
    assert front.received.read(len(GO)) == GO
    front.send(b"hello")
    assert front.answer() == (200, b"5")
    front.send(put("/take", b"again"))
    assert front.answer() == (200, b"5")


def test_the_application_does_not_see_the_expectation(front: Conversation, application: Application) -> None:
    front.send(put("/take", b"", "Expect: 100-continue", length=0))
    front.answer()
    assert not any("expect" in name.lower() for name in application.environ)


def test_a_short_body_that_nobody_wanted_is_dropped_and_the_connection_kept(
    front: Conversation, application: Application
) -> None:
    front.send(put("/ignore", b"x" * MOST_DROPPED) + put("/take", b"next"))
    assert front.answer() == (403, b"no")
    assert front.answer() == (200, b"4")
    assert application.read == [b"next"]


@pytest.mark.parametrize(
    "request_",
    [
        put("/ignore", b"x" * (MOST_DROPPED + 1)),
        chunked("/ignore", b"5\r\nhello\r\n0\r\n\r\n"),
        chunked("/ignore", b"33\r\nGET /take HTTP/1.1\r\nHost: portal.test\r\nX: abcdefgh\r\n"),
    ],
)
def test_a_body_that_nobody_read_is_not_taken_for_the_next_request(
    front: Conversation, application: Application, request_: bytes
) -> None:
    front.send(request_ + put("/take", b"next"))
    head = front.head()
    assert head[0] == b"HTTP/1.1 403 Forbidden"
    assert b"Connection: close" in head
    front.socket.shutdown(socket.SHUT_WR)
    assert front.rest() == b"no"
    assert application.read == []


def test_an_early_answer_arrives_though_the_upload_goes_on(front: Conversation) -> None:
    front.send(put("/ignore", b"x" * 200_000, length=10**12))
    assert front.answer() == (403, b"no")
    front.send(b"x" * 200_000)
    front.socket.shutdown(socket.SHUT_WR)
    assert front.rest() == b""


def test_the_answer_to_an_upload_that_failed_arrives_though_the_upload_goes_on(front: Conversation) -> None:
    front.send(put("/fail", b"x" * 200_000, length=10**12))
    assert front.head()[0] == b"HTTP/1.1 500 Internal Server Error"
    front.send(b"x" * 200_000)
    front.socket.shutdown(socket.SHUT_WR)
    assert front.rest() == b""


def test_who_goes_on_sending_after_an_early_answer_is_not_listened_to_for_ever(
    front: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "LINGER", 0.05)
    front.send(put("/ignore", b"x" * 200_000, length=10**12))
    assert front.answer() == (403, b"no")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            front.send(b"x" * 10_000)


def test_an_application_may_answer_while_it_reads(front: Conversation) -> None:
    front.send(put("/stream", b"12345" * 3, length=20))
    front.head()
    assert front.received.read(10) == b"5\r\n12345\r\n"
    front.send(b"67890")
    front.socket.shutdown(socket.SHUT_WR)
    assert front.rest().endswith(b"5\r\n67890\r\n0\r\n\r\n")


def test_a_response_that_is_shorter_than_it_said_closes_the_connection(front: Conversation) -> None:
    front.send(b"GET /short HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert front.rest().endswith(b"\r\n\r\n123")


def test_a_response_that_is_longer_than_it_said_is_cut_off(front: Conversation) -> None:
    front.send(b"GET /long HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert front.rest().endswith(b"\r\n\r\n123")


@pytest.mark.parametrize(("method", "path"), [(b"HEAD", b"/short"), (b"HEAD", b"/fail_later"), (b"GET", b"/empty")])
def test_a_response_without_body_has_none_and_the_connection_is_kept(
    front: Conversation, method: bytes, path: bytes
) -> None:
    front.send(method + b" " + path + b" HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    front.head()
    front.socket.shutdown(socket.SHUT_WR)
    assert front.rest() == b""


def test_an_error_is_500_and_says_nothing_of_itself(front: Conversation, capsys: pytest.CaptureFixture[str]) -> None:
    front.send(b"GET /fail HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    answer = front.rest()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    logged = capsys.readouterr().err
    assert logged.startswith("worker of alice: ValueError at ")
    assert "secret" not in logged
    assert logged.count("\n") == 1


def test_an_error_in_the_middle_leaves_the_response_without_its_end(front: Conversation) -> None:
    front.send(b"GET /fail_later HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert front.rest().endswith(b"5\r\nfirst\r\n")


def test_a_file_is_sent_from_where_it_stands_as_much_as_was_said(front: Conversation, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    for _ in range(2):
        front.send(put("/file", str(path).encode()))
        assert front.answer() == (200, bytes(range(10, 30)))


def test_a_file_that_became_shorter_closes_the_connection(front: Conversation, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(15)))
    front.send(put("/file", str(path).encode()))
    assert front.rest().endswith(b"\r\n\r\n" + bytes(range(10, 15)))


def test_the_application_learns_who_it_is_and_that_the_browser_spoke_https(
    front: Conversation, application: Application
) -> None:
    fields = ("Remote-User: bob", "X_Remote_User: bob", "Host_: evil", "supercloud.login: bob")
    front.send(put("/take", b"x", *fields))
    front.answer()
    environ = application.environ
    assert (environ["REMOTE_USER"], environ["supercloud.login"]) == ("alice", "alice")
    assert (environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == ("https", "443")
    assert environ["HTTP_HOST"] == "portal.test"
    assert not any(name.startswith(("HTTP_X_", "X_REMOTE")) or name == "HTTP_HOST_" for name in environ)


def test_the_server_field_tells_no_version(front: Conversation) -> None:
    front.send(put("/take", b"x"))
    assert b"Server: supercloud" in front.head()


def test_two_requests_at_once_do_not_wait_for_each_other(
    connect: Callable[[], Conversation], application: Application
) -> None:
    first, second = connect(), connect()
    first.send(b"GET /wait HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    second.send(put("/take", b"x"))
    assert second.answer() == (200, b"1")
    application.goes_on.set()
    assert first.answer() == (200, b"waited")


def test_a_request_sent_before_the_answer_to_the_last_is_served_after_it(front: Conversation) -> None:
    front.send(put("/take", b"one") + put("/take", b"three"))
    assert front.answer() == (200, b"3")
    assert front.answer() == (200, b"5")
