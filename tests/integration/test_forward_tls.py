"""TLS toward applications, with real sockets and a real reactor: what is verified, and what leaves in the clear."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from supercloud.config import Forwards, WrongSettings
from supercloud.errors import Unreachable
from supercloud.relay.http import HttpRelay
from supercloud.upstream.connect import TcpDialer
from supercloud.upstream.http11 import Connection
from supercloud.upstream.secure import NoTls, Tls, from_settings

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300000


class Application:
    """Accepts one connection after the other; answers each request on it.

    :param context: of TLS; None: it speaks what it gets, which is kept.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.received = b""
        self.names: list[str] = []
        self.known: list[Any] = []
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)  # type: ignore[assignment]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            accepted, _ = self._listening.accept()
            with accepted:
                accepted.settimeout(10)
                try:
                    if not self._speak(accepted):
                        return
                except OSError:
                    continue

    def _speak(self, accepted: socket.socket) -> bool:
        first = accepted.recv(4, socket.MSG_PEEK)
        if first == b"STOP":
            return False
        if self._context is None:
            self.received += accepted.recv(65536)
            return True
        with self._context.wrap_socket(accepted, server_side=True) as encrypted:
            if peer := encrypted.getpeercert():
                self.known.append(peer["subjectAltName"])
            while data := encrypted.recv(65536):
                self.received += data
                if data.endswith(b"\r\n\r\n"):
                    encrypted.sendall(ANSWER)
        return True

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"STOP")
            self._thread.join(10)
        self._listening.close()


class Read:
    """What an exchange's browser side was told."""

    def __init__(self) -> None:
        self.body = b""
        self.over: Deferred[str] = Deferred()

    def respond_head(self, head: Any) -> None: ...
    def respond_flush(self) -> None: ...
    def start_request_body(self, relay: Any) -> None:
        relay.request_ended(())

    def respond_body(self, payload: bytes) -> None:
        self.body += payload

    def respond_end(self, trailers: tuple[bytes, ...]) -> None:
        self.over.callback("served")

    def fail(self, error: Exception) -> None:
        self.over.callback(str(error))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(authority: trustme.CA) -> Iterator[Callable[..., Application]]:
    """Starts applications whose certificate is for a name; None: they know no TLS.

    Some ask for the portal's certificate.
    """
    made: list[Application] = []

    def make(name: str | None, *, asks: bool = False) -> Application:
        context = None
        if name is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            if asks:
                context.verify_mode = ssl.CERT_REQUIRED
                authority.configure_trust(context)
        made.append(Application(context))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def pem(tmp_path: Path) -> Callable[[trustme.CA], Path]:
    """The file of an authority."""

    def write(authority: trustme.CA) -> Path:
        file = tmp_path / "ca.pem"
        file.write_bytes(authority.cert_pem.bytes())
        return file

    return write


def tls_of(*, timeout: float = 5, **settings: Any) -> Tls:
    clock: Any = reactor
    return Tls(clock, Forwards(**settings), timeout=timeout)


async def ask(connection: Connection) -> bytes:
    read: Any = Read()
    HttpRelay(read, connection, length=0).start(b"GET", b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await read.over == "served"
    body: bytes = read.body
    return body


async def dial(application: Application) -> Connection:
    return await TcpDialer(reactor, timeout=5).dial("127.0.0.1", application.port)


async def closed(connection: Connection) -> None:
    gone: Deferred[None] = Deferred()
    connection.closed = lambda _: gone.callback(None)
    connection.close()
    await gone


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("verify", [True, False])
async def test_requests_and_large_answers_pass_in_tls(
    start: Callable[..., Application], authority: trustme.CA, pem: Callable[[trustme.CA], Path], verify: bool
) -> None:
    application = start("node1")
    tls = tls_of(ca=str(pem(authority)) if verify else "", verify=verify)
    connection = await dial(application)
    await tls.secure(connection, "node1")
    for _ in range(2):
        assert await ask(connection) == ANSWER[-300000:]
    assert application.received.count(b"GET /secret ") == 2
    assert application.names == ["node1"]
    await closed(connection)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("certificate", "trusted"), [("node2", True), ("node1", False)])
async def test_a_certificate_for_another_name_or_of_another_authority_ends_it(
    start: Callable[..., Application],
    authority: trustme.CA,
    pem: Callable[[trustme.CA], Path],
    certificate: str,
    trusted: bool,
) -> None:
    application = start(certificate)
    tls = tls_of(ca=str(pem(authority if trusted else trustme.CA())))
    with pytest.raises(Unreachable):
        await tls.secure(await dial(application), "node1")
    assert application.received == b""


@pytest_twisted.ensureDeferred
async def test_an_application_that_knows_no_tls_sees_a_handshake_and_no_request(
    start: Callable[..., Application],
) -> None:
    application = start(None)
    with pytest.raises(Unreachable):
        await tls_of(verify=False).secure(await dial(application), "node1")
    assert application.received.startswith(b"\x16\x03")


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_does_not_end_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = await TcpDialer(reactor, timeout=5).dial("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(Unreachable, match="no TLS within"):
            await tls_of(verify=False, timeout=0.05).secure(connection, "127.0.0.1")
        gone: Deferred[None] = Deferred()
        connection.closed = lambda _: gone.callback(None)
        connection.abort()
        await gone


@pytest_twisted.ensureDeferred
async def test_without_an_authority_none_is_opened() -> None:
    with pytest.raises(Unreachable) as told:
        await NoTls().secure(Connection(), "node1")
    assert "[forwards] ca" in told.value.public


def test_the_settings_decide(tmp_path: Path, authority: trustme.CA, pem: Callable[[trustme.CA], Path]) -> None:
    clock: Any = reactor

    def made(**settings: Any) -> Tls | NoTls:
        return from_settings(clock, Forwards(**settings), timeout=5)

    assert isinstance(made(), NoTls)
    assert isinstance(made(verify=False), Tls)
    assert isinstance(made(ca=str(pem(authority))), Tls)
    (tmp_path / "ca.pem").write_text("nothing")
    for ca in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(WrongSettings, match=r"forwards\.ca"):
            made(ca=str(ca))


@pytest.fixture
def own(tmp_path: Path) -> Callable[[trustme.CA], dict[str, str]]:
    """The portal's own certificate by an authority, as settings."""

    def write(authority: trustme.CA) -> dict[str, str]:
        issued = authority.issue_cert("portal.test")
        (tmp_path / "own.pem").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        (tmp_path / "own.key").write_bytes(issued.private_key_pem.bytes())
        return {"certificate": str(tmp_path / "own.pem"), "private_key": str(tmp_path / "own.key")}

    return write


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("verify", [True, False])
async def test_an_application_that_wants_to_know_the_portal_is_shown_its_certificate(
    start: Callable[..., Application],
    authority: trustme.CA,
    pem: Callable[[trustme.CA], Path],
    own: Callable[[trustme.CA], dict[str, str]],
    verify: bool,
) -> None:
    application = start("node1", asks=True)
    tls = tls_of(ca=str(pem(authority)), verify=verify, **own(authority))
    connection = await dial(application)
    await tls.secure(connection, "node1")
    assert await ask(connection) == ANSWER[-300000:]
    assert application.known == [(("DNS", "portal.test"),)]
    await closed(connection)


@pytest_twisted.ensureDeferred
async def test_no_request_reaches_an_application_that_does_not_know_the_portal(
    start: Callable[..., Application],
    authority: trustme.CA,
    pem: Callable[[trustme.CA], Path],
    own: Callable[[trustme.CA], dict[str, str]],
) -> None:
    """In TLS 1.3 the handshake is over for the portal before the application has looked at its certificate."""
    for shown in ({}, own(trustme.CA())):
        application = start("node1", asks=True)
        connection = await dial(application)
        with pytest.raises((Unreachable, AssertionError)):
            await tls_of(ca=str(pem(authority)), **shown).secure(connection, "node1")
            await ask(connection)
        assert application.received == b""


@pytest_twisted.ensureDeferred
async def test_a_new_certificate_is_shown_once_it_was_read_again(
    start: Callable[..., Application],
    authority: trustme.CA,
    pem: Callable[[trustme.CA], Path],
    own: Callable[[trustme.CA], dict[str, str]],
) -> None:
    application = start("node1", asks=True)
    tls = tls_of(ca=str(pem(authority)), **own(trustme.CA()))
    own(authority)
    assert tls.reload() is None
    Path(pem(authority)).write_text("nothing")
    assert "forwards.ca" in str(tls.reload()), "and the old ones stay"
    connection = await dial(application)
    await tls.secure(connection, "node1")
    await ask(connection)
    await closed(connection)
    assert application.received.startswith(b"GET /secret ")
