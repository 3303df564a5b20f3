"""Certificates of a site: its authority, the portal's, people's good and bad ones, and a revocation list."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

P12_PASSWORD = b"lab"
THIRD = "third.test"
_UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # Microsoft's userPrincipalName, in a SAN's otherName
_DAY = timedelta(days=1)
_HOSTS = (
    "localhost",
    "*.fh.localhost",
    "*.fn.localhost",
    "apps.localhost",
    "portal.test",
    "*.fh.portal.test",
    "*.fn.portal.test",
    "apps.portal.test",
    "head",
)
_ADDRESSES = ("127.0.0.1", "::1", "10.77.0.1", "fd77::1")


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files of a certificate and its key; ``p12`` holds both under the password "lab", for browsers."""

    certificate: Path
    private_key: Path
    p12: Path


@dataclass(slots=True)
class Certificates:
    """All made anew in a folder.

    :ivar ca: of the portal and of people.
    :ivar crl: names "revoked"; ``empty_crl`` names nobody, ``later_crl`` "alice" too.
    :ivar other_ca: of "stranger", who claims to be alice.
    :ivar narrow: the portal's for a site without wildcards.
    :ivar third: of a site that has nothing to do with the portal, `THIRD`.
    :ivar client: "alice", "bob", "carol"; "expired", "revoked" and "stranger" are bad ones of alice.
    """

    folder: Path
    ca: Path = field(init=False)
    other_ca: Path = field(init=False)
    crl: Path = field(init=False)
    empty_crl: Path = field(init=False)
    later_crl: Path = field(init=False)
    server: Pair = field(init=False)
    narrow: Pair = field(init=False)
    third: Pair = field(init=False)
    client: dict[str, Pair] = field(init=False)

    def __post_init__(self) -> None:
        lab, other = _Authority("Lab CA"), _Authority("Other CA")
        self.ca = self._put("ca.pem", lab.certificate.public_bytes(Encoding.PEM))
        self.other_ca = self._put("other-ca.pem", other.certificate.public_bytes(Encoding.PEM))
        self.server = self._keep("server", *lab.issue("localhost", _server_names(), server=True))
        self.narrow = self._keep("narrow", *lab.issue("localhost", _plain_names(), server=True))
        self.third = self._keep("third", *lab.issue(THIRD, [x509.DNSName(THIRD)], server=True))
        good = {login: lab.issue(login, _names_of(login)) for login in ("alice", "bob", "carol")}
        self.client = {login: self._keep(login, *made) for login, made in good.items()}
        names = _names_of("alice")
        self.client["expired"] = self._keep("expired", *lab.issue("alice", names, begin=-30 * _DAY, end=-_DAY))
        self.client["stranger"] = self._keep("stranger", *other.issue("alice", names))
        revoked = lab.issue("alice", names)
        self.client["revoked"] = self._keep("revoked", *revoked)
        self.empty_crl = self._put("crl-empty.pem", lab.revocation_list([]))
        self.crl = self._put("crl.pem", lab.revocation_list([revoked[0]]))
        self.later_crl = self._put("crl-later.pem", lab.revocation_list([revoked[0], good["alice"][0]]))

    def _keep(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
        encryption = BestAvailableEncryption(P12_PASSWORD)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        p12 = pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, encryption)
        return Pair(
            self._put(f"{name}.pem", certificate.public_bytes(Encoding.PEM)),
            self._put(f"{name}.key", private),
            self._put(f"{name}.p12", p12),
        )

    def _put(self, name: str, content: bytes) -> Path:
        file = self.folder / name
        file.write_bytes(content)
        return file


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.certificate = (
            _builder(self._name, self._name, self._key, begin=-60 * _DAY, end=60 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self,
        name: str,
        names: list[x509.GeneralName],
        *,
        server: bool = False,
        begin: timedelta = -_DAY,
        end: timedelta = 30 * _DAY,
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            _builder(_name(name), self._name, key, begin=begin, end=end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate, key

    def revocation_list(self, revoked: list[x509.Certificate]) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - _DAY).next_update(now + 30 * _DAY)
        builder = builder.add_extension(x509.CRLNumber(1 + len(revoked)), critical=False)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(now - _DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, begin: timedelta, end: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _server_names() -> list[x509.GeneralName]:
    return [*map(x509.DNSName, _HOSTS), *(x509.IPAddress(ip_address(one)) for one in _ADDRESSES)]


def _plain_names() -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in _HOSTS if not name.startswith("*")]


def _names_of(login: str) -> list[x509.GeneralName]:
    principal = f"{login}@AD.EXAMPLE.ORG".encode()
    # DER: UTF8String, short form of the length.
    return [
        x509.RFC822Name(f"{login}@example.org"),
        x509.OtherName(_UPN, bytes([0x0C, len(principal)]) + principal),
    ]


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
