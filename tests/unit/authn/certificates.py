"""Certificates as authorities sign them, and as they should not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from supercloud.authn.certificate import UPN

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=30)


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(*parts: tuple[Any, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in parts])


LAB = name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.COMMON_NAME, "CA"))
ALICE = name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.COMMON_NAME, "Alice"))


def utf8_string(text: str) -> bytes:
    raw = text.encode()
    return b"\x0c" + (b"" if len(raw) < 0x80 else b"\x81") + bytes([len(raw)]) + raw


def raw_upn(value: bytes) -> x509.UnrecognizedExtension:
    """A subjectAltName of one UPN whose value is anything; cryptography makes no broken ones by itself."""
    named = bytes.fromhex("060a2b060104018237140203") + bytes([0xA0, len(value)]) + value
    other = bytes([0xA0, len(named)]) + named
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes([0x30, len(other)]) + other)


def upn(text: str) -> x509.OtherName:
    return x509.OtherName(UPN, utf8_string(text))


def mail(text: str) -> x509.RFC822Name:
    return x509.RFC822Name(text)


def certificate(
    subject: x509.Name = ALICE,
    names: Sequence[x509.GeneralName] = (),
    *,
    issuer: x509.Name = LAB,
    serial: int = 1000,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    signer: str = "ca",
    holder: str = "alice",
) -> x509.Certificate:
    builder = x509.CertificateBuilder(issuer, subject, key(holder).public_key(), serial, BEGIN, END)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key(signer), hashes.SHA256())


def authority(subject: x509.Name = LAB, *, crl_sign: bool | None = None, holder: str = "ca") -> x509.Certificate:
    usage = []
    if crl_sign is not None:
        allowed = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        usage = [(x509.KeyUsage(**allowed, key_cert_sign=True, crl_sign=crl_sign), True)]
    return certificate(subject, issuer=subject, serial=1, extensions=usage, signer=holder, holder=holder)


def revocation_list(
    *serials: int,
    issuer: x509.Name = LAB,
    signer: str = "ca",
    days: int = 0,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.CertificateRevocationList:
    issued = BEGIN + timedelta(days=days)
    builder = x509.CertificateRevocationListBuilder(issuer, issued, issued + timedelta(days=7))
    for serial in serials:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, issued).build())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(key(signer), hashes.SHA256())
