"""TLS toward applications, begun once it is verified who holds the connection: nothing is said to anybody else.

Whose the application is, ident2 says; a certificate only adds that nobody in between reads along.
"""

# Twisted's TLS and pyOpenSSL's newer calls have no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.ssl import Certificate, CertificateOptions, optionsForClientTLS, trustRootFromCertificates
from zope.interface import implementer

from supercloud.config import Forwards, WrongSettings
from supercloud.errors import Unreachable
from supercloud.pem import BadMaterial, read_certificates, read_pair
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
    """Begins TLS as ``[forwards]`` says.

    Who reads the files blocks: making one, and `reload`.

    :param timeout: seconds for a handshake.
    :raises WrongSettings: a file cannot be used.
    """

    def __init__(self, clock: IReactorTime, settings: Forwards, *, timeout: float) -> None:
        self._clock = clock
        self._timeout = timeout
        self._settings = settings
        self._creator = read_creator(settings)

    def reload(self) -> WrongSettings | None:
        """Read the files again.

        :returns: what is wrong with the new ones; the old ones stay then.
        """
        try:
            self._creator = read_creator(self._settings)
        except WrongSettings as wrong:
            return wrong
        return None

    async def secure(self, connection: Connection, node: str) -> None:
        """See `Securing.secure`.

        :param node: name or address that the certificate must be for.
        """
        transport: Any = connection.transport
        done: Deferred[None] = Deferred()
        connection.secured = lambda _: done.callback(None)
        connection.closed = lambda _: _fail(done, Unreachable(_why(connection, node)))
        transport.startTLS(self._creator(node))
        try:
            await done.addTimeout(self._timeout, self._clock)
        except TimeoutError:
            raise Unreachable(f"{node}: no TLS within {self._timeout} s") from None
        finally:
            connection.secured = connection.closed = _nobody


@implementer(IOpenSSLClientConnectionCreator)
class _Unverified:
    """Takes whatever certificate is shown."""

    def __init__(self, node: str, context: SSL.Context) -> None:
        self._node = node
        self._context = context

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """For a new connection; Twisted calls it."""
        made = SSL.Connection(self._context, None)
        made.set_app_data(protocol)
        try:
            ip_address(self._node)
        except ValueError:
            made.set_tlsext_host_name(self._node.encode("ascii"))  # RFC 6066 section 3: names only
        return made


def from_settings(clock: IReactorTime, settings: Forwards, *, timeout: float) -> Tls | NoTls:
    """As ``[forwards]`` says; blocks.

    :raises WrongSettings: a file cannot be used.
    """
    return Tls(clock, settings, timeout=timeout) if settings.ca or not settings.verify else NoTls()


def read_creator(settings: Forwards) -> Callable[[str], IOpenSSLClientConnectionCreator]:
    """What begins TLS with a node; blocks.

    :raises WrongSettings: a file cannot be used.
    """
    try:
        shown = _shown(settings)
        if not settings.verify:
            context = CertificateOptions(**shown).getContext()
            return lambda node: _Unverified(node, context)
        trusted = _trusted(Path(settings.ca))
    except BadMaterial as error:
        raise WrongSettings(f"forwards.ca, forwards.certificate or forwards.private_key: {error}") from None
    return lambda node: optionsForClientTLS(node, trustRoot=trusted, extraCertificateOptions=shown)


def _trusted(file: Path) -> Any:
    """Whose certificates of applications count."""
    return trustRootFromCertificates(
        [Certificate(crypto.X509.from_cryptography(one)) for one in read_certificates(file)]
    )


def _shown(settings: Forwards) -> dict[str, Any]:
    """What CertificateOptions needs to show the portal's own certificate; nothing for none."""
    if not settings.certificate:
        return {}
    chain, key = read_pair(Path(settings.certificate), Path(settings.private_key), datetime.now(UTC))
    return {"privateKey": key, "certificate": chain[0], "extraCertChain": chain[1:]}


def _why(connection: Connection, node: str) -> str:
    reason = "" if connection.why is None else connection.why.getErrorMessage()
    return f"{node}: no TLS: {reason[:300]}"


def _fail(done: Deferred[None], error: Unreachable) -> None:
    if not done.called:
        done.errback(error)


def _nobody(connection: Connection) -> None:
    """Nobody waits for this any more."""
