"""Tokens of one process, and of two that share a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from supercloud.authn import token as module
from supercloud.authn.scope import DAV, JOBS
from supercloud.authn.token import LONGEST, MAX_LOOKING, MAX_NAME, MAX_PER_ACCOUNT, POLL, WRITE, Token, Tokens
from supercloud.authn.token_store import TooManyTokens
from supercloud.errors import Busy
from supercloud.message.authorization import is_token
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload
from tests.fakes.tokens import FakeTokenStore


class Host:
    """Processes that share a store; their clock is also the wall clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.store = FakeTokenStore()
        self.offload = FakeOffload()
        self.processes: list[Tokens] = []

    def process(self) -> Tokens:
        made = Tokens(store=self.store, offload=self.offload, clock=self.clock, now=self.clock.seconds)
        made.start()
        self.processes.append(made)
        return made


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    for process in made.processes:
        run(process.stop())
    assert made.clock.getDelayedCalls() == []


@pytest.fixture
def here(host: Host) -> Tokens:
    return host.process()


def make(tokens: Tokens, *, life: float = 3600.0) -> str:
    text, _ = run(tokens.create(ALICE, (DAV,), life=life, name="laptop"))
    return text


def test_a_token_is_its_owners_for_one_purpose(here: Tokens) -> None:
    token = run(here.verify(make(here)))
    assert token is not None
    assert (token.row.uid, token.row.login, token.scopes, token.row.name) == (1001, "alice", {DAV}, "laptop")


def test_a_token_has_256_random_bits_behind_a_known_prefix(here: Tokens) -> None:
    texts = {make(here) for _ in range(20)}
    assert len(texts) == 20
    assert all(is_token(text) for text in texts)


def test_its_text_is_kept_nowhere(host: Host, here: Tokens) -> None:
    text = make(here)
    run(here.verify(text))
    assert text not in repr(host.store.rows) + repr(here._met)
    [row] = host.store.rows.values()
    assert row.digest == hashlib.sha256(text.encode()).digest()
    assert row.id not in text


@pytest.mark.parametrize("text", ["", "x", "scp_", "scp_" + "0" * 64, "scp_" + "é" * 64, "0" * 100_000])
def test_what_is_no_token_is_nobodys(here: Tokens, text: str) -> None:
    make(here)
    assert run(here.verify(text)) is None


def test_the_id_that_lists_show_opens_nothing(host: Host, here: Tokens) -> None:
    make(here)
    [row] = host.store.rows.values()
    assert run(here.verify(row.id)) is None
    assert run(here.verify("scp_" + row.digest.hex())) is None


def test_a_token_expires_by_the_clock_and_not_when_it_is_next_looked_at(host: Host, here: Tokens) -> None:
    text = make(here, life=60 + POLL / 4)
    token = run(here.verify(text))
    assert token is not None
    host.clock.advance(60)
    assert here.is_live(token)
    host.clock.advance(POLL / 4)
    assert token.ended is None
    assert not here.is_live(token)
    assert run(here.verify(text)) is None


@pytest.mark.parametrize("life", [0.0, 59.0, -1.0, LONGEST + 1, float("inf"), float("nan")])
def test_a_life_that_is_too_short_or_too_long_is_refused(here: Tokens, life: float) -> None:
    with pytest.raises(ValueError, match="a minute to 366 days"):
        make(here, life=life)


@pytest.mark.parametrize("name", ["x" * (MAX_NAME + 1), "a\nb", "\x1b[31m", "a\u202eb"])
def test_a_name_that_would_disturb_a_terminal_is_refused(here: Tokens, name: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        run(here.create(ALICE, (DAV,), life=3600, name=name))


def test_an_account_has_a_hundred_and_no_more(here: Tokens) -> None:
    for _ in range(MAX_PER_ACCOUNT):
        make(here)
    with pytest.raises(TooManyTokens):
        make(here)
    run(here.create(BOB, (JOBS,), life=3600))


def test_a_revoked_token_is_over_here_at_once(here: Tokens) -> None:
    text = make(here)
    token = run(here.verify(text))
    assert token is not None
    heard: list[str] = []
    token.on_end(heard.append)
    assert run(here.revoke(1001, token.row.id))
    assert heard == ["revoked"]
    assert not here.is_live(token)
    assert run(here.verify(text)) is None


def test_a_revoked_token_is_over_in_other_processes_within_two_seconds(host: Host, here: Tokens) -> None:
    there = host.process()
    text = make(here)
    token = run(there.verify(text))
    assert token is not None
    heard: list[str] = []
    token.on_end(heard.append)
    run(here.revoke(1001, token.row.id))
    host.clock.advance(2 * POLL)
    assert heard == ["revoked"]
    assert run(there.verify(text)) is None


def test_what_depends_on_a_token_ends_when_it_expires(host: Host, here: Tokens) -> None:
    token = run(here.verify(make(here, life=60)))
    assert token is not None
    heard: list[str] = []
    token.on_end(heard.append)
    host.clock.pump([POLL] * int(61 / POLL))
    assert heard == ["expired"]
    assert len(here) == 0


def test_nobody_revokes_somebody_elses(here: Tokens) -> None:
    token = run(here.verify(make(here)))
    assert token is not None
    assert not run(here.revoke(1002, token.row.id))
    assert here.is_live(token)


def test_a_token_that_the_store_told_of_while_it_was_revoked_does_not_live_on(host: Host, here: Tokens) -> None:
    """The answer about it was on its way when it was revoked in another process."""
    text = make(here)
    [row] = host.store.rows.values()
    there = host.process()
    found: list[Token | None] = []
    host.offload.hold()
    Deferred.fromCoroutine(there.verify(text)).addCallback(found.append)
    host.store.revoke(1001, row.id)
    host.offload.release()
    [token] = found
    assert token is not None
    host.clock.advance(2 * POLL)
    assert not there.is_live(token)
    assert run(there.verify(text)) is None


def test_last_use_is_written_now_and_then_and_shown_at_once(host: Host, here: Tokens) -> None:
    token = run(here.verify(make(here)))
    assert token is not None
    here.touch(token)
    assert host.store.of_account(1001)[0].last_used == 0.0
    [listed] = run(here.list(1001))
    assert listed.last_used == host.clock.seconds()
    host.clock.advance(WRITE)
    here.touch(token)
    host.clock.advance(WRITE)
    assert host.store.of_account(1001)[0].last_used == host.clock.seconds() - WRITE


def test_memory_is_bounded_and_what_fell_out_is_met_again(here: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MET", 2)
    texts = [make(here) for _ in range(3)]
    first = run(here.verify(texts[0]))
    run(here.verify(texts[1]))
    run(here.verify(texts[0]))
    run(here.verify(texts[2]))
    assert len(here) == 2
    assert first is run(here.verify(texts[0]))
    assert run(here.verify(texts[1])) is not None


def test_a_flood_of_made_up_tokens_leaves_room_in_the_store(host: Host, here: Tokens) -> None:
    known = make(here)
    run(here.verify(known))
    host.offload.hold()
    flood = [Deferred.fromCoroutine(here.verify(f"scp_{n:064x}")) for n in range(MAX_LOOKING)]
    with pytest.raises(Busy):
        run(here.verify("scp_" + "f" * 64))
    assert run(here.verify(known)) is not None
    host.offload.release()
    assert [one.result for one in flood] == [None] * MAX_LOOKING
    assert run(here.verify("scp_" + "f" * 64)) is None


def test_who_leaves_during_a_look_up_makes_no_room_for_another_before_it_is_over(host: Host, here: Tokens) -> None:
    host.offload.hold()
    for n in range(MAX_LOOKING):
        asking = Deferred.fromCoroutine(here.verify(f"scp_{n:064x}"))
        asking.addErrback(lambda failure: failure.trap(CancelledError))
        asking.cancel()
    with pytest.raises(Busy):
        run(here.verify("scp_" + "f" * 64))
    host.offload.release()
    assert run(here.verify("scp_" + "f" * 64)) is None


def test_a_look_up_that_fails_gives_its_place_back(host: Host, here: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: bytes) -> None:
        raise OSError("no disk")

    with monkeypatch.context() as patched:
        patched.setattr(host.store, "find", fails)
        for _ in range(MAX_LOOKING + 1):
            with pytest.raises(OSError, match="no disk"):
                run(here.verify("scp_" + "f" * 64))
    assert run(here.verify("scp_" + "f" * 64)) is None


def test_what_memory_forgets_ends_there_and_is_found_again_in_the_store(here: Tokens) -> None:
    text = make(here)
    token = run(here.verify(text))
    assert token is not None
    here.forget(BOB.uid, "the account is locked")
    assert token.ended is None
    here.forget(ALICE.uid, "the account is locked")
    assert token.ended == "the account is locked"
    again = run(here.verify(text))
    assert again is not None
    assert again is not token
