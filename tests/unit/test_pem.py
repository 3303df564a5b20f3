"""What is read from PEM files, and what is said about those that cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from supercloud.pem import BadMaterial, read_certificates, read_pair

NOW = datetime.now(UTC)
ISSUED = trustme.CA().issue_cert("node1")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    certificate.write_bytes(b"".join(one.bytes() for one in ISSUED.cert_chain_pems))
    key.write_bytes(ISSUED.private_key_pem.bytes())
    return certificate, key


def test_a_certificate_comes_with_its_chain_and_key(pair: tuple[Path, Path]) -> None:
    chain, key = read_pair(*pair, NOW)
    assert len(chain) == len(ISSUED.cert_chain_pems)
    encoded = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert encoded == ISSUED.private_key_pem.bytes()


def test_the_key_of_another_certificate_is_refused(pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(trustme.CA().issue_cert("node1").private_key_pem.bytes())
    with pytest.raises(BadMaterial, match="is not the key of the certificate"):
        read_pair(*pair, NOW)


@pytest.mark.parametrize(("days", "said"), [(400000, "expired at"), (-40000, "is not valid before")])
def test_a_certificate_counts_in_its_time_only(pair: tuple[Path, Path], days: int, said: str) -> None:
    with pytest.raises(BadMaterial, match=said):
        read_pair(*pair, NOW + timedelta(days=days))


@pytest.mark.parametrize("text", [b"", b"secret", b"-----BEGIN CERTIFICATE-----\nsecret\n-----END CERTIFICATE-----\n"])
def test_what_holds_no_certificate_is_named_and_not_quoted(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(text)
    with pytest.raises(BadMaterial, match="holds no certificate") as told:
        read_certificates(file)
    assert "secret" not in str(told.value)
    with pytest.raises(BadMaterial, match=r"none\.pem: cannot be read"):
        read_certificates(tmp_path / "none.pem")


def test_a_key_must_be_there_and_plain(pair: tuple[Path, Path]) -> None:
    _, key = read_pair(*pair, NOW)
    pair[1].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"open lentil"))
    )
    with pytest.raises(BadMaterial, match="without a pass phrase"):
        read_pair(*pair, NOW)
    pair[1].write_bytes(b"nothing")
    with pytest.raises(BadMaterial, match="holds no private key"):
        read_pair(*pair, NOW)
