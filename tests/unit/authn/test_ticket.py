"""Tickets: one use, one browser, one origin, one minute."""

from __future__ import annotations

from typing import Any

import pytest

from supercloud.authn.seal import Sealer
from supercloud.authn.session import Session
from supercloud.authn.ticket import LIFE, NONCE_LIFE, Flaw, Redeemed, Tickets, hash_nonce
from supercloud.errors import BadAddress
from tests.fakes.awaiting import run
from tests.unit.authn.conftest import ALICE, BOB, Portal, Process

ORIGIN = "node1-8888.fh.portal.test"


def _any_time(now: float = 1e9) -> Tickets:
    """Of the same site, at some time."""
    nothing: Any = None
    return Tickets(sealer=Sealer([Portal.key]), sessions=nothing, store=nothing, offload=nothing, now=lambda: now)


NONCE = _any_time().make_nonce(ORIGIN)


@pytest.fixture
def session(here: Process) -> Session:
    return run(here.sessions.open(ALICE, scheme="link", address="192.0.2.1"))


def _issue(process: Process, session: Session, nonce: str = NONCE, owner: int = 1001) -> str:
    return process.tickets.issue(session, origin=ORIGIN, owner=owner, nonce_hash=hash_nonce(nonce))


def _redeem(process: Process, ticket: str, *, origin: str = ORIGIN, nonce: str = NONCE) -> Redeemed | Flaw:
    return run(process.tickets.redeem(ticket, origin=origin, nonce=nonce))


def test_a_ticket_carries_the_session_and_the_owner(here: Process, session: Session) -> None:
    assert _redeem(here, _issue(here, session, owner=1002)) == Redeemed(session, ORIGIN, 1002)


def test_a_replayed_ticket_is_refused(here: Process, session: Session) -> None:
    ticket = _issue(here, session)
    _redeem(here, ticket)
    assert _redeem(here, ticket) is Flaw.REPLAYED


def test_a_ticket_that_one_process_took_is_refused_by_the_others(
    portal: Portal, here: Process, session: Session
) -> None:
    ticket = _issue(here, session)
    there = portal.process()
    assert isinstance(_redeem(there, ticket), Redeemed)
    assert _redeem(here, ticket) is Flaw.REPLAYED


def test_a_ticket_is_good_until_its_minute_is_over(here: Process, session: Session) -> None:
    early, late = _issue(here, session), _issue(here, session)
    here.clock.advance(LIFE - 1)
    assert isinstance(_redeem(here, early), Redeemed)
    here.clock.advance(1)
    assert _redeem(here, late) is Flaw.LATE


def test_a_ticket_is_refused_on_another_origin(here: Process, session: Session) -> None:
    assert _redeem(here, _issue(here, session), origin="node1-8889.fh.portal.test") is Flaw.OTHER_ORIGIN


def test_alices_ticket_is_refused_in_bobs_browser(here: Process, session: Session) -> None:
    assert _redeem(here, _issue(here, session), nonce=_any_time().make_nonce(ORIGIN)) is Flaw.OTHER_NONCE


def test_a_ticket_in_a_browser_without_a_nonce_is_refused(here: Process, session: Session) -> None:
    assert _redeem(here, _issue(here, session), nonce="") is Flaw.OTHER_NONCE


def test_the_hash_that_the_address_shows_is_not_the_nonce(here: Process, session: Session) -> None:
    assert _redeem(here, _issue(here, session), nonce=hash_nonce(NONCE)) is Flaw.OTHER_NONCE


def test_a_thief_without_the_nonce_does_not_use_a_ticket_up(here: Process, session: Session) -> None:
    ticket = _issue(here, session)
    _redeem(here, ticket, nonce="stolen")
    _redeem(here, ticket, origin="other.fh.portal.test")
    assert isinstance(_redeem(here, ticket), Redeemed)


def test_a_cookie_is_not_a_ticket(here: Process, session: Session) -> None:
    assert _redeem(here, here.sessions.cookie(session, origin=ORIGIN, owner=1001)) is Flaw.FORGED


@pytest.mark.parametrize("text", ["", "x", ".", "\ud800", "\x00" * 50, "x" * 9000])
def test_a_forged_ticket_is_refused(here: Process, text: str) -> None:
    assert _redeem(here, text) is Flaw.FORGED


def test_a_truncated_ticket_is_refused(here: Process, session: Session) -> None:
    assert _redeem(here, _issue(here, session)[:-1]) is Flaw.FORGED


def test_a_ticket_of_a_session_that_ended_is_refused(here: Process, session: Session) -> None:
    ticket = _issue(here, session)
    run(here.sessions.end(session.id, "logout"))
    assert _redeem(here, ticket) is Flaw.SESSION_OVER


def test_a_ticket_whose_session_ends_while_it_is_redeemed_is_refused(
    here: Process, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def use(ticket: str, ends: float) -> bool:
        session.end("logout")
        return True

    monkeypatch.setattr(here.store, "use_ticket", use)
    assert _redeem(here, _issue(here, session)) is Flaw.SESSION_OVER


def test_a_ticket_names_the_account_too(here: Process, session: Session) -> None:
    his = run(here.sessions.open(BOB, scheme="link", address="192.0.2.2"))
    ticket = _issue(here, his)
    his.uid = 1001
    assert _redeem(here, ticket) is Flaw.SESSION_OVER


@pytest.mark.parametrize("given", ["", "a" * 42, "a" * 44, "=" * 43, "a" * 42 + "\n", "b" * 43 + "x"])
def test_an_address_without_a_nonce_hash_gets_no_ticket(here: Process, session: Session, given: str) -> None:
    with pytest.raises(BadAddress):
        here.tickets.issue(session, origin=ORIGIN, owner=1001, nonce_hash=given)


def test_nonces_are_long_and_never_the_same() -> None:
    assert len({_any_time().make_nonce(ORIGIN) for _ in range(20)}) == 20


def test_a_nonce_is_one_origins_for_some_minutes() -> None:
    tickets = _any_time(1000.0)
    made = tickets.make_nonce(ORIGIN)
    assert tickets.is_nonce(made, ORIGIN)
    assert not tickets.is_nonce(made, "other.test")
    assert not _any_time(1000.0 + NONCE_LIFE).is_nonce(made, ORIGIN)
    assert not any(tickets.is_nonce(text, ORIGIN) for text in ("", "n" * 43, made[:-1], f"{made}x"))


def test_a_ticket_for_a_nonce_that_was_not_made_here_is_refused(here: Process, session: Session) -> None:
    """A page can plant a cookie, and know the hash of what it planted."""
    for planted in ("n" * 43, _any_time().make_nonce("other.test"), _any_time(-1e9).make_nonce(ORIGIN)):
        assert _redeem(here, _issue(here, session, planted), nonce=planted) is Flaw.OTHER_NONCE


def test_a_mark_of_a_viewer_is_one_accounts_on_one_origin() -> None:
    tickets = _any_time()
    made = tickets.make_viewer_mark(ORIGIN, 1001)
    assert tickets.is_viewer_mark(made, ORIGIN, 1001)
    assert not tickets.is_viewer_mark(made, ORIGIN, 1002)
    assert not tickets.is_viewer_mark(made, "other.test", 1001)
    assert not tickets.is_viewer_mark("1001", ORIGIN, 1001)
    assert not tickets.is_viewer_mark(tickets.make_nonce(ORIGIN), ORIGIN, 1001)


def test_any_text_has_a_hash() -> None:
    assert hash_nonce("\ud800\x00") != hash_nonce("")
