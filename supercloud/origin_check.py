"""Whether browsers can reach the origins of applications: what DNS says of their names, and which the certificate has.

Applications live below two names of the portal's, each label an origin; a site needs a record and an entry in its
certificate with a wildcard for either. Look-ups block.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from supercloud.config import Front
from supercloud.pem import BadMaterial, read_certificates

# A label below a wildcard; nobody calls a node or a forward so.
_PROBE: Final = "supercloud-origin-check"
_SOON: Final = timedelta(days=21)
Resolve = Callable[[str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Name:
    """What is said of one name.

    :ivar shown: with ``*`` for any label.
    :ivar lacks: what to do about it; nothing when all is well.
    """

    shown: str
    lacks: tuple[str, ...]


def look(front: Front, now: datetime, resolve: Resolve | None = None) -> list[Name]:
    """Look at the portal's name and at both wildcards.

    :param resolve: addresses of a name; none when there is no such name.
    """
    resolve = resolve or addresses_of
    applications = front.applications or front.hostname
    home = frozenset() if front.hostname == "localhost" else resolve(front.hostname)
    try:
        certificate: x509.Certificate | None = read_certificates(front.certificate)[0]
    except BadMaterial as error:
        certificate, unread = None, str(error)
    else:
        unread = ""
    found = []
    for shown, asked in (
        (front.hostname, front.hostname),
        *((f"*.{kind}.{applications}", f"{_PROBE}.{kind}.{applications}") for kind in ("fh", "fn")),
    ):
        # Browsers know these by themselves (RFC 6761 section 6.3).
        is_local = asked == "localhost" or asked.endswith(".localhost")
        said = () if is_local else _dns(shown, resolve(asked), home)
        lacks = [*said, *([unread] if certificate is None else _covers(shown, certificate))]
        found.append(Name(shown, tuple(lacks)))
    if certificate is not None and (ends := certificate.not_valid_after_utc) - now < _SOON:
        found[0] = Name(front.hostname, (*found[0].lacks, f"The certificate ends on {ends:%Y-%m-%d}: renew it."))
    return found


def addresses_of(name: str) -> frozenset[str]:
    """What the host's resolver says; blocks."""
    try:
        return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM))
    except OSError:
        return frozenset()


def _dns(shown: str, found: frozenset[str], home: frozenset[str]) -> Iterable[str]:
    here, there = ", ".join(sorted(home)), ", ".join(sorted(found))
    if not found:
        to = f"the address {here}" if home else "the portal's address"
        yield f"DNS has no {shown}. Add a record: {shown}. with {to}."
    elif home and found != home:
        yield f"DNS leads {shown} to {there}, and the portal's name to {here}: make them the same."


def _covers(shown: str, certificate: x509.Certificate) -> Iterable[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    except x509.ExtensionNotFound:
        known = set()
    # A wildcard stands for one whole label (RFC 6125 section 6.4.3), so that * of the parent covers no *.fh of it.
    if shown.lower() not in known and (shown.startswith("*") or f"*.{shown.partition('.')[2]}".lower() not in known):
        yield f"The certificate is not for {shown}. Ask for one that has DNS:{shown} among its alternative names."
