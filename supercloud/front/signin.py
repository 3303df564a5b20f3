"""Ways to sign in at ``/login``: the one-time link, the client certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from supercloud.authn.certificate import CertificateMap, check
from supercloud.authn.link import Links
from supercloud.authn.revocation import Revocations
from supercloud.authn.session import Session
from supercloud.config import CertificateScheme, WrongSettings
from supercloud.errors import NotAuthenticated
from supercloud.front.exchange import Exchange
from supercloud.front.tls import peer_certificate
from supercloud.identity import NoAccount, Principal


class PrincipalLookup(Protocol):
    """Reads an account afresh."""

    async def find(self, key: str | int) -> Principal: ...


class SignIn(Protocol):
    """One way to say who one is at ``/login``.

    :cvar is_guessed: what is shown could be tried out, so failures make the next attempts wait.
    """

    name: str
    is_guessed: bool

    def is_tried(self, exchange: Exchange, query: dict[str, str]) -> bool:
        """Whether the request shows a credential of this kind."""

    def certificate(self, exchange: Exchange) -> bytes:
        """On which the session is to stand, DER; empty when it stands on none."""

    def doubt(self, session: Session) -> str | None:
        """Why somebody who signed in so would not be let in any more, with a certificate; None when they would."""

    async def sign_in(self, exchange: Exchange, query: dict[str, str]) -> Principal:
        """Who it is.

        :raises NotAuthenticated: it failed; ``public`` says what to do next.
        """


class LinkSignIn:
    """A link that the portal printed on the terminal of the account that runs it.

    :param printed: prints the next one.
    """

    name = "link"
    is_guessed = True

    def __init__(self, links: Links, accounts: PrincipalLookup, printed: Callable[[], object]) -> None:
        self._links = links
        self._accounts = accounts
        self._printed = printed

    def is_tried(self, exchange: Exchange, query: dict[str, str]) -> bool:
        """See `SignIn`."""
        return "link" in query

    def certificate(self, exchange: Exchange) -> bytes:
        """See `SignIn`."""
        return b""

    def doubt(self, session: Session) -> str | None:
        """See `SignIn`."""
        return None

    async def sign_in(self, exchange: Exchange, query: dict[str, str]) -> Principal:
        """See `SignIn`."""
        if not self._links.redeem(query["link"]):
            raise NotAuthenticated(
                "link refused", public="This link was used already, or is an old one. The terminal shows a new one."
            )
        self._printed()
        try:
            return await self._accounts.find(self._links.uid)
        except NoAccount as error:
            raise NotAuthenticated(str(error), public="The account that runs this portal is gone.") from None


@dataclass(frozen=True, slots=True)
class Book:
    """What the site says about people's certificates.

    :ivar revocations: None where the site names no revocation list.
    """

    people: CertificateMap
    revocations: Revocations | None

    @classmethod
    def read(cls, scheme: CertificateScheme) -> Book:
        """Read the files; blocks.

        :raises WrongSettings: says which file is wrong and how.
        """
        people = CertificateMap.read(Path(scheme.map))
        if not scheme.crl:
            return cls(people, None)
        return cls(people, Revocations.read(Path(scheme.crl), authorities=Path(scheme.ca)))


class CertificateSignIn:
    """A client certificate that the TLS handshake verified, and an account that the site's map gives it.

    A connection may outlive its certificate, so its time and its revocation are looked at again.

    :param now: unix time.
    """

    name = "certificate"
    is_guessed = False  # the handshake has proved it

    def __init__(self, scheme: CertificateScheme, accounts: PrincipalLookup, *, now: Callable[[], float]) -> None:
        self._scheme = scheme
        self._accounts = accounts
        self._now = now
        self._book = Book.read(scheme)

    def reload(self) -> WrongSettings | None:
        """Read the files again; blocks. What is wrong with them comes back, and the old ones stay."""
        try:
            self._book = Book.read(self._scheme)
        except WrongSettings as wrong:
            return wrong
        return None

    def is_tried(self, exchange: Exchange, query: dict[str, str]) -> bool:
        """See `SignIn`."""
        return peer_certificate(exchange.transport) is not None

    def certificate(self, exchange: Exchange) -> bytes:
        """See `SignIn`."""
        certificate = peer_certificate(exchange.transport)
        return b"" if certificate is None else certificate.public_bytes(Encoding.DER)

    def doubt(self, session: Session) -> str | None:
        """See `SignIn`."""
        certificate = _parsed(session.certificate)
        if self._stale(certificate) is not None:
            return "the certificate is no longer valid"
        return None if self._book.people.login_for(certificate) == session.login else "the certificate is no account's"

    async def sign_in(self, exchange: Exchange, query: dict[str, str]) -> Principal:
        """See `SignIn`."""
        certificate = peer_certificate(exchange.transport)
        if certificate is None:
            raise NotAuthenticated("no certificate")
        subject = certificate.subject.rfc4514_string()
        finding = self._book.people.find(certificate)
        claimed = finding.login or ""
        self._refuse_stale(certificate, subject, claimed)
        unknown = (
            "Your certificate is valid, but no account here belongs to it. Send its subject to the site's "
            f"administrators: {subject}"
        )
        if finding.login is None:
            raise NotAuthenticated(f"certificate {subject!r}: {finding.reason}", public=unknown)
        try:
            return await self._accounts.find(finding.login)
        except NoAccount as error:
            raise NotAuthenticated(f"certificate {subject!r}: {error}", public=unknown, claimed=claimed) from None

    def _refuse_stale(self, certificate: x509.Certificate, subject: str, claimed: str) -> None:
        stale = self._stale(certificate)
        if stale is not None:
            raise NotAuthenticated(
                f"certificate {subject!r}: {stale}",
                public="Your certificate is no longer valid. Renew it, then try again.",
                claimed=claimed,
            )

    def _stale(self, certificate: x509.Certificate) -> str | None:
        revocations, now = self._book.revocations, self._now()
        stale = check(certificate, now)
        return revocations.check(certificate, now) if stale is None and revocations is not None else stale


@lru_cache(maxsize=4096)
def _parsed(certificate: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(certificate)
