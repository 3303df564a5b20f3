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
    """Look at the portal's name, at both wildcards, and at the host that applications share.

    :param resolve: addresses of a name; none when there is no such name.
    """
    resolve = resolve or addresses_of
    home = frozenset() if front.hostname == "localhost" else resolve(front.hostname)
    try:
        certificate: x509.Certificate | None = read_certificates(front.certificate)[0]
    except BadMaterial as error:
        certificate, unread = None, str(error)
    else:
        unread = ""
    found = []
    for shown in (front.hostname, *_wildcards(front), *filter(None, [front.applications_host])):
        asked = shown.replace("*", _PROBE)
        said = () if _is_local(asked) else _dns(shown, resolve(asked), home)
        lacks = [*said, *([unread] if certificate is None else _covers(shown, certificate))]
        found.append(Name(shown, tuple(lacks)))
    if certificate is not None and (ends := certificate.not_valid_after_utc) - now < _SOON:
        found[0] = Name(front.hostname, (*found[0].lacks, f"The certificate ends on {ends:%Y-%m-%d}: renew it."))
    return found


def advice(front: Front) -> list[str]:
    """What would keep the portal and applications further apart, the best first; blocks."""
    found = []
    if not front.applications and not _is_local(front.hostname):
        found.append(
            "front.applications: give applications another registrable domain than the portal's. Below one domain, an "
            "application can set cookies that reach the portal: enough of them to shut a person out until they clear "
            "them, or, in some browsers, to sign a person in as somebody else."
        )
    if front.paths == "portal":
        found.append(
            'front.paths: "portal" serves applications on the portal\'s own origin. Whatever runs in their pages, and '
            "whoever may write what they show, can do there what their viewer can: read files, make tokens. Remove it."
        )
    elif not has_wildcards(front):
        if front.applications_host or any(one.is_shared for one in front.listen):
            found.append(
                "the certificate lacks *.fh and *.fn, so all applications of one person share an address, where one "
                "can act on the others, and those that other people share are not shown. Add both wildcards."
            )
        else:
            found.append(
                "no application is shown: the certificate lacks *.fh and *.fn. Add both wildcards, or name a host by "
                'front.applications_host, or add a port to front.listen, as "apps:0.0.0.0:8444".'
            )
    return found


def has_wildcards(front: Front) -> bool:
    """Whether browsers would trust applications' own origins: the certificate has both wildcards; blocks."""
    try:
        certificate = read_certificates(front.certificate)[0]
    except BadMaterial:
        return False
    return not any(next(iter(_covers(shown, certificate)), "") for shown in _wildcards(front))


def _wildcards(front: Front) -> tuple[str, str]:
    domain = front.applications or front.hostname
    return f"*.fh.{domain}", f"*.fn.{domain}"


def addresses_of(name: str) -> frozenset[str]:
    """What the host's resolver says; blocks."""
    try:
        return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM))
    except OSError:
        return frozenset()


def _is_local(name: str) -> bool:
    """Whether browsers know it by themselves (RFC 6761 section 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


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
