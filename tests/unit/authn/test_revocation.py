"""Certificates that were taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from supercloud.authn.revocation import Revocations
from supercloud.config import WrongSettings
from tests.unit.authn.certificates import BEGIN, authority, certificate, name, revocation_list

NOW = BEGIN.timestamp() + 86400
OTHER = name((NameOID.COMMON_NAME, "Other CA"))


def _read(
    tmp_path: Path, *lists: x509.CertificateRevocationList, authorities: list[x509.Certificate] | None = None
) -> Revocations:
    signers = [authority()] if authorities is None else authorities
    (tmp_path / "ca.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in signers))
    (tmp_path / "crl.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in lists))
    return Revocations.read(tmp_path / "crl.pem", authorities=tmp_path / "ca.pem")


def test_a_revoked_certificate_is_refused_and_others_are_not(tmp_path: Path) -> None:
    revocations = _read(tmp_path, revocation_list(7, 1000))
    assert revocations.check(certificate(serial=1000), NOW) == "serial number 3e8 was revoked"
    assert revocations.check(certificate(serial=1001), NOW) is None


def test_the_same_serial_number_of_another_authority_is_another_certificate(tmp_path: Path) -> None:
    revocations = _read(
        tmp_path,
        revocation_list(1000),
        revocation_list(5, issuer=OTHER, signer="other"),
        authorities=[authority(), authority(OTHER, holder="other")],
    )
    assert revocations.check(certificate(serial=1000, issuer=OTHER, signer="other"), NOW) is None


def test_an_authority_without_a_list_vouches_for_nobody(tmp_path: Path) -> None:
    revocations = _read(tmp_path, revocation_list())
    assert revocations.check(certificate(issuer=OTHER), NOW) == "no revocation list of 'CN=Other CA'"


def test_a_list_that_is_out_of_date_vouches_for_nobody(tmp_path: Path) -> None:
    revocations = _read(tmp_path, revocation_list(1000))
    week = BEGIN.timestamp() + 7 * 86400
    assert revocations.check(certificate(serial=1), week) is None
    assert "out of date; fetch a new one" in str(revocations.check(certificate(serial=1), week + 1))
    assert "was revoked" in str(revocations.check(certificate(serial=1000), week + 1))


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_newest_list_of_an_authority_counts(tmp_path: Path, newest_first: bool) -> None:
    lists = [revocation_list(1000, days=1), revocation_list(1, days=0)]
    revocations = _read(tmp_path, *(lists if newest_first else reversed(lists)))
    assert revocations.check(certificate(serial=1), NOW) is None
    assert revocations.check(certificate(serial=1000), NOW) is not None


@pytest.mark.parametrize(
    ("made", "signers"),
    [
        (revocation_list(signer="mallory"), [authority()]),
        (revocation_list(issuer=OTHER), [authority()]),
        (revocation_list(), [authority(crl_sign=False)]),
        (revocation_list(), []),
    ],
)
def test_a_list_that_none_of_the_authorities_signed_is_refused(
    tmp_path: Path, made: x509.CertificateRevocationList, signers: list[x509.Certificate]
) -> None:
    with pytest.raises(WrongSettings, match=r"crl.pem: list 1 .*none of the authorities|must hold certificates"):
        _read(tmp_path, made, authorities=signers)


def test_a_signer_that_may_sign_lists_is_accepted(tmp_path: Path) -> None:
    assert _read(tmp_path, revocation_list(), authorities=[authority(crl_sign=True)]).check(certificate(), NOW) is None


def test_of_two_authorities_of_one_name_either_may_have_signed(tmp_path: Path) -> None:
    signers = [authority(holder="renewed"), authority()]
    assert _read(tmp_path, revocation_list(), authorities=signers).check(certificate(), NOW) is None


def test_a_list_that_covers_a_part_only_is_refused(tmp_path: Path) -> None:
    delta = (x509.DeltaCRLIndicator(1), True)
    with pytest.raises(WrongSettings, match="covers a part of the certificates only"):
        _read(tmp_path, revocation_list(extensions=[delta]))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().public_bytes(Encoding.PEM))
    (tmp_path / "empty").touch()
    broken = b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
    (tmp_path / "broken").write_bytes(broken)
    for path, message in (("absent", "No such file"), ("empty", 'no "-----BEGIN'), ("broken", "must hold revocation")):
        with pytest.raises(WrongSettings, match=f"{path}: .*{message}"):
            Revocations.read(tmp_path / path, authorities=tmp_path / "ca.pem")
    for path, message in (("absent", "No such file"), ("empty", "must hold certificates")):
        with pytest.raises(WrongSettings, match=f"{path}: .*{message}"):
            Revocations.read(tmp_path / "crl.pem", authorities=tmp_path / path)
