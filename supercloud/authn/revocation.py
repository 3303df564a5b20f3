"""Certificate revocation lists (RFC 5280 section 5), read once and asked for each use of a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from supercloud.config import WrongSettings


@dataclass(frozen=True, slots=True)
class _List:
    """One authority's list. Times are Unix seconds.

    :ivar ends: when the next one is due; None when it does not say.
    """

    issued: float
    ends: float | None
    serials: frozenset[int]


class Revocations:
    """Which certificates were taken back. An authority without a current list is taken to have revoked everything."""

    def __init__(self, lists: dict[x509.Name, _List]) -> None:
        self._lists = lists

    @classmethod
    def read(cls, path: Path, *, authorities: Path) -> Revocations:
        """Read the lists of a PEM file; blocks.

        Of several lists of one authority the newest counts.

        :param authorities: PEM file of the certificates that must have signed the lists.
        :raises WrongSettings: names the file, what is wrong and what would be right.
        """
        signers = _certificates(authorities)
        lists: dict[x509.Name, _List] = {}
        for number, crl in enumerate(_lists(path), start=1):
            if wrong := _doubt(crl, signers):
                raise WrongSettings(f"{path}: list {number} ({crl.issuer.rfc4514_string()}): {wrong}")
            due = crl.next_update_utc
            made = _List(
                issued=crl.last_update_utc.timestamp(),
                ends=None if due is None else due.timestamp(),
                serials=frozenset(entry.serial_number for entry in crl),
            )
            known = lists.get(crl.issuer)
            if known is None or known.issued < made.issued:
                lists[crl.issuer] = made
        return cls(lists)

    def check(self, certificate: x509.Certificate, now: float) -> str | None:
        """Why a certificate is not good at this time (Unix seconds), None if it is.

        Looks at this one certificate; whoever accepts chains asks for each link.
        """
        found = self._lists.get(certificate.issuer)
        if found is None:
            return f"no revocation list of {certificate.issuer.rfc4514_string()!a}"
        if certificate.serial_number in found.serials:
            return f"serial number {certificate.serial_number:x} was revoked"
        if found.ends is not None and now > found.ends:
            return f"the revocation list of {certificate.issuer.rfc4514_string()!a} is out of date; fetch a new one"
        return None


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise WrongSettings(f"{path}: {error.strerror}; name a PEM file of authorities") from None
    except ValueError as error:
        raise WrongSettings(f"{path}: {error}; it must hold certificates in PEM") from None


def _lists(path: Path) -> list[x509.CertificateRevocationList]:
    end = b"-----END X509 CRL-----"
    try:
        parts = path.read_bytes().split(end)
        lists = [x509.load_pem_x509_crl(part + end) for part in parts[:-1]]
    except OSError as error:
        raise WrongSettings(f"{path}: {error.strerror}; name a PEM file of revocation lists") from None
    except ValueError as error:
        raise WrongSettings(f"{path}: {error}; it must hold revocation lists in PEM") from None
    if not lists:
        raise WrongSettings(f'{path}: holds no "-----BEGIN X509 CRL-----"; convert by openssl crl -inform DER')
    return lists


def _doubt(crl: x509.CertificateRevocationList, signers: Sequence[x509.Certificate]) -> str | None:
    if any(extension.critical for extension in crl.extensions):
        # Delta, indirect and partitioned lists (RFC 5280 sections 5.2.4 and 5.2.5) do not speak for all certificates.
        return "covers a part of the certificates only; name a complete list"
    for signer in signers:
        if signer.subject == crl.issuer and _may_sign(signer) and _signed(crl, signer):
            return None
    return "none of the authorities signed it; is authn.certificate.ca the right file?"


def _may_sign(signer: x509.Certificate) -> bool:
    try:
        return signer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _signed(crl: x509.CertificateRevocationList, signer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(signer.public_key())  # type: ignore[arg-type]
    # A key of a kind that signs nothing.
    except TypeError:
        return False
