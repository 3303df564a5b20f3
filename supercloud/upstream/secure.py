"""TLS toward applications, begun once it is verified who holds the connection: nothing is said to anybody else.

Whose the application is, ident2 says; a certificate only adds that nobody in between reads along.
"""

# Twisted's TLS and pyOpenSSL's newer calls have no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.ssl import Certificate, CertificateOptions, optionsForClientTLS, trustRootFromCertificates
from zope.interface import implementer

from supercloud.config import WrongSettings
from supercloud.errors import Unreachable
from supercloud.upstream.http11 import Connection


class Securing(Protocol):
    """Begins TLS on connections to applications."""

    async def secure(self, connection: Connection, node: str) -> None:
        """:raises Unreachable: it cannot be; nothing of a request was sent."""


class NoTls:
    """A site that has said nothing about certificates of applications opens none of them."""

    async def secure(self, connection: Connection, node: str) -> None:
        """See `Securing.secure`."""
        raise Unreachable(
            "the site verifies no certificates of applications",
            public="This application speaks HTTPS, and the site has not said whose certificates count: "
            "[forwards] ca. Let it speak HTTP; the portal encrypts the way to the browser.",
        )


class Tls:
    """Begins TLS.

    :param ca: file of the authorities that count; None: certificates are not looked at.
    :param timeout: seconds for a handshake.
    :raises WrongSettings: the file cannot be used.
    """

    def __init__(self, clock: IReactorTime, *, ca: Path | None, timeout: float) -> None:
        self._clock = clock
        self._timeout = timeout
        self._trusted = None if ca is None else read_authorities(ca)

    async def secure(self, connection: Connection, node: str) -> None:
        """See `Securing.secure`.

        :param node: name or address that the certificate must be for.
        """
        transport: Any = connection.transport
        done: Deferred[None] = Deferred()
        connection.secured = lambda _: done.callback(None)
        connection.closed = lambda _: _fail(done, Unreachable(_why(connection, node)))
        creator = _Unverified(node) if self._trusted is None else optionsForClientTLS(node, trustRoot=self._trusted)
        transport.startTLS(creator)
        try:
            await done.addTimeout(self._timeout, self._clock)
        except TimeoutError:
            raise Unreachable(f"{node}: no TLS within {self._timeout} s") from None
        finally:
            connection.secured = connection.closed = _nobody


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Takes whatever certificate is shown."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._context = CertificateOptions().getContext()

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """For a new connection; Twisted calls it."""
        made = SSL.Connection(self._context, None)
        made.set_app_data(protocol)
        try:
            ip_address(self._node)
        except ValueError:
            made.set_tlsext_host_name(self._node.encode("ascii"))  # RFC 6066 section 3: names only
        return made


def from_settings(clock: IReactorTime, *, ca: str, verify: bool, timeout: float) -> Securing:
    """As ``[forwards]`` says; blocks.

    :raises WrongSettings: the file cannot be used.
    """
    if not verify:
        return Tls(clock, ca=None, timeout=timeout)
    return Tls(clock, ca=Path(ca), timeout=timeout) if ca else NoTls()


def read_authorities(file: Path) -> Any:
    """Whose certificates of applications count; blocks.

    :raises WrongSettings: the file cannot be used.
    """
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        raise WrongSettings(f"forwards.ca: {file} is no PEM file of certificates that the portal can read") from None
    return trustRootFromCertificates([Certificate(crypto.X509.from_cryptography(one)) for one in found])


def _why(connection: Connection, node: str) -> str:
    reason = "" if connection.why is None else connection.why.getErrorMessage()
    return f"{node}: no TLS: {reason[:300]}"


def _fail(done: Deferred[None], error: Unreachable) -> None:
    if not done.called:
        done.errback(error)


def _nobody(connection: Connection) -> None:
    """Nobody waits for this any more."""
