"""Certificates and keys in PEM files; reading blocks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


class BadMaterial(Exception):
    """A file cannot be used; the text says which and why, and holds nothing of its content."""


def read_pair(certificate: Path, private_key: Path, now: datetime) -> tuple[list[x509.Certificate], PrivateKeyTypes]:
    """A certificate that holds now, with its chain, and its key.

    :raises BadMaterial: says which file, and what is wrong with it.
    """
    chain = read_certificates(certificate)
    key = _private_key(private_key)
    if _public(key.public_key()) != _public(chain[0].public_key()):
        raise BadMaterial(f"{private_key}: is not the key of the certificate in {certificate}")
    _check_time(certificate, chain[0], now)
    return chain, key


def read_certificates(file: Path) -> list[x509.Certificate]:
    """All of a file; at least one.

    :raises BadMaterial: there is none.
    """
    try:
        return x509.load_pem_x509_certificates(read(file))
    except ValueError:
        raise BadMaterial(f"{file}: holds no certificate in PEM format") from None


def read(file: Path) -> bytes:
    """:raises BadMaterial: it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadMaterial(f"{file}: cannot be read: {error.strerror}") from None


def _private_key(file: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(read(file), None)
    except TypeError:
        raise BadMaterial(f"{file}: is encrypted; the portal needs it without a pass phrase") from None
    except ValueError:
        raise BadMaterial(f"{file}: holds no private key in PEM format") from None


def _check_time(file: Path, certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc < now:
        raise BadMaterial(f"{file}: expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        raise BadMaterial(f"{file}: is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
