"""Whose certificate this is."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from supercloud.authn.certificate import CertificateMap, check
from supercloud.config import WrongSettings
from tests.unit.authn.certificates import ALICE, BEGIN, END, certificate, mail, name, raw_upn, upn, utf8_string

MAP = """
[[account]]
login = "alice"
subject = "CN=Alice,O=Lab"

[[account]]
login = "alice"
email = "alice@example.org"

[[account]]
login = "bob"
email = "bob@example.org"
upn = "Bob.Builder@EXAMPLE.ORG"

[[rule]]
upn = "*@corp.example"

[[account]]
login = "john"
upn = "jdoe@corp.example"
"""
NOBODY = name((NameOID.COMMON_NAME, "Nobody"))


def _read(tmp_path: Path, text: str = MAP) -> CertificateMap:
    (tmp_path / "certmap.toml").write_text(text)
    return CertificateMap.read(tmp_path / "certmap.toml")


@pytest.fixture
def accounts(tmp_path: Path) -> CertificateMap:
    return _read(tmp_path)


@pytest.mark.parametrize(
    ("made", "login"),
    [
        (certificate(ALICE), "alice"),
        (certificate(NOBODY, [mail("alice@example.org")]), "alice"),
        (certificate(ALICE, [mail("alice@example.org"), mail("unknown@example.org")]), "alice"),
        (certificate(NOBODY, [upn("Bob.Builder@example.org")]), "bob"),
        (certificate(NOBODY, [upn("carol@corp.example")]), "carol"),
        (certificate(NOBODY, [upn("carol@CORP.example")]), "carol"),
        (certificate(NOBODY, [upn("jdoe@corp.example")]), "john"),
        (certificate(NOBODY), None),
    ],
)
def test_a_certificate_leads_to_its_account(
    accounts: CertificateMap, made: x509.Certificate, login: str | None
) -> None:
    assert accounts.login_for(made) == login


@pytest.mark.parametrize(
    "made",
    [
        certificate(ALICE, [mail("bob@example.org")]),
        certificate(NOBODY, [mail("alice@example.org"), mail("bob@example.org")]),
        certificate(NOBODY, [upn("carol@corp.example"), upn("dave@corp.example")]),
        certificate(NOBODY, [upn("jdoe@corp.example"), upn("carol@corp.example")]),
    ],
)
def test_a_certificate_that_leads_to_two_accounts_leads_to_none(
    accounts: CertificateMap, made: x509.Certificate
) -> None:
    found = accounts.find(made)
    assert found.login is None
    assert found.reason.startswith("leads to several accounts: ")


@pytest.mark.parametrize(
    "made",
    [
        certificate(NOBODY, [x509.RFC822Name._init_without_validation("alice@example.org\0.evil.example")]),
        certificate(NOBODY, [x509.RFC822Name._init_without_validation("alice\0@example.org")]),
        certificate(NOBODY, [upn("alice\0@corp.example")]),
        certificate(NOBODY, [upn("alice@corp.example\0.evil.example")]),
        certificate(name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.COMMON_NAME, "Alice\0"))),
    ],
)
def test_a_name_with_an_embedded_nul_leads_nowhere(accounts: CertificateMap, made: x509.Certificate) -> None:
    assert accounts.login_for(made) is None


@pytest.mark.parametrize(
    "text",
    [
        "xalice@corp.example",
        "alice@corp.example.evil",
        "alice@evil.corp.example",
        "alice@evil@corp.example",
        "@corp.example",
        "*@corp.example",
        "-alice@corp.example",
        "alice $(id)@corp.example",
        "../alice@corp.example",
        "\u0430lice@corp.example",
        "alice@\u0441orp.example",
        "alice@CORP\u212a.example",
        "alice\u200b@corp.example",
        "alice\n@corp.example",
        "bob.builder@example.org",
        "corp.example",
        "",
    ],
)
def test_a_upn_that_only_looks_like_a_persons_is_not_theirs(accounts: CertificateMap, text: str) -> None:
    assert accounts.login_for(certificate(NOBODY, [upn(text)])) not in ("alice", "bob", "john")
    if text != "xalice@corp.example":
        assert accounts.login_for(certificate(NOBODY, [upn(text)])) is None


@pytest.mark.parametrize(
    "subject",
    [
        name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.COMMON_NAME, "\u0410lice")),
        name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.COMMON_NAME, "alice")),
        name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.COMMON_NAME, "Alice ")),
        name((NameOID.COMMON_NAME, "Alice"), (NameOID.ORGANIZATION_NAME, "Lab")),
        name((NameOID.COMMON_NAME, "Alice")),
        name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.COMMON_NAME, "Alice"), (NameOID.COMMON_NAME, "Alice")),
        name((NameOID.COMMON_NAME, "Alice,O=Lab")),
        name((NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "Alice")),
        x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab"),
                        x509.NameAttribute(NameOID.COMMON_NAME, "Alice"),
                    ]
                )
            ]
        ),
    ],
)
def test_a_subject_that_only_looks_like_a_persons_is_not_theirs(accounts: CertificateMap, subject: x509.Name) -> None:
    assert accounts.login_for(certificate(subject)) is None


def test_a_multi_valued_part_of_a_subject_is_equal_in_any_order(tmp_path: Path) -> None:
    accounts = _read(tmp_path, '[[account]]\nlogin = "alice"\nsubject = "CN=Alice+serialNumber=7,O=Lab"\n')
    parts = [x509.NameAttribute(NameOID.SERIAL_NUMBER, "7"), x509.NameAttribute(NameOID.COMMON_NAME, "Alice")]
    lab = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab")])
    subject = x509.Name([lab, x509.RelativeDistinguishedName(parts)])
    assert accounts.login_for(certificate(subject)) == "alice"


def test_an_address_in_the_subject_does_not_count(accounts: CertificateMap) -> None:
    assert accounts.login_for(certificate(name((NameOID.EMAIL_ADDRESS, "alice@example.org")))) is None


def test_an_address_of_another_kind_does_not_count(accounts: CertificateMap) -> None:
    names = [
        x509.DNSName("alice@example.org"),
        mail("carol@corp.example"),
        x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.9"), utf8_string("alice@example.org")),
        x509.UniformResourceIdentifier("mailto:alice@example.org"),
    ]
    assert accounts.login_for(certificate(NOBODY, names)) is None


@pytest.mark.parametrize(
    "der",
    [
        b"\x0c\x81\x12" + b"carol@corp.example",
        b"\x0c\x12carol@corp.exampl",
        utf8_string("carol@corp.example") + b"x",
        b"\x16\x12carol@corp.example",
        b"\x0c\x83\x00\x00\x12carol@corp.example",
        b"\x0c\x82\x00\x12carol@corp.example",
        b"\x0c\x02\xff\xfe",
        b"\x0c\x80",
        b"\x0c\x00"[:1],
    ],
)
def test_a_upn_that_is_not_one_der_text_leads_nowhere(accounts: CertificateMap, der: bytes) -> None:
    found = accounts.find(certificate(NOBODY, extensions=[(raw_upn(der), False)]))
    assert found.login is None
    assert found.reason.startswith("the certificate cannot be read: ")


def test_a_upn_that_is_one_der_text_is_read(accounts: CertificateMap) -> None:
    made = certificate(NOBODY, extensions=[(raw_upn(utf8_string("carol@corp.example")), False)])
    assert accounts.login_for(made) == "carol"


def test_a_long_upn_is_read(tmp_path: Path) -> None:
    local = "a" * 200
    assert _read(tmp_path).login_for(certificate(NOBODY, [upn(f"{local}@corp.example")])) == local


def test_the_reason_names_what_the_certificate_says_in_ascii(accounts: CertificateMap) -> None:
    found = accounts.find(certificate(NOBODY, [upn("\u0430lice@corp.example\n")]))
    assert "CN=Nobody" in found.reason
    assert found.reason.isascii()
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[account]]\nlogin = "a"\n', r":1: login: nothing leads to 'a'; add a subject, email or upn"),
        ('[[account]]\nemail = "a@b"\n', r":1: account: .*missing required field `login`"),
        ('\n[[account]]\nlogin = "a/b"\nemail = "a@b"\n', r":2: login: 'a/b' is not an account name"),
        ('[[account]]\nlogin = "a"\nmail = "a@b"\n', r":1: account: .*unknown field `mail`"),
        ('[[account]]\nlogin = "a"\nsubject = ""\n', r":1: subject: '' is not a name of RFC 4514.*openssl x509"),
        ('[[account]]\nlogin = "a"\nsubject = "/O=Lab/CN=A"\n', r":1: subject: .*openssl x509"),
        ('[[account]]\nlogin = "a"\nsubject = "XX=1"\n', r":1: subject: .*openssl x509"),
        ('[[account]]\nlogin = "a"\nemail = "*@b"\n', r":1: email: .*patterns go in \[\[rule\]\]"),
        ('[[account]]\nlogin = "a"\nupn = "nobody"\n', r":1: upn: 'nobody' is not one address"),
        ('[[account]]\nlogin = "a"\nupn = 7\n', r":1: upn: Expected `str \| null`, got `int`"),
        (
            '[[account]]\nlogin = "a"\nupn = "x@B"\n[[account]]\nlogin = "b"\nupn = "x@b"\n',
            r":4: upn: 'x@b' stands in the file twice; keep one",
        ),
        (
            '[[account]]\nlogin = "a"\nsubject = "CN=A"\n[[account]]\nlogin = "a"\nsubject = "2.5.4.3=A"\n',
            r":4: subject: .*twice; keep one",
        ),
        ("[[rule]]\n", r':1: rule: write one of email and upn, as upn = "\*@example.org"'),
        ('[[rule]]\nupn = "*@b"\nemail = "*@b"\n', r":1: rule: write one of"),
        ('[[rule]]\nupn = "*"\n', r":1: upn: '\*' is not a star and one domain"),
        ('[[rule]]\nupn = "a*@b"\n', r":1: upn: .*not a star and one domain"),
        ('[[rule]]\nupn = "*@*.b"\n', r":1: upn: .*not a star and one domain"),
        ('[[rule]]\nupn = "*@b"\n\n[[rule]]\nupn = "*@B"\n', r":4: upn: .*twice"),
        ("[[accounts]]\n", r": Object contains unknown field `accounts`.*\[\[account\]\] and \[\[rule\]\]"),
        ("[account\n", r"it must be TOML"),
    ],
)
def test_a_map_that_cannot_be_used_is_refused_with_its_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WrongSettings, match=f"certmap.toml{message}" if message.startswith(":") else message):
        _read(tmp_path, text)


def test_a_map_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"absent\.toml: No such file"):
        CertificateMap.read(tmp_path / "absent.toml")


def test_a_certificate_that_expires_while_it_is_connected_is_no_longer_good() -> None:
    made = certificate()
    assert check(made, BEGIN.timestamp()) is None
    assert check(made, END.timestamp()) is None
    assert check(made, END.timestamp() + 1) == "expired at 2026-01-31 00:00 UTC"
    assert check(made, BEGIN.timestamp() - 1) == "not valid before 2026-01-01 00:00 UTC"
