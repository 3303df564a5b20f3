"""Client certificates: whose account one belongs to, and whether it is still good while a connection lives.

The map is a TOML file. An account is named by any of three things that a certificate says; several tables may name the
same account::

    [[account]]
    login = "alice"
    subject = "CN=Alice,O=Lab"       # RFC 4514, as `openssl x509 -noout -subject -nameopt RFC2253` prints it
    email = "alice@example.org"      # subjectAltName rfc822Name; an address in the subject does not count
    upn = "alice@example.org"        # subjectAltName otherName 1.3.6.1.4.1.311.20.2.3 (Microsoft's user principal name)

    [[rule]]                         # what stands for the star is the login; either email or upn
    upn = "*@example.org"

Parsed values are compared for equality, characters as they are; only a domain's A to Z are a to z (RFC 5280 section
7.5). An account's own entry goes before a rule for the same value. When what a certificate says leads to more than one
account, it leads to none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from supercloud.config import WrongSettings

UPN: Final = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")

# Stricter than identity's: a rule's login comes from a certificate, so nothing that some other program may read twice.
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PRINTED = re.compile(r"[^\x00-\x1f\x7f]+")
# Names that OpenSSL prints and RFC 4514 has no short form for.
_NAMES = {
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "GN": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
    "title": NameOID.TITLE,
}
_LOWER = str.maketrans({code: code + 32 for code in range(ord("A"), ord("Z") + 1)})
_PLACE = re.compile(r"(.*?) - at `\$\.(account|rule)\[(\d+)\]\.?(.*)`", re.DOTALL)


class _Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    login: str
    subject: str | None = None
    email: str | None = None
    upn: str | None = None


class _Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    email: str | None = None
    upn: str | None = None


class _Map(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account: tuple[_Account, ...] = ()
    rule: tuple[_Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What the map says of a certificate.

    :ivar login: None when it leads to no account, or to more than one.
    :ivar reason: for the log; holds what the certificate says.
    """

    login: str | None
    reason: str


@dataclass(slots=True)
class CertificateMap:
    """Account names by what certificates say."""

    _subjects: dict[x509.Name, str] = field(default_factory=dict)
    _mails: dict[tuple[str, str], str] = field(default_factory=dict)
    _domains: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> CertificateMap:
        """Read a map; blocks.

        :raises WrongSettings: names the file, the line of the table, the key, what is wrong and what would be right.
        """
        try:
            text = path.read_text("utf-8")
            tables = msgspec.toml.decode(text, type=_Map)
        except OSError as error:
            raise WrongSettings(f"{path}: {error.strerror}; name a certificate map that can be read") from None
        except msgspec.ValidationError as error:
            raise WrongSettings(_explain(path, text, str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WrongSettings(f"{path}: {error}; it must be TOML in UTF-8") from None
        made = cls()
        for kind, number, key, wrong in made._fill(tables):
            raise WrongSettings(f"{path}:{_line(text, kind, number)}: {key}: {wrong}")
        return made

    def login_for(self, certificate: x509.Certificate) -> str | None:
        """The account's name, None without one; `find` gives the reason too. Never raises."""
        return self.find(certificate).login

    def find(self, certificate: x509.Certificate) -> Finding:
        """The account's name with the reason; never raises, whatever an authority signed."""
        try:
            said = list(_identities(certificate))
        # What cryptography raises for contents that it cannot read differs with the content and its own version.
        except Exception as error:
            return Finding(None, f"the certificate cannot be read: {error}")
        found: dict[str, list[str]] = {}
        for kind, value in said:
            login = self._look_up(kind, value)
            if login is not None:
                found.setdefault(login, []).append(f"{kind} {_show(value)}")
        if len(found) == 1:
            [(login, grounds)] = found.items()
            return Finding(login, ", ".join(grounds))
        if found:
            return Finding(None, f"leads to several accounts: {', '.join(sorted(found))}")
        return Finding(None, "no account for " + ", ".join(f"{kind} {_show(value)}" for kind, value in said[:5]))

    def _look_up(self, kind: str, value: x509.Name | str) -> str | None:
        if isinstance(value, x509.Name):
            return self._subjects.get(value)
        split = _split(value)
        if split is None:
            return None
        local, domain = split
        login = self._mails.get((kind, f"{local}@{domain}"))
        if login is None and (kind, domain) in self._domains and _LOGIN.fullmatch(local):
            return local
        return login

    def _fill(self, tables: _Map) -> Iterator[tuple[str, int, str, str]]:
        """Take in what was read; yields (kind of table, its number, key, what is wrong)."""
        for number, account in enumerate(tables.account):
            for key, wrong in self._add_account(account):
                yield "account", number, key, wrong
        for number, rule in enumerate(tables.rule):
            for key, wrong in self._add_rule(rule):
                yield "rule", number, key, wrong

    def _add_account(self, account: _Account) -> Iterator[tuple[str, str]]:
        if not _LOGIN.fullmatch(account.login):
            yield "login", f"{account.login!r} is not an account name"
        if account.subject is None and account.email is None and account.upn is None:
            yield "login", f"nothing leads to {account.login!r}; add a subject, email or upn"
        if account.subject is not None:
            try:
                name = x509.Name.from_rfc4514_string(account.subject, _NAMES)
            except (ValueError, LookupError):
                name = x509.Name([])
            if not list(name):
                yield (
                    "subject",
                    f'{account.subject!r} is not a name of RFC 4514, as "CN=Alice,O=Lab"; '
                    "openssl x509 -noout -subject -nameopt RFC2253 prints a certificate's",
                )
            elif name in self._subjects:
                yield "subject", f"{account.subject!r} stands in the file twice; keep one"
            self._subjects[name] = account.login
        for kind, value in (("email", account.email), ("upn", account.upn)):
            if value is None:
                continue
            split = _split(value)
            if split is None or "*" in value:
                yield kind, f'{value!r} is not one address, as "alice@example.org"; patterns go in [[rule]]'
                continue
            address = (kind, "@".join(split))
            if address in self._mails:
                yield kind, f"{value!r} stands in the file twice; keep one"
            self._mails[address] = account.login

    def _add_rule(self, rule: _Rule) -> Iterator[tuple[str, str]]:
        given = [(kind, value) for kind, value in (("email", rule.email), ("upn", rule.upn)) if value is not None]
        if len(given) != 1:
            yield "rule", 'write one of email and upn, as upn = "*@example.org"'
            return
        [(kind, value)] = given
        star, _, domain = value.partition("@")
        if star != "*" or not _DOMAIN.fullmatch(domain):
            yield kind, f'{value!r} is not a star and one domain, as "*@example.org"'
        elif (kind, domain.translate(_LOWER)) in self._domains:
            yield kind, f"{value!r} stands in the file twice; keep one"
        self._domains.add((kind, domain.translate(_LOWER)))


def check(certificate: x509.Certificate, now: float) -> str | None:
    """Why a certificate is not good at this time (Unix seconds), None if it is: a connection may outlive it."""
    if now < certificate.not_valid_before_utc.timestamp():
        return f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if now > certificate.not_valid_after_utc.timestamp():
        return f"expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _identities(certificate: x509.Certificate) -> Iterator[tuple[str, x509.Name | str]]:
    yield "subject", certificate.subject
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for mail in names.get_values_for_type(x509.RFC822Name):
        yield "email", mail
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id == UPN:
            yield "upn", _utf8_string(other.value)


def _utf8_string(der: bytes) -> str:
    """The text of one DER UTF8String and nothing after it (X.690 section 8.1.3).

    :raises ValueError: for anything else.
    """
    if len(der) < 2 or der[0] != 0x0C:
        raise ValueError("a UPN that is not a UTF8String")
    if der[1] < 0x80:
        length, begin = der[1], 2
    else:
        begin = 2 + (der[1] & 0x7F)
        length = int.from_bytes(der[2:begin], "big")
        if length < 0x80 or der[2] == 0 or begin > 4:
            raise ValueError("a UPN whose length is not DER")
    if len(der) != begin + length:
        raise ValueError("a UPN with another length than it says")
    return der[begin:].decode("utf-8")


def _split(value: str) -> tuple[str, str] | None:
    """Local part, and domain in lower case; None for what is not one address."""
    local, at, domain = value.rpartition("@")
    if not at or "@" in local or not _PRINTED.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        return None
    return local, domain.translate(_LOWER)


def _show(value: x509.Name | str) -> str:
    return ascii(value.rfc4514_string() if isinstance(value, x509.Name) else value)[:300]


def _explain(path: Path, text: str, error: str) -> str:
    place = _PLACE.fullmatch(error)
    if place is None:
        return f"{path}: {error}; the tables are [[account]] and [[rule]]"
    what, kind, number, key = place.groups()
    return f"{path}:{_line(text, kind, int(number))}: {key or kind}: {what}"


def _line(text: str, kind: str, number: int) -> int:
    """Line of the nth table of a kind; for messages, so a heading inside a text is not worth a parser."""
    headings = list(re.finditer(rf"^[ \t]*\[\[[ \t]*{kind}[ \t]*\]\]", text, re.MULTILINE))
    return text.count("\n", 0, headings[number].start()) + 1 if number < len(headings) else 1
