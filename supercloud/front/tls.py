"""TLS toward browsers: certificates that can be read again, optional client certificates, and a fast transport.

Half-close: TLS as Twisted has it cannot. A ``close_notify`` from the browser ends the connection in both directions:
what was decrypted before it is delivered, what we wrote before it is sent, then ``connectionLost`` comes with
``ConnectionDone`` and later writes are dropped (a TCP end without ``close_notify``: ``ConnectionLost``).
``readConnectionLost`` never comes. When *we* call ``loseConnection``, TCP stays open until the browser has answered
our ``close_notify``: whoever calls it sets a deadline and then calls ``abortConnection``.
"""

# Twisted's TLS and pyOpenSSL's newer calls have no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL._util import ffi, lib
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud.pem import BadMaterial, read, read_certificates, read_pair
from supercloud.relay.leg import send
from supercloud.secret import SMALL, wipe

_PROTOCOL = b"http/1.1"
# Authenticated encryption and forward secrecy only (Mozilla's "intermediate" list without DHE, 2024).
_CIPHERS = AcceptableCiphers.fromOpenSSLCipherString("ECDHE+AESGCM:ECDHE+CHACHA20")
_CIPHERS_13 = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
# Authorities between a person's certificate and the root; public ones have one or two.
MAX_CHAIN: Final = 4
# A resumed session is not verified again: after this many seconds its certificate is.
RESUMABLE: Final = 3600
# Plain bytes handed to OpenSSL at once. The two memory BIOs of a connection never shrink, so this is also memory.
CHUNK: Final = 64 * 1024
RECORD: Final = 16 * 1024  # plain bytes of the largest record, RFC 8446 section 5.1
_MOST = 5 * RECORD  # in one delivery: what Twisted reads from TCP at once is 64 KiB, and may complete one more record

_MOST_CIPHER = 2 * CHUNK  # encrypted bytes that leave at once
# SSL_OP_CLEANSE_PLAINTEXT of openssl/ssl.h: OpenSSL overwrites in its own buffer what was read out of it.
_CLEANSE_PLAINTEXT = 1 << 1
_NOTHING = bytes(SMALL)

_CRL = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where PEM files are.

    :ivar certificate: the portal's certificate, then its chain.
    :ivar client_ca: authorities of people's certificates; ``None`` means that browsers are asked for none.
    :ivar crl: their revocation lists; ``None`` means that none is checked. With one, an authority that has no
        current list here fails every handshake with its certificates.
    """

    certificate: Path
    private_key: Path
    client_ca: Path | None = None
    crl: Path | None = None


@implementer(IOpenSSLServerConnectionCreator)
class TlsMaterial:
    """Keys and certificates of a listener; a new connection gets what was read last, open ones go on as they are.

    :raises BadMaterial: when the files cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._context = read_context(files)

    def reload(self) -> BadMaterial | None:
        """Read the files again; blocking, for a thread: the change is one assignment.

        Sessions of before cannot be resumed after it, so that a new revocation list holds for everybody.

        :returns: what is wrong with the new files; the old ones stay then.
        """
        try:
            self._context = read_context(self._files)
        except BadMaterial as wrong:
            return wrong
        return None

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """For a new connection; Twisted calls it."""
        return SSL.Connection(self._context, None)


def peer_certificate(transport: Any) -> x509.Certificate | None:
    """The certificate that the browser proved to hold, or ``None``.

    Its chain and revocation were checked in the handshake, or in that of the session it resumes: look at its end and
    at revocation anew where the connection lives long.

    :param transport: a protocol's transport under `TlsFactory`; the handshake must be over.
    """
    connection = transport.getHandle()
    if connection is None:
        return None
    found: crypto.X509 | None = connection.get_peer_certificate()
    return None if found is None else found.to_cryptography()


def read_context(files: TlsFiles, *, now: datetime | None = None) -> SSL.Context:
    """Read and check the files; blocking.

    :raises BadMaterial: says which file, and what is wrong with it.
    """
    now = now or datetime.now(UTC)
    chain, key = read_pair(files.certificate, files.private_key, now)
    options = _Options(chain, key)
    if files.client_ca is not None:
        options.authorities = read_certificates(files.client_ca)
        options.revoked = _revocation_lists(files.crl, now) if files.crl is not None else None
    try:
        return options.getContext()
    except (SSL.Error, crypto.Error) as error:
        raise BadMaterial(f"{files.certificate}: OpenSSL refuses it: {error}") from None


def _revocation_lists(file: Path, now: datetime) -> list[x509.CertificateRevocationList]:
    try:
        found = [x509.load_pem_x509_crl(text) for text in _CRL.findall(read(file))]
    except ValueError:
        found = []
    if not found:
        raise BadMaterial(f"{file}: holds no revocation list in PEM format")
    for one in found:
        if one.next_update_utc is not None and one.next_update_utc < now:
            raise BadMaterial(
                f"{file}: the list of {one.issuer.rfc4514_string()} expired at {one.next_update_utc:%Y-%m-%d %H:%M} UTC"
            )
    return found


# From here on names are used that are private to Twisted and pyOpenSSL. Nothing public sets an ALPN answer, revocation
# lists or cipher suites on a context that CertificateOptions makes, or replaces what TLSMemoryBIOProtocol does for each
# record. test_tls.py notices when one of them goes.
#   CertificateOptions: _makeContext, _cipherString.
#   TLSMemoryBIOProtocol: _write, _flushSendBIO, _flushReceiveBIO, _bufferedWrite, _appSendBuffer, _handshakeDone,
#     _shutdownTLS, _tlsShutdownFinished, _tlsConnection, _lostTLSConnection, _aborted.
#   pyOpenSSL: _util.lib, _util.ffi; of a Connection _ssl, _into_ssl, _from_ssl, _raise_ssl_error. Its public calls tell
#     by an exception that nothing is there (3 µs, twice a request; to look takes 0.2) and copy each record twice.
# Measured beside Twisted's TLSMemoryBIOProtocol, in memory: 64 KiB writes 1.7 times the bytes/s, 64 KiB segments
# received 1.1 to 1.2 times, messages of 1 KB there and back 1.3 to 1.5 times.


class _Options(CertificateOptions):
    """CertificateOptions and what it cannot say.

    :ivar authorities: of clients' certificates; none means that no client is asked.
    """

    authorities: Sequence[x509.Certificate] = ()
    revoked: Sequence[x509.CertificateRevocationList] | None = None

    def __init__(self, chain: Sequence[Any], key: Any) -> None:
        super().__init__(
            privateKey=key,
            certificate=chain[0],
            extraCertChain=[*chain[1:]],
            acceptableCiphers=_CIPHERS,
            enableSessionTickets=True,
        )

    def _makeContext(self, skipCiphers: bool = False) -> SSL.Context:
        context: Any = super()._makeContext(skipCiphers=True)
        # One call of send() makes all the records of a chunk; pyOpenSSL's default is one record a call.
        context.clear_mode(lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
        context.set_options(lib.SSL_OP_NO_RENEGOTIATION | _CLEANSE_PLAINTEXT)
        context.set_timeout(RESUMABLE)
        context.set_alpn_select_callback(_select_protocol)
        if self.authorities:
            self._ask_certificate(context)
        context.set_tls13_ciphersuites(_CIPHERS_13)
        context.set_cipher_list(self._cipherString.encode("ascii"))  # last: it uses the context
        made: SSL.Context = context
        return made

    def _ask_certificate(self, context: Any) -> None:
        store = context.get_cert_store()
        for authority in self.authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
            context.add_client_ca(authority)
        if self.revoked is not None:
            for one in self.revoked:
                store.add_crl(one)
            store.set_flags(crypto.X509StoreFlags.CRL_CHECK)
        context.set_verify_depth(MAX_CHAIN)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE)


def _select_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    if _PROTOCOL in offered:
        return _PROTOCOL
    # Becomes the alert no_application_protocol (RFC 7301 section 3.2).
    raise SSL.Error([("SSL routines", "", "the client offers no protocol that the portal speaks")])


# Shared by all connections, which the reactor serves one after the other; every delivery is a copy.
_plain = ffi.new("char[]", _MOST)
_cipher = ffi.new("char[]", _MOST_CIPHER)
_somewhere = ffi.new("char **")


def _waiting(bio: Any) -> int:
    held: int = lib.BIO_get_mem_data(bio, _somewhere)
    return held


class TlsTransport(TLSMemoryBIOProtocol):
    """Twisted's TLS with fewer steps: whole writes to OpenSSL, one delivery for all records that came together.

    Nothing waits for a later turn of the reactor as in Twisted's default: whoever writes many small pieces joins them.
    """

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """Bytes from TCP."""
        if self._handshakeDone and not self._appSendBuffer:
            lib.BIO_write(self._tlsConnection._into_ssl, data, len(data))  # memory: it takes all
            self._flushReceiveBIO()
        else:
            super().dataReceived(data)

    def _write(self, data: bytes) -> None:
        """Encrypt and send; what cannot be encrypted yet waits for the handshake, with the producer paused."""
        for at in range(0, len(data), CHUNK):
            connection = self._tlsConnection
            if self._lostTLSConnection:
                return
            piece = data[at : at + CHUNK]
            sent = lib.SSL_write(connection._ssl, piece, len(piece))  # all of it, without partial writes
            if sent <= 0:
                try:
                    connection._raise_ssl_error(connection._ssl, sent)
                except SSL.WantReadError:
                    self._bufferedWrite(data[at:])
                except SSL.Error:
                    self._tlsShutdownFinished(Failure())
                return
            self._flushSendBIO()

    def _flushSendBIO(self) -> None:
        """Hand all that OpenSSL has made to TCP."""
        bio = self._tlsConnection._from_ssl
        while held := _waiting(bio):
            send(self.transport, memoryview(ffi.buffer(_cipher, lib.BIO_read(bio, _cipher, min(held, _MOST_CIPHER)))))

    def _flushReceiveBIO(self) -> None:
        """Deliver all that came, then what ended it, if anything did."""
        while not self._lostTLSConnection:
            plain, ended = self._decrypt()
            if plain and not self._aborted:
                ProtocolWrapper.dataReceived(self, plain)
            size = len(plain)
            wipe(plain)  # unless somebody has kept it
            if self._tlsConnection is None:
                return
            if ended is not None and not self._lostTLSConnection:
                if ended.check(SSL.ZeroReturnError):
                    self._shutdownTLS()
                    ended = None  # the reason comes from TCP
                self._tlsShutdownFinished(ended)
            if size <= _MOST - RECORD:
                break
        self._flushSendBIO()

    def _decrypt(self) -> tuple[bytes, Failure | None]:
        """Take the records that are there, one delivery at most, and what came after them if it was an end."""
        connection, at = self._tlsConnection, 0
        while at <= _MOST - RECORD:
            came = lib.SSL_read(connection._ssl, _plain + at, RECORD)
            if came <= 0:
                if lib.SSL_get_error(connection._ssl, came) == lib.SSL_ERROR_WANT_READ:
                    break  # what pyOpenSSL would raise an exception for, at each delivery
                try:
                    connection._raise_ssl_error(connection._ssl, came)
                except SSL.WantReadError:
                    break
                except SSL.Error:
                    return _taken(at), Failure()
            at += came
            if not _waiting(connection._into_ssl):
                break
        return _taken(at), None


def _taken(size: int) -> bytes:
    """What was decrypted; it stands nowhere else afterwards."""
    taken: bytes = ffi.buffer(_plain, size)[:]
    if size <= SMALL:
        ffi.memmove(_plain, _NOTHING, size)
    return taken


class TlsFactory(TLSMemoryBIOFactory):
    """Makes `TlsTransport`; wraps the factory of an HTTP channel and is what a port listens with."""

    protocol = TlsTransport
    noisy = False

    def __init__(self, material: TlsMaterial, wrapped: IProtocolFactory, clock: IReactorTime) -> None:
        super().__init__(material, False, wrapped, clock)

    def buildProtocol(self, addr: IAddress | None) -> TlsTransport | None:  # type: ignore[override]
        """A transport with its channel; None, which closes the connection, where the wrapped factory wants none."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        return None if wrapped is None else self.protocol(self, wrapped)
