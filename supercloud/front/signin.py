"""Ways to sign in at ``/login``: the one-time link, the client certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cryptography import x509

from supercloud.authn.link import Links
from supercloud.errors import NotAuthenticated
from supercloud.front.exchange import Exchange
from supercloud.front.tls import peer_certificate
from supercloud.identity import NoAccount, Principal


class PrincipalLookup(Protocol):
    """Reads an account afresh."""

    async def find(self, key: str | int) -> Principal: ...


class LinkSignIn:
    """A link that the portal printed on the terminal of the account that runs it."""

    name = "link"

    def __init__(self, links: Links, accounts: PrincipalLookup, uid: int, printed: Callable[[], object]) -> None:
        self._links = links
        self._accounts = accounts
        self._uid = uid
        self._printed = printed

    async def sign_in(self, exchange: Exchange, query: dict[str, str]) -> Principal | None:
        """See `front.site.SignIn`."""
        secret = query.get("link")
        if secret is None:
            return None
        if not self._links.redeem(secret):
            raise NotAuthenticated(
                "link refused", public="This link was used already, or is an old one. The terminal shows a new one."
            )
        self._printed()
        return await self._accounts.find(self._uid)


class CertificateSignIn:
    """A client certificate that the TLS handshake verified, and an account that the site's map gives it.

    :param login_for: the map; see `authn.certificate`.
    """

    name = "certificate"

    def __init__(self, login_for: Callable[[x509.Certificate], str | None], accounts: PrincipalLookup) -> None:
        self._login_for = login_for
        self._accounts = accounts

    async def sign_in(self, exchange: Exchange, query: dict[str, str]) -> Principal | None:
        """See `front.site.SignIn`."""
        certificate = peer_certificate(exchange.transport)
        if certificate is None:
            return None
        subject = certificate.subject.rfc4514_string()
        login = self._login_for(certificate)
        unknown = (
            "Your certificate is valid, but no account here belongs to it. Send its subject to the site's "
            f"administrators: {subject}"
        )
        if login is None:
            raise NotAuthenticated(f"certificate {subject!r} is in no entry of the map", public=unknown)
        try:
            return await self._accounts.find(login)
        except NoAccount as error:
            raise NotAuthenticated(f"certificate {subject!r}: {error}", public=unknown) from None
