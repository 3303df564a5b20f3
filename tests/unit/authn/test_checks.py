"""Whose password is checked next: wrong ones keep a check busy for seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from supercloud.authn.checks import OF_KNOWN, OF_ONE_ADDRESS, OF_STRANGERS, WAITING, Checks
from supercloud.errors import Busy

EVIL, WORSE, HOME = "198.51.100.1", "203.0.113.9", "192.0.2.7"
BROWSER = b"0123456789abcdef"


class Pam:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.checks = Checks()
        self.asked: list[str] = []
        self._running: list[tuple[str, Deferred[str]]] = []

    def start(self, account: str, address: str, known: bytes = b"") -> Deferred[str]:
        async def check() -> str:
            self.asked.append(account)
            answered: Deferred[str] = Deferred()
            self._running.append((account, answered))
            return await answered

        return Deferred.fromCoroutine(self.checks.run(check, address=address, account=account, known=known))

    def answer(self) -> str:
        """The one that has run for longest."""
        account, answered = self._running.pop(0)
        answered.callback(f"{account} checked")
        return account

    @property
    def running(self) -> int:
        return len(self._running)


@pytest.fixture
def pam() -> Iterator[Pam]:
    made = Pam()
    yield made
    while made.running:
        made.answer()


def test_one_address_does_not_take_all_checks(pam: Pam) -> None:
    for n in range(50):
        pam.start(f"account{n}", EVIL)
    assert pam.running == OF_ONE_ADDRESS
    pam.start("alice", HOME)
    assert pam.asked[-1] == "alice"


def test_addresses_take_turns(pam: Pam) -> None:
    for address in (EVIL, WORSE):
        for n in range(20):
            pam.start(f"account{n}", address)
    assert pam.running == OF_STRANGERS
    pam.start("alice", HOME)
    for _ in range(3):
        pam.answer()
    assert pam.asked[-1] == "alice"


def test_accounts_at_one_address_take_turns(pam: Pam) -> None:
    for _ in range(50):
        pam.start("mallory", EVIL)
    pam.start("alice", EVIL)
    pam.answer()
    pam.answer()
    assert pam.asked[-1] == "alice"


def test_a_known_browser_has_places_that_no_stranger_takes(pam: Pam) -> None:
    for n in range(50):
        pam.start(f"account{n}", EVIL)
        pam.start(f"account{n}", WORSE)
    assert pam.running == OF_STRANGERS
    pam.start("alice", EVIL, BROWSER)
    assert pam.asked[-1] == "alice"


def test_a_stolen_cookie_takes_one_place_of_them(pam: Pam) -> None:
    for n in range(50):
        pam.start(f"account{n}", EVIL)
        pam.start(f"account{n}", WORSE)
        pam.start("mallory", EVIL, b"%016d" % n)
    assert pam.running == OF_STRANGERS + 1
    assert OF_KNOWN > 1
    pam.start("alice", EVIL, BROWSER)
    assert pam.asked[-1] == "alice"


def test_a_known_browser_never_waits_among_the_strangers_of_its_address(pam: Pam) -> None:
    for n in range(50):
        pam.start(f"account{n}", EVIL)
    for n in range(OF_KNOWN):
        pam.start(f"known{n}", HOME, b"%016d" % n)
    pam.start("alice", EVIL, BROWSER)
    while "alice" not in pam.asked:
        assert pam.answer() not in [f"account{n}" for n in range(OF_ONE_ADDRESS + 1, 50)]
    assert len(pam.asked) <= 2 * OF_ONE_ADDRESS + OF_KNOWN + 1


def test_known_browsers_take_strangers_places_while_there_are_any(pam: Pam) -> None:
    for n in range(OF_KNOWN + 3):
        pam.start(f"account{n}", f"192.0.2.{n}", b"%016d" % n)
    assert pam.running == OF_KNOWN + 3


def test_so_many_wait_at_one_address_and_one_more_is_told_why(pam: Pam) -> None:
    for n in range(OF_ONE_ADDRESS + WAITING):
        pam.start(f"account{n}", EVIL)
    one_more = pam.start("one-more", EVIL)
    refused = one_more.result
    one_more.addErrback(lambda _: None)
    assert refused.type is Busy
    assert "your network address" in refused.value.public
    assert not pam.start("alice", HOME).called
    assert pam.asked[-1] == "alice"


def test_a_check_that_fails_gives_its_place_back(pam: Pam) -> None:
    async def breaks() -> str:
        raise OSError("no monitor")

    for _ in range(OF_STRANGERS + 1):
        failed = Deferred.fromCoroutine(pam.checks.run(breaks, address=HOME, account="alice", known=b""))
        assert failed.result.type is OSError
        failed.addErrback(lambda _: None)


def test_the_answer_is_whose_check_it_was(pam: Pam) -> None:
    done = pam.start("alice", HOME)
    pam.answer()
    assert done.result == "alice checked"


def test_hundreds_of_checks_that_are_over_at_once_leave_all_places_free(pam: Pam) -> None:
    """As of empty passwords, about which nobody is asked: from many addresses, behind slow ones."""

    async def refused() -> str:
        return "bad"

    for n in range(OF_STRANGERS):
        pam.start("slow", f"203.0.113.{n}")
    waiting = [
        Deferred.fromCoroutine(pam.checks.run(refused, address=f"2001:db8:0:{n:x}::1", account="bob", known=b""))
        for n in range(600)
    ]
    pam.answer()
    assert [one.called for one in waiting] == [True] * 600
    while pam.running:
        pam.answer()
    for n in range(OF_STRANGERS):
        pam.start("alice", f"192.0.2.{n}")
    assert pam.running == OF_STRANGERS
