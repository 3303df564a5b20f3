"""TLS toward browsers, in memory: what is read from files, and the transport. On the wire: tests/integration."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from supercloud.front import tls
from supercloud.front.tls import CHUNK, RECORD, TlsFactory, TlsFiles, TlsMaterial, peer_certificate
from supercloud.pem import BadMaterial
from tests.fakes.portal import FakePortal
from tests.fakes.transport import FakeTransport

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def issued(authority):
    return authority.issue_cert("localhost")


@pytest.fixture
def files(tmp_path, issued):
    return write(tmp_path, issued)


@pytest.fixture
def material(files):
    return TlsMaterial(files)


@pytest.fixture
def session(material, authority):
    return Session(material, authority).shake_hands()


def write(folder, issued) -> TlsFiles:
    files = TlsFiles(certificate=folder / "fullchain.pem", private_key=folder / "key.pem")
    files.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    files.private_key.write_bytes(issued.private_key_pem.bytes())
    return files


class Application(Protocol):
    """Records what it is told."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)

    def connectionLost(self, reason: Failure) -> None:
        self.lost = reason


@implementer(IPushProducer)
class Producer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class Session:
    """Our transport, with Python's own TLS (the system's OpenSSL) as the browser."""

    def __init__(self, material, authority=None, *, application=Application, context=None, tcp=None) -> None:
        if context is None:
            context = ssl.create_default_context()
            authority.configure_trust(context)
        self.tls = TlsFactory(material, Factory.forProtocol(application), Clock()).buildProtocol(None)
        self.tcp = tcp or StringTransport()
        self.tls.makeConnection(self.tcp)
        self.application = self.tls.wrappedProtocol
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.browser = context.wrap_bio(self._in, self._out, server_hostname="localhost")

    def to_portal(self) -> bytes:
        wire = self._out.read()
        if wire:
            self.tls.dataReceived(wire)
        return wire

    def to_browser(self) -> bytes:
        wire = self.tcp.value()
        self.tcp.clear()
        self._in.write(wire)
        return wire

    def shake_hands(self):
        while True:
            try:
                self.browser.do_handshake()
            except ssl.SSLWantReadError:
                self.to_portal()
                self.to_browser()
            else:
                self.to_portal()
                self.to_browser()
                return self

    def send(self, data: bytes) -> None:
        self.browser.write(data)
        self.to_portal()

    def read(self) -> bytes:
        self.to_browser()
        parts = []
        while True:
            try:
                part = self.browser.read(RECORD)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                return b"".join(parts)
            if not part:
                return b"".join(parts)
            parts.append(part)


def test_the_material_is_what_twisted_asks_for(material):
    assert verifyObject(IOpenSSLServerConnectionCreator, material)


def test_bytes_go_both_ways(session):
    session.send(b"request")
    session.application.transport.write(b"response")
    assert session.application.received == [b"request"]
    assert session.read() == b"response"


def test_http_1_1_is_chosen_from_what_a_browser_offers(material, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    session = Session(material, context=context).shake_hands()
    assert session.browser.selected_alpn_protocol() == "http/1.1"
    assert session.application.transport.negotiatedProtocol == b"http/1.1"


def test_a_browser_that_only_speaks_h2_is_told_so(material, authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        Session(material, context=context).shake_hands()


def test_settings_of_the_context(files):
    context = tls.read_context(files)
    assert context.get_timeout() == tls.RESUMABLE
    assert context.set_mode(0) & tls.lib.SSL_MODE_RELEASE_BUFFERS
    assert not context.set_mode(0) & tls.lib.SSL_MODE_ENABLE_PARTIAL_WRITE
    options = tls.lib.SSL_CTX_get_options(context._context)
    assert options & tls.lib.SSL_OP_NO_RENEGOTIATION
    assert options & SSL.OP_NO_COMPRESSION
    assert not options & SSL.OP_NO_TICKET
    assert {"TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"} < set(
        names := SSL.Connection(context, None).get_cipher_list()
    )
    assert all("GCM" in name or "CHACHA20" in name for name in names)


def test_nobody_is_asked_for_a_certificate_unless_authorities_are_named(files):
    assert tls.read_context(files).get_verify_mode() == SSL.VERIFY_NONE


class TestLargeWrites:
    @pytest.mark.parametrize("size", [1, RECORD, RECORD + 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7])
    def test_every_byte_arrives_in_order(self, session, size):
        data = bytes(range(251)) * (size // 251 + 1)
        session.application.transport.write(data[:size])
        assert session.read() == data[:size]

    def test_a_chunk_is_one_write_to_tcp(self, session):
        written = []
        session.tcp.write = written.append
        session.application.transport.write(b"x" * CHUNK)
        assert len(written) == 1

    def test_a_small_write_does_not_wait_for_the_reactor(self, session):
        session.application.transport.write(b"a")
        assert session.read() == b"a"

    def test_nothing_is_sent_for_an_empty_write(self, session):
        session.application.transport.write(b"")
        assert session.to_browser() == b""

    def test_a_sequence_is_joined(self, session):
        session.application.transport.writeSequence([b"a", b"", b"b"])
        assert session.read() == b"ab"

    def test_writes_before_the_handshake_wait_and_pause_the_producer(self, material, authority):
        session = Session(material, authority)
        producer = Producer()
        session.application.transport.registerProducer(producer, True)
        data = b"0123456789" * CHUNK
        session.application.transport.write(data)
        session.application.transport.write(b"end")
        assert producer.calls == ["pause"]
        session.shake_hands()
        assert producer.calls == ["pause", "resume"]
        session.send(b"go")
        assert session.read() == data + b"end"

    def test_a_full_tcp_buffer_pauses_the_producer_and_an_empty_one_resumes_it(self, session):
        producer = Producer()
        session.application.transport.registerProducer(producer, True)
        session.tcp.producer.pauseProducing()
        session.tcp.producer.resumeProducing()
        session.application.transport.unregisterProducer()
        assert producer.calls == ["pause", "resume"]
        assert session.tcp.producer is None

    def test_writes_after_a_loss_of_the_session_are_dropped(self, session):
        session.tls.dataReceived(b"\x17\x03\x03\x00\x20" + b"z" * 32)
        session.tcp.clear()
        session.application.transport.write(b"late")
        assert session.tcp.value() == b""

    def test_a_write_that_openssl_refuses_ends_the_connection(self, session):
        session.tls.getHandle().shutdown()
        session.application.transport.write(b"x")
        assert session.tcp.disconnecting

    def test_what_was_written_before_a_producer_ends_is_sent_before_close_notify(self, session):
        producer = Producer()
        transport = session.application.transport
        transport.registerProducer(producer, True)
        transport.loseConnection()
        transport.write(b"last")
        transport.unregisterProducer()
        assert session.read() == b"last"
        assert session.browser.read() == b""


class TestLargeReads:
    def test_the_records_of_one_segment_are_one_delivery(self, session):
        session.send(b"x" * (4 * RECORD))
        assert [len(one) for one in session.application.received] == [4 * RECORD]

    @pytest.mark.parametrize("size", [5 * RECORD - 1, 5 * RECORD, 5 * RECORD + 1, 20 * RECORD + 3])
    def test_more_than_a_delivery_holds_arrives_whole_and_in_order(self, session, size):
        data = (bytes(range(251)) * (size // 251 + 1))[:size]
        session.send(data)
        assert b"".join(session.application.received) == data

    def test_many_small_records_are_one_delivery(self, session):
        for letter in b"abc":
            session.browser.write(bytes([letter]))
        session.to_portal()
        assert session.application.received == [b"abc"]

    def test_a_record_cut_anywhere_arrives_once(self, session):
        session.browser.write(b"whole")
        wire = session._out.read()
        for at in range(len(wire)):
            session.tls.dataReceived(wire[at : at + 1])
        assert session.application.received == [b"whole"]

    def test_nothing_is_delivered_after_abort(self, session):
        session.application.transport.abortConnection()
        session.send(b"late")
        assert session.application.received == []

    def test_what_came_before_a_broken_record_is_delivered(self, session):
        session.browser.write(b"good")
        session.tls.dataReceived(session._out.read() + b"\x17\x03\x03\x00\x20" + b"z" * 32)
        assert session.application.received == [b"good"]
        assert session.tcp.disconnecting
        session.tls.connectionLost(Failure(ConnectionDone()))
        assert session.application.lost.check(SSL.Error)

    def test_an_application_may_close_while_it_is_told(self, material, authority):
        class Closing(Application):
            def dataReceived(self, data):
                super().dataReceived(data)
                self.transport.loseConnection()

        session = Session(material, authority, application=Closing).shake_hands()
        session.send(b"x" * (20 * RECORD))
        assert sum(map(len, session.application.received)) == 20 * RECORD

    def test_an_application_may_be_gone_while_it_is_told(self, material, authority):
        class Gone(Application):
            def dataReceived(self, data):
                self.transport.wrappedProtocol.transport.connectionLost(Failure(ConnectionLost()))

        session = Session(material, authority, application=Gone).shake_hands()
        session.send(b"x")
        assert session.application.lost.check(ConnectionLost)


class TestEnds:
    """Half-close: Twisted's TLS cannot."""

    def test_close_notify_ends_both_directions_after_what_came_before_it(self, session):
        session.application.transport.write(b"early")
        session.browser.write(b"request")
        with pytest.raises(ssl.SSLWantReadError):
            session.browser.unwrap()
        session.to_portal()
        assert session.application.received == [b"request"]
        assert session.tcp.disconnecting
        session.application.transport.write(b"late")
        assert session.read() == b"early"
        session.tls.connectionLost(Failure(ConnectionDone()))
        assert session.application.lost.check(ConnectionDone)

    def test_an_end_of_tcp_without_close_notify_is_a_lost_connection(self, session):
        session.tls.connectionLost(Failure(ConnectionDone()))
        assert session.application.lost.check(ConnectionLost)

    def test_tcp_stays_open_until_the_browser_answers_our_close_notify(self, session):
        session.application.transport.loseConnection()
        assert not session.tcp.disconnecting
        session.read()
        session.browser.unwrap()
        session.to_portal()
        assert session.tcp.disconnecting

    def test_abort_does_not_wait(self, session):
        session.application.transport.abortConnection()
        assert session.tcp.disconnected


class TestReload:
    def test_new_connections_get_new_files_and_open_ones_go_on(self, material, files, session, tmp_path):
        other = trustme.CA()
        write(tmp_path, other.issue_cert("localhost"))
        assert material.reload() is None
        assert Session(material, other).shake_hands()
        session.send(b"still here")
        assert session.application.received == [b"still here"]

    def test_bad_files_leave_the_old_ones(self, material, files, authority):
        files.private_key.write_bytes(b"")
        wrong = material.reload()
        assert str(wrong) == f"{files.private_key}: holds no private key in PEM format"
        assert Session(material, authority).shake_hands()

    def test_a_session_of_before_is_not_resumed(self, material, authority):
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        authority.configure_trust(context)
        first = Session(material, context=context).shake_hands()
        before = first.browser.session
        material.reload()
        second = Session(material, context=context)
        second.browser.session = before
        assert not second.shake_hands().browser.session_reused


def certificate(*, begin=-DAY, end=DAY, key=None) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=localhost")
    return (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW + begin)
        .not_valid_after(NOW + end)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def revocations(authority=None, serial: int = 1, *, end: timedelta = DAY) -> bytes:
    """The list of ``authority``, or of "People CA"."""
    name, key = x509.Name.from_rfc4514_string("CN=People CA"), ec.generate_private_key(ec.SECP256R1())
    if authority is not None:
        name = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
        key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(NOW - 10 * DAY)
        .next_update(NOW + end)
        .add_revoked_certificate(revoked)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def pem(key, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


class TestBadFiles:
    """Each says which file, and what is wrong with it."""

    def wrong(self, files: TlsFiles) -> str:
        with pytest.raises(BadMaterial) as caught:
            TlsMaterial(files)
        return str(caught.value)

    def test_missing(self, files):
        files.certificate.unlink()
        assert self.wrong(files) == f"{files.certificate}: cannot be read: No such file or directory"

    def test_not_a_certificate(self, files):
        files.certificate.write_bytes(b"hello")
        assert self.wrong(files) == f"{files.certificate}: holds no certificate in PEM format"

    def test_the_key_of_another(self, files):
        files.private_key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
        assert self.wrong(files) == f"{files.private_key}: is not the key of the certificate in {files.certificate}"

    def test_an_encrypted_key(self, files):
        files.private_key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"secret")))
        assert self.wrong(files) == f"{files.private_key}: is encrypted; the portal needs it without a pass phrase"

    def test_expired(self, files):
        key = ec.generate_private_key(ec.SECP256R1())
        files.private_key.write_bytes(pem(key))
        files.certificate.write_bytes(certificate(begin=-3 * DAY, end=-DAY, key=key))
        assert self.wrong(files).startswith(f"{files.certificate}: expired at ")

    def test_not_yet_valid(self, files):
        key = ec.generate_private_key(ec.SECP256R1())
        files.private_key.write_bytes(pem(key))
        files.certificate.write_bytes(certificate(begin=DAY, end=3 * DAY, key=key))
        assert self.wrong(files).startswith(f"{files.certificate}: is not valid before ")

    def test_a_key_that_openssl_finds_too_weak(self, files):
        key = rsa.generate_private_key(65537, 1024)
        files.private_key.write_bytes(pem(key))
        files.certificate.write_bytes(certificate(key=key))
        assert self.wrong(files).startswith(f"{files.certificate}: OpenSSL refuses it: ")

    def test_no_authorities(self, files, tmp_path):
        people = tmp_path / "ca.pem"
        people.write_bytes(b"")
        files = TlsFiles(files.certificate, files.private_key, client_ca=people)
        assert self.wrong(files) == f"{people}: holds no certificate in PEM format"

    @pytest.mark.parametrize(
        "content", [b"", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"], ids=["empty", "garbage"]
    )
    def test_no_revocation_lists(self, files, tmp_path, content):
        lists = tmp_path / "crl.pem"
        lists.write_bytes(content)
        files = TlsFiles(files.certificate, files.private_key, client_ca=files.certificate, crl=lists)
        assert self.wrong(files) == f"{lists}: holds no revocation list in PEM format"

    def test_an_expired_revocation_list(self, files, tmp_path):
        lists = tmp_path / "crl.pem"
        lists.write_bytes(revocations(end=DAY) + revocations(end=-DAY))
        files = TlsFiles(files.certificate, files.private_key, client_ca=files.certificate, crl=lists)
        assert self.wrong(files).startswith(f"{lists}: the list of CN=People CA expired at ")


class TestPeerCertificate:
    @pytest.fixture
    def asking(self, files, authority, tmp_path):
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        return TlsMaterial(TlsFiles(files.certificate, files.private_key, client_ca=tmp_path / "ca.pem"))

    def test_it_is_what_the_browser_showed(self, asking, authority):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        authority.issue_cert("alice@example.org").configure_cert(context)
        session = Session(asking, context=context).shake_hands()
        found = peer_certificate(session.application.transport)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.RFC822Name) == ["alice@example.org"]

    @pytest.mark.parametrize("serial", ["hers", "another's"])
    def test_a_revoked_one_fails_the_handshake(self, files, authority, tmp_path, serial):
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        authority.configure_trust(context)
        alices = authority.issue_cert("alice@example.org")
        alices.configure_cert(context)
        hers = x509.load_pem_x509_certificate(alices.cert_chain_pems[0].bytes()).serial_number
        people, lists = tmp_path / "ca.pem", tmp_path / "crl.pem"
        authority.cert_pem.write_to_path(str(people))
        lists.write_bytes(revocations(authority, hers if serial == "hers" else hers + 1))
        session = Session(TlsMaterial(TlsFiles(files.certificate, files.private_key, people, lists)), context=context)
        if serial == "hers":
            with pytest.raises(ssl.SSLError, match="certificate revoked"):
                session.shake_hands()
        else:
            assert peer_certificate(session.shake_hands().application.transport).serial_number == hers

    def test_it_is_none_when_the_browser_showed_none(self, asking, authority):
        session = Session(asking, authority).shake_hands()
        assert peer_certificate(session.application.transport) is None

    def test_it_is_none_when_the_connection_is_gone(self, asking, authority):
        session = Session(asking, authority).shake_hands()
        session.tls.connectionLost(Failure(ConnectionDone()))
        assert peer_certificate(session.application.transport) is None


def test_the_private_names_that_this_relies_on_are_still_called():
    """Twisted is pinned exactly; this says what to look at when the pin moves."""
    from inspect import getsource

    from twisted.internet._sslverify import OpenSSLCertificateOptions
    from twisted.protocols.tls import TLSMemoryBIOProtocol

    source = getsource(TLSMemoryBIOProtocol)
    for name in (
        "_write",
        "_flushSendBIO",
        "_flushReceiveBIO",
        "_bufferedWrite",
        "_shutdownTLS",
        "_tlsShutdownFinished",
    ):
        assert f"def {name}(" in source
        assert f"self.{name}(" in source
    for name in ("_tlsConnection", "_lostTLSConnection", "_aborted"):
        assert f"self.{name} = " in source
    assert "self._makeContext()" in getsource(OpenSSLCertificateOptions.getContext)
    assert "self._cipherString.encode" in getsource(OpenSSLCertificateOptions._makeContext)
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    for name in ("_ssl", "_into_ssl", "_from_ssl", "_raise_ssl_error"):
        assert hasattr(connection, name)
    for name in ("SSL_read", "BIO_get_mem_data", "SSL_MODE_ENABLE_PARTIAL_WRITE", "SSL_OP_NO_RENEGOTIATION"):
        assert hasattr(tls.lib, name)


def test_a_channel_hears_when_its_handshake_is_over_and_is_a_guest_like_others_then(material, authority):
    """Connections without a finished handshake are few, and the first to go."""
    portal = FakePortal()
    tcp = FakeTransport(portal.clock, Protocol())
    session = Session(material, authority, application=lambda: portal.door.buildProtocol(None), tcp=tcp)
    network = portal.shares.of("192.0.2.7")
    assert session.tcp.share is portal.shares.of(("handshakes", "192.0.2.7"))
    assert session.application.share is network
    session.shake_hands()
    assert session.tcp.share is network
    session.send(b"GET /healthz HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert session.read().startswith(b"HTTP/1.1 200")
    session.application.charge(1001)
    assert session.tcp.share is portal.shares.of(1001)
