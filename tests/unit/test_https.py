"""One request to a portal, over a connection that the test plays; with real certificates in integration."""

from __future__ import annotations

import io
import socket
import ssl
from http.client import HTTPSConnection
from pathlib import Path

import pytest
import trustme

from supercloud import https
from supercloud.entry import Entry, Failed
from supercloud.https import Answer, Https, NoAnswer, is_transient

TOKEN = f"scp_{'ab' * 32}"


class Played:
    """A socket: what it was sent, and what it answers."""

    def __init__(self, answer: bytes) -> None:
        self.sent = b""
        self.answer = answer
        self.timeout = 0.0
        self.is_closed = False

    def sendall(self, data: bytes) -> None:
        self.sent += bytes(data)

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.answer)

    def close(self) -> None:
        self.is_closed = True


def play(monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception) -> tuple[Played, list[tuple[str, int]]]:
    """Have each connection answer so; the socket, and where it was connected to."""
    played, reached = Played(answer if isinstance(answer, bytes) else b""), []

    def connect(self: HTTPSConnection) -> None:
        reached.append((self.host, self.port))
        if isinstance(answer, Exception):
            raise answer
        self.sock = played  # type: ignore[assignment]

    monkeypatch.setattr(HTTPSConnection, "connect", connect)
    return played, reached


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Https:
    """With an authority of its own: reading the system's takes a tenth of a second."""
    ca = tmp_path_factory.mktemp("https") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    return Https(Entry("https://portal.test:8443", TOKEN, str(ca)))


_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"


def test_a_request_shows_the_token_to_the_portal(ours: Https, monkeypatch: pytest.MonkeyPatch) -> None:
    played, reached = play(monkeypatch, _JSON)
    assert ours.send("POST", "/api/jobs", b"{1}") == Answer(200, "application/json", b"{}")
    assert reached == [("portal.test", 8443)]
    head, _, body = played.sent.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /api/jobs HTTP/1.1"
    assert b"Host: portal.test:8443" in lines
    assert f"Authorization: Bearer {TOKEN}".encode() in lines
    assert (body, played.is_closed, played.timeout) == (b"{1}", True, https.ANSWERS)


def test_without_a_token_none_is_shown_and_the_system_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    played, _ = play(monkeypatch, _JSON)
    Https(Entry("https://portal.test", "")).send("GET", "/healthz")
    assert b"authorization" not in played.sent.lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_gets_nothing(ours: Https, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    head = f"HTTP/1.1 {status} On\r\nLocation: https://evil.test/api/apps\r\nContent-Length: 0\r\n\r\n"
    _, reached = play(monkeypatch, head.encode())
    answer = ours.send("GET", "/api/apps")
    assert (answer.status, answer.location) == (status, "https://evil.test/api/apps")
    assert reached == [("portal.test", 8443)]


def test_no_proxy_is_shown_the_token(ours: Https, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://evil.test:3128")
    _, reached = play(monkeypatch, _JSON)
    ours.send("GET", "/api/apps")
    assert reached == [("portal.test", 8443)]


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"220 smtp.test\r\n", b"HTTP/1.1 2"],
)
def test_an_answer_that_breaks_off_is_none_and_may_have_done_something(
    ours: Https, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    played, _ = play(monkeypatch, answer)
    with pytest.raises(NoAnswer, match="no whole answer") as failed:
        ours.send("POST", "/api/jobs", b"{}")
    assert failed.value.is_unsure
    assert played.is_closed


def test_an_answer_has_a_longest_length(ours: Https, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "MOST_BODY", 2)
    play(monkeypatch, _JSON)
    assert ours.send("GET", "/").body == b"{}"
    for longer in (b"\r\n{ }", b"Content-Length: 3\r\n\r\n{ }"):
        play(monkeypatch, b"HTTP/1.1 200 OK\r\n" + longer)
        with pytest.raises(Failed, match="longer than"):
            ours.send("GET", "/")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "not reachable: Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "not reachable: Name or service not known"),
        (TimeoutError("timed out"), "not reachable: it takes too long"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS there"),
    ],
)
def test_a_portal_that_is_not_reached_was_asked_nothing(
    ours: Https, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    play(monkeypatch, error)
    with pytest.raises(NoAnswer, match=f"https://portal.test:8443: {words}") as failed:
        ours.send("POST", "/api/jobs", b"{}")
    assert not failed.value.is_unsure


@pytest.mark.parametrize(("code", "helps"), [(20, True), (18, True), (10, False), (62, False)])
def test_who_vouches_for_a_certificate_is_named_where_that_would_help(
    ours: Https, monkeypatch: pytest.MonkeyPatch, code: int, helps: bool
) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    play(monkeypatch, error)
    with pytest.raises(NoAnswer, match="its certificate is not trusted") as failed:
        ours.send("GET", "/")
    assert "what OpenSSL says" in str(failed.value)
    assert ("--ca FILE" in str(failed.value)) is helps


def test_the_authoritys_file_is_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"none\.pem: cannot be used as an authority: No such file"):
        Https(Entry("https://portal.test", TOKEN, str(tmp_path / "none.pem")))
    (tmp_path / "empty.pem").touch()
    with pytest.raises(Failed, match="it holds no certificate in PEM format"):
        Https(Entry("https://portal.test", TOKEN, str(tmp_path / "empty.pem")))


@pytest.mark.parametrize(("status", "again"), [(429, True), (500, True), (503, True), (404, False), (401, False)])
def test_what_may_go_well_in_a_moment(status: int, again: bool) -> None:
    assert is_transient(status) is again
