"""A throw-away certificate authority for the embedded portal, kept in the state folder.

The person may tell the browser to trust it. So it can vouch for nothing but this portal's own names: it is
name-constrained (RFC 5280 section 4.2.1.10) and signs no other authority.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.logger import Logger

_log = Logger()

CA_LIFE: Final = timedelta(days=730)
CERTIFICATE_LIFE: Final = timedelta(days=90)  # Let's Encrypt's
RENEW_BEFORE: Final = timedelta(days=30)
# A certificate never outlives its authority.
_REPLACE_CA_BEFORE = CERTIFICATE_LIFE + timedelta(days=1)
_CLOCK_SKEW = timedelta(hours=1)
_LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the PEM files are.

    :ivar ca: what a browser or ``curl --cacert`` has to trust.
    :ivar certificate: the portal's certificate, then the authority's.
    """

    ca: Path
    certificate: Path
    private_key: Path


def names(hostname: str) -> list[str]:
    """The DNS names of the portal, of applications' own origins under it, and of the one that they share."""
    return [hostname, f"*.fh.{hostname}", f"*.fn.{hostname}", f"apps.{hostname}"]


def ensure(folder: Path, hostname: str, *, now: datetime | None = None) -> Paths:
    """Make, keep or renew the files in ``folder``; blocking, so run it before the reactor.

    Two portals that start at once wait for each other.

    :param folder: is made with mode 0700; the private keys have 0600.
    :param hostname: the authority is constrained to it and the names below it.
    :raises OSError: when the folder is not this account's own, or cannot be written.
    """
    now = now or datetime.now(UTC)
    paths = Paths(ca=folder / "ca.pem", certificate=folder / "fullchain.pem", private_key=folder / "key.pem")
    with _locked(folder):
        ca_key_file = folder / "ca.key"
        ca = _usable_ca(paths.ca, ca_key_file, hostname, now)
        if ca is None:
            ca = make_ca(hostname, now=now)
            _write(ca_key_file, _key_pem(ca[1]))
            _write(paths.ca, ca[0].public_bytes(Encoding.PEM))
        if not _is_usable(paths, ca[0], hostname, now):
            certificate, key = issue(*ca, hostname, now=now)
            _write(paths.private_key, _key_pem(key))
            _write(paths.certificate, certificate.public_bytes(Encoding.PEM) + ca[0].public_bytes(Encoding.PEM))
        for secret in (ca_key_file, paths.private_key):
            secret.chmod(0o600)
    return paths


def make_ca(hostname: str, *, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A new authority for ``hostname``, the names below it and the loopback addresses; nothing is written."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Two authorities of one name and different keys make browsers fail in odd ways, hence the random part.
    name = _name(f"SuperCloud throw-away CA for {hostname} {secrets.token_hex(4)}")
    permitted: list[x509.GeneralName] = [x509.DNSName(hostname)]
    permitted += [x509.IPAddress(ip_network(address)) for address in _LOOPBACK]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def issue(
    ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, hostname: str, *, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A new certificate of the portal at ``hostname``; nothing is written."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder(ca.subject, _name(hostname), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_alternative_names(hostname), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate, key


def _usable_ca(
    file: Path, key_file: Path, hostname: str, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """The authority on disk, or ``None`` when there is none that may go on; says why in the log."""
    if not file.exists() and not key_file.exists():
        return None
    try:
        ca, key = x509.load_pem_x509_certificate(file.read_bytes()), _read_key(key_file)
        permitted = ca.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
        if _public(ca.public_key()) != _public(key.public_key()):
            wrong = f"does not belong to {key_file.name}"
        elif x509.DNSName(hostname) not in permitted:
            wrong = f"is not for {hostname}"
        elif now < ca.not_valid_before_utc:
            wrong = f"begins only at {ca.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        elif ca.not_valid_after_utc - now < _REPLACE_CA_BEFORE:
            wrong = f"ends at {ca.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        else:
            return ca, key
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound) as error:
        wrong = f"cannot be read ({error})"
    _log.warn(
        "{file}: the portal's own certificate authority {wrong}, so a new one was made; "
        "whoever trusts the old one has to trust the new file",
        file=str(file),
        wrong=wrong,
    )
    return None


def _is_usable(paths: Paths, ca: x509.Certificate, hostname: str, now: datetime) -> bool:
    """Whether the portal's certificate can go on: its key, its authority, its names, its time."""
    try:
        chain = x509.load_pem_x509_certificates(paths.certificate.read_bytes())
        certificate, key = chain[0], _read_key(paths.private_key)
        certificate.verify_directly_issued_by(ca)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        chain[1:] == [ca]
        and _public(certificate.public_key()) == _public(key.public_key())
        and set(found) == set(_alternative_names(hostname))
        and certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - RENEW_BEFORE
    )


def _alternative_names(hostname: str) -> x509.SubjectAlternativeName:
    dns = [x509.DNSName(name) for name in names(hostname)]
    return x509.SubjectAlternativeName([*dns, *(x509.IPAddress(address) for address in _LOOPBACK)])


def _name(common: str) -> x509.Name:
    # ub-common-name of RFC 5280 appendix A: the certificate's names are its SANs, this is for people.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{file.name} is no ECDSA key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("it holds no ECDSA key")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone; make it first if need be.

    :raises OSError: when it is a link, no folder, or somebody else's.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            raise PermissionError(f"{folder}: belongs to uid {status.st_uid}, not to uid {os.geteuid()}")
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.fchmod(fd, 0o700)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write(file: Path, content: bytes) -> None:
    """Put a whole file in place of an old one, or leave the old one."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(fd)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
