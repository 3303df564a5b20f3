"""The embedded portal's own certificate authority."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.logger import globalLogPublisher

from supercloud.front.authority import CA_LIFE, CERTIFICATE_LIFE, RENEW_BEFORE, Paths, ensure, issue, make_ca

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "tls"


@pytest.fixture
def said():
    lines: list[str] = []

    def observe(event):
        lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def ca_of(paths: Paths) -> x509.Certificate:
    return x509.load_pem_x509_certificate(paths.ca.read_bytes())


def chain_of(paths: Paths) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(paths.certificate.read_bytes())


def content(paths: Paths) -> list[bytes]:
    return [paths.ca.read_bytes(), paths.certificate.read_bytes(), paths.private_key.read_bytes()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_files_are_in_place_and_the_keys_are_the_accounts_alone(folder):
    paths = ensure(folder, "localhost", now=NOW)
    assert {file.name for file in folder.iterdir()} == {"ca.pem", "ca.key", "fullchain.pem", "key.pem"}
    assert mode(folder) == 0o700
    assert mode(folder / "ca.key") == mode(paths.private_key) == 0o600


def test_loose_permissions_are_mended(folder):
    paths = ensure(folder, "localhost", now=NOW)
    folder.chmod(0o755)
    paths.private_key.chmod(0o644)
    ensure(folder, "localhost", now=NOW)
    assert mode(folder) == 0o700
    assert mode(paths.private_key) == 0o600


def test_the_authority_vouches_only_for_the_portals_names_and_loopback(folder):
    ca = ca_of(ensure(folder, "portal.test", now=NOW))
    constraint = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraint.critical
    assert [str(name.value) for name in constraint.value.permitted_subtrees] == [
        "portal.test",
        "127.0.0.1/32",
        "::1/128",
    ]
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert basic.value == x509.BasicConstraints(ca=True, path_length=0)
    assert isinstance(ca.public_key(), ec.EllipticCurvePublicKey)


def test_the_certificate_names_the_portal_and_its_applications(folder):
    leaf, ca = chain_of(ensure(folder, "localhost", now=NOW))
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = ["localhost", "*.fh.localhost", "*.fn.localhost", "apps.localhost", "127.0.0.1", "::1"]
    assert [str(name.value) for name in found] == names
    leaf.verify_directly_issued_by(ca)


def test_good_files_are_kept(folder, said):
    first = content(ensure(folder, "localhost", now=NOW))
    last_day = NOW + CERTIFICATE_LIFE - RENEW_BEFORE
    assert content(ensure(folder, "localhost", now=last_day)) == first
    assert said == []


def test_a_certificate_near_its_end_is_renewed_by_the_same_authority(folder):
    first = content(ensure(folder, "localhost", now=NOW))
    second = content(ensure(folder, "localhost", now=NOW + CERTIFICATE_LIFE - RENEW_BEFORE + DAY))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_certificate_never_outlives_its_authority(folder):
    paths = ensure(folder, "localhost", now=NOW)
    for step in range(0, CA_LIFE.days + 100, 29):
        leaf, ca = chain_of(ensure(folder, "localhost", now=NOW + step * DAY))
        assert leaf.not_valid_after_utc <= ca.not_valid_after_utc
    assert paths == ensure(folder, "localhost", now=NOW)


def test_an_authority_near_its_end_is_replaced_and_the_log_says_so(folder, said):
    first = ca_of(ensure(folder, "localhost", now=NOW))
    paths = ensure(folder, "localhost", now=NOW + CA_LIFE - CERTIFICATE_LIFE)
    assert ca_of(paths).subject != first.subject
    assert chain_of(paths)[1] == ca_of(paths)
    assert len(said) == 1
    assert "ends at 2028-02-29 12:00 UTC" in said[0]
    assert str(paths.ca) in said[0]


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_an_unreadable_authority_is_replaced_and_the_log_says_so(folder, said, name):
    first = ca_of(ensure(folder, "localhost", now=NOW))
    (folder / name).write_bytes(b"-----BEGIN NOISE-----\n")
    assert ca_of(ensure(folder, "localhost", now=NOW)) != first
    assert "cannot be read" in said[0]


def test_an_authority_with_a_key_of_another_kind_is_replaced(folder, said):
    ensure(folder, "localhost", now=NOW)
    key = ed25519.Ed25519PrivateKey.generate()
    (folder / "ca.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    ensure(folder, "localhost", now=NOW)
    assert "ca.key is no ECDSA key" in said[0]


def test_an_authority_without_its_key_is_replaced(folder, said):
    first = ca_of(ensure(folder, "localhost", now=NOW))
    (folder / "ca.key").unlink()
    assert ca_of(ensure(folder, "localhost", now=NOW)) != first
    assert "cannot be read" in said[0]


def test_an_authority_with_another_key_is_replaced(folder, said):
    ensure(folder, "localhost", now=NOW)
    (folder / "ca.key").write_bytes((folder / "key.pem").read_bytes())
    ensure(folder, "localhost", now=NOW)
    assert "does not belong to ca.key" in said[0]


def test_an_authority_from_the_future_is_replaced(folder, said):
    ensure(folder, "localhost", now=NOW)
    ensure(folder, "localhost", now=NOW - DAY)
    assert "begins only at" in said[0]


def test_another_host_name_replaces_both(folder, said):
    ensure(folder, "localhost", now=NOW)
    leaf, ca = chain_of(ensure(folder, "portal.test", now=NOW))
    assert "is not for portal.test" in said[0]
    assert [str(n.value) for n in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value][:2] == [
        "portal.test",
        "*.fh.portal.test",
    ]
    leaf.verify_directly_issued_by(ca)


@pytest.mark.parametrize("name", ["fullchain.pem", "key.pem"])
def test_a_damaged_certificate_or_key_is_renewed_by_the_same_authority(folder, name):
    first = ca_of(ensure(folder, "localhost", now=NOW))
    (folder / name).write_bytes(b"")
    paths = ensure(folder, "localhost", now=NOW)
    assert ca_of(paths) == first
    chain_of(paths)[0].verify_directly_issued_by(first)


def test_a_certificate_with_other_names_is_renewed(folder):
    paths = ensure(folder, "localhost", now=NOW)
    ca, key = make_ca("localhost", now=NOW)
    leaf, _ = issue(ca, key, "elsewhere.test", now=NOW)
    paths.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    renewed = chain_of(ensure(folder, "localhost", now=NOW))[0]
    assert "localhost" in renewed.subject.rfc4514_string()


def test_a_folder_that_is_a_link_is_refused(folder, tmp_path):
    folder.parent.mkdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(OSError, match="tls"):
        ensure(folder, "localhost", now=NOW)


def test_somebody_elses_folder_is_refused(folder, monkeypatch):
    ensure(folder, "localhost", now=NOW)
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    with pytest.raises(PermissionError, match="not to uid 4242"):
        ensure(folder, "localhost", now=NOW)


def test_a_failed_write_leaves_the_old_file_and_no_other(folder, monkeypatch):
    paths = ensure(folder, "localhost", now=NOW)
    before = paths.certificate.read_bytes()

    def full(_fd):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        ensure(folder, "localhost", now=NOW + CERTIFICATE_LIFE)
    assert paths.certificate.read_bytes() == before
    assert {file.name for file in folder.iterdir()} == {"ca.pem", "ca.key", "fullchain.pem", "key.pem"}


def test_without_a_given_time_it_is_now(folder):
    leaf, _ = chain_of(ensure(folder, "localhost"))
    assert leaf.not_valid_before_utc < datetime.now(UTC) < leaf.not_valid_after_utc
