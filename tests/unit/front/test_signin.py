"""The ways to sign in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

from supercloud.authn.link import Links
from supercloud.authn.session import Session
from supercloud.config import CertificateScheme, WrongSettings
from supercloud.errors import NotAuthenticated
from supercloud.front.signin import Book, CertificateSignIn, LinkSignIn, SignIn
from supercloud.identity import Principal
from tests.fakes.accounts import ALICE, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.portal import Browser, FakePortal
from tests.unit.authn.certificates import BEGIN, END, authority, certificate, revocation_list

NOW = BEGIN.timestamp() + 86400
MAP = '[[account]]\nlogin = "alice"\nsubject = "CN=Alice,O=Lab"\n'


class Connection:
    """A TLS connection's transport, as `peer_certificate` sees it; also the exchange that goes over it."""

    def __init__(self, shown: x509.Certificate | None) -> None:
        self._shown = shown

    @property
    def transport(self) -> Connection:
        return self

    def getHandle(self) -> Connection:
        return self

    def get_peer_certificate(self) -> crypto.X509 | None:
        return None if self._shown is None else crypto.X509.from_cryptography(self._shown)


class Terminal:
    """Where links are printed."""

    def __init__(self, accounts: FakeAccounts) -> None:
        self.links = Links(1001, now=lambda: NOW)
        self.printed: list[str] = [self.links.make()]
        self.way = LinkSignIn(self.links, accounts, lambda: self.printed.append(self.links.make()))

    def sign_in(self, link: str) -> Principal:
        exchange: Any = None
        return run(self.way.sign_in(exchange, {"link": link}))


@pytest.fixture
def accounts() -> FakeAccounts:
    return FakeAccounts()


@pytest.fixture
def terminal(accounts: FakeAccounts) -> Terminal:
    return Terminal(accounts)


def test_a_link_is_tried_where_the_query_holds_one(terminal: Terminal) -> None:
    exchange: Any = None
    assert terminal.way.is_tried(exchange, {"link": ""})
    assert not terminal.way.is_tried(exchange, {"next": "/"})


def test_a_link_signs_in_its_account_and_the_next_one_is_printed(terminal: Terminal) -> None:
    assert terminal.sign_in(terminal.printed[0]) == ALICE
    assert len(terminal.printed) == 2
    assert terminal.sign_in(terminal.printed[1]) == ALICE


def test_a_link_replayed_is_refused(terminal: Terminal) -> None:
    terminal.sign_in(terminal.printed[0])
    with pytest.raises(NotAuthenticated) as caught:
        terminal.sign_in(terminal.printed[0])
    assert caught.value.public == "This link was used already, or is an old one. The terminal shows a new one."


def test_a_guessed_link_is_refused_and_does_not_use_up_the_good_one(terminal: Terminal) -> None:
    with pytest.raises(NotAuthenticated, match="link refused"):
        terminal.sign_in("guess")
    assert len(terminal.printed) == 1
    assert terminal.sign_in(terminal.printed[0]) == ALICE


def test_a_link_of_an_account_that_is_gone_signs_nobody_in(terminal: Terminal, accounts: FakeAccounts) -> None:
    accounts.known.clear()
    with pytest.raises(NotAuthenticated, match="no account 1001") as caught:
        terminal.sign_in(terminal.printed[0])
    assert "1001" not in caught.value.public


class Site:
    """A site's files about certificates."""

    def __init__(self, folder: Path) -> None:
        self.map, self.ca, self.crl = folder / "map.toml", folder / "ca.pem", folder / "crl.pem"
        self.map.write_text(MAP)
        self.ca.write_bytes(authority().public_bytes(Encoding.PEM))
        self.revoke()

    def revoke(self, *serials: int) -> None:
        self.crl.write_bytes(revocation_list(*serials).public_bytes(Encoding.PEM))

    def scheme(self, *, has_crl: bool = True) -> CertificateScheme:
        return CertificateScheme(ca=str(self.ca), crl=str(self.crl) if has_crl else "", map=str(self.map))

    def way(self, accounts: FakeAccounts, *, has_crl: bool = True, now: float = NOW) -> CertificateSignIn:
        return CertificateSignIn(self.scheme(has_crl=has_crl), accounts, now=lambda: now)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def sign_in(way: SignIn, shown: x509.Certificate | None) -> Principal:
    exchange: Any = Connection(shown)
    return run(way.sign_in(exchange, {}))


def test_a_certificate_is_tried_where_the_handshake_had_one(site: Site, accounts: FakeAccounts) -> None:
    way = site.way(accounts)
    with_one: Any = Connection(certificate())
    without: Any = Connection(None)
    assert way.is_tried(with_one, {})
    assert not way.is_tried(without, {})


@pytest.mark.parametrize("has_crl", [True, False])
def test_a_certificate_signs_in_the_account_of_the_map(site: Site, accounts: FakeAccounts, has_crl: bool) -> None:
    assert sign_in(site.way(accounts, has_crl=has_crl), certificate()) == ALICE


def test_without_a_certificate_nobody_is_signed_in(site: Site, accounts: FakeAccounts) -> None:
    with pytest.raises(NotAuthenticated, match="no certificate"):
        sign_in(site.way(accounts), None)


def test_a_certificate_of_nobody_here_is_told_its_subject_and_nothing_else(site: Site, accounts: FakeAccounts) -> None:
    site.map.write_text(MAP.replace("CN=Alice", "CN=Other"))
    with pytest.raises(NotAuthenticated, match="no account for subject") as caught:
        sign_in(site.way(accounts), certificate())
    assert caught.value.public.endswith("administrators: CN=Alice,O=Lab")


def test_an_account_of_the_map_that_does_not_exist_looks_like_none_in_the_map(
    site: Site, accounts: FakeAccounts
) -> None:
    accounts.known.clear()
    with pytest.raises(NotAuthenticated, match="no account 'alice'") as caught:
        sign_in(site.way(accounts), certificate())
    assert caught.value.public.endswith("administrators: CN=Alice,O=Lab")


@pytest.mark.parametrize("now", [BEGIN.timestamp() - 1, END.timestamp() + 1])
def test_a_certificate_out_of_its_time_is_refused_on_a_connection_that_lives(
    site: Site, accounts: FakeAccounts, now: float
) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        sign_in(site.way(accounts, has_crl=False, now=now), certificate())
    assert caught.value.public == "Your certificate is no longer valid. Renew it, then try again."
    assert caught.value.claimed == "alice"


def test_a_certificate_revoked_since_the_handshake_is_refused_after_a_reload(
    site: Site, accounts: FakeAccounts
) -> None:
    way = site.way(accounts)
    assert sign_in(way, certificate()) == ALICE
    site.revoke(1000)
    assert way.reload() is None
    with pytest.raises(NotAuthenticated, match="was revoked"):
        sign_in(way, certificate())


def test_wrong_files_come_back_and_the_old_ones_stay(site: Site, accounts: FakeAccounts) -> None:
    way = site.way(accounts)
    site.map.write_text("[[account]]\nlogin = 7\n")
    assert isinstance(way.reload(), WrongSettings)
    assert sign_in(way, certificate()) == ALICE


@pytest.mark.parametrize("missing", ["map", "crl", "ca"])
def test_a_file_that_is_missing_is_named(site: Site, missing: str) -> None:
    getattr(site, missing).unlink()
    with pytest.raises(WrongSettings, match=f"{missing}[.]"):
        Book.read(site.scheme())


def login(browser: Browser, query: bytes) -> None:
    browser.send(b"GET /login?" + query + b" HTTP/1.1\r\nHost: portal.test\r\nAccept: text/html\r\n\r\n")


def test_a_link_leads_through_the_site_to_a_session_and_only_once() -> None:
    terminal = Terminal(FakeAccounts())
    portal = FakePortal(ways=(terminal.way,))
    query = b"link=" + terminal.printed[0].encode() + b"&next=/tree"
    browser = portal.browser()
    login(browser, query)
    assert (browser.status, browser.field(b"Location")) == (303, b"https://portal.test/tree")
    assert browser.field(b"Set-Cookie")
    again = portal.browser()
    login(again, query)
    assert again.field(b"Set-Cookie") is None
    assert b"This link was used already" in again.received


def session_by(shown: x509.Certificate, login: str = "alice") -> Session:
    return Session("one", 1001, login, "certificate", "::1", 0.0, 9e9, 0.0, 0.0, shown.public_bytes(Encoding.DER))


def test_a_session_knows_the_certificate_that_it_was_opened_by(site: Site, accounts: FakeAccounts) -> None:
    shown = certificate()
    exchange: Any = Connection(shown)
    assert site.way(accounts).certificate(exchange) == shown.public_bytes(Encoding.DER)
    nobody: Any = Connection(None)
    assert site.way(accounts).certificate(nobody) == b""


def test_a_certificate_that_is_good_still_carries_its_session(site: Site, accounts: FakeAccounts) -> None:
    assert site.way(accounts).doubt(session_by(certificate())) is None


def test_a_certificate_that_was_revoked_since_carries_no_session(site: Site, accounts: FakeAccounts) -> None:
    way, session = site.way(accounts), session_by(certificate())
    site.revoke(certificate().serial_number)
    assert way.doubt(session) is None, "the list is read when the portal is told so"
    assert way.reload() is None
    assert way.doubt(session) == "the certificate is no longer valid"


def test_a_certificate_that_expired_since_carries_no_session(site: Site, accounts: FakeAccounts) -> None:
    way = site.way(accounts, has_crl=False, now=certificate().not_valid_after_utc.timestamp() + 1)
    assert way.doubt(session_by(certificate())) == "the certificate is no longer valid"


def test_a_certificate_that_the_map_gives_to_somebody_else_carries_no_session(
    site: Site, accounts: FakeAccounts
) -> None:
    way, session = site.way(accounts), session_by(certificate())
    for other in ("", MAP.replace("alice", "bob", 1)):
        site.map.write_text(other)
        assert way.reload() is None
        assert way.doubt(session) == "the certificate is no account's"


def test_a_link_carries_its_session_to_the_end(terminal: Terminal) -> None:
    exchange: Any = None
    assert terminal.way.certificate(exchange) == b""
    assert terminal.way.doubt(session_by(certificate())) is None
