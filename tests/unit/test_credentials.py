"""What a portal takes beside sessions follows from its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from supercloud.authn.scope import DAV
from supercloud.authn.throttle import Throttle
from supercloud.config import Authn
from supercloud.credentials import FILE, Credentials
from supercloud.desk.token_wire import ListTokens
from supercloud.events import Acts, Audit
from tests.fakes.accounts import ALICE, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload
from tests.fakes.passwords import FakePasswordCheck

Make = Callable[..., Credentials]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    clock = Clock()
    clock.advance(1_000_000.0)
    accounts: Any = FakeAccounts()
    made: list[Credentials] = []

    def make(*schemes: str, has_monitor: bool = True) -> Credentials:
        made.append(
            Credentials(
                Authn(schemes=("session", *schemes)),
                check=FakePasswordCheck() if has_monitor else None,
                accounts=accounts,
                throttle=Throttle(clock),
                state=tmp_path,
                storage=FakeOffload(),
                acts=Acts(Audit(clock, lambda _lines: None), clock.seconds),
                clock=clock,
                now=clock.seconds,
            )
        )
        return made[-1]

    yield make
    for one in made:
        run(one.stop())
    assert clock.getDelayedCalls() == []


def test_nothing_is_taken_that_the_settings_do_not_name(make: Make, tmp_path: Path) -> None:
    made = make()
    assert (made.passwords, made.tokens, made.programs, made.handlers) == (None, None, None, {})
    assert list(tmp_path.iterdir()) == []


def test_passwords_need_somebody_who_checks_them(make: Make) -> None:
    assert make("password").programs is not None
    made = make("password", has_monitor=False)
    assert (made.passwords, made.programs) == (None, None)


def test_tokens_need_no_monitor_and_have_a_file_of_their_own(make: Make, tmp_path: Path) -> None:
    made = make("token", has_monitor=False)
    assert made.tokens is not None
    text, _ = run(made.tokens.create(ALICE, DAV, life=3600.0))
    assert run(made.tokens.verify(text)) is not None
    assert ListTokens in made.handlers
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_token_that_one_process_made_is_taken_by_another(make: Make) -> None:
    first, second = make("token").tokens, make("token").tokens
    assert first is not None
    assert second is not None
    text, _ = run(first.create(ALICE, DAV, life=3600.0))
    assert run(second.verify(text)) is not None


def test_what_memory_has_of_an_account_can_be_ended(make: Make) -> None:
    made = make("token", "password")
    assert made.tokens is not None
    assert made.passwords is not None
    text, _ = run(made.tokens.create(ALICE, DAV, life=3600.0))
    token, password = run(made.tokens.verify(text)), run(made.passwords.verify("alice", "alice-secret", "::1"))
    assert token is not None
    made.forget(ALICE.uid, "locked")
    assert (token.ended, password.ended) == ("locked", "locked")
    make().forget(ALICE.uid, "locked")
