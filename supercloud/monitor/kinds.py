"""The children that answer for the monitor, by what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from supercloud.monitor.accounts import NOLOGIN, AccountCheck, read_state
from supercloud.monitor.children import Children, Kind
from supercloud.monitor.forwards import ForwardFolder, ForwardReaders
from supercloud.monitor.holders import Holders
from supercloud.monitor.loop import Loop
from supercloud.monitor.passwords import PasswordCheck, check_password
from supercloud.monitor.wire import (
    AccountRead,
    CheckPassword,
    HoldersRead,
    PasswordChecked,
    ReadAccount,
    ReadHolders,
    Task,
)

# Questions that a child answers before another one takes its place: what PAM's modules and NSS leave behind in it does
# not grow for ever, as in any server that asks them.
_USES: Final = 1000


class PamService(PasswordCheck, AccountCheck, Protocol):
    """Both questions to PAM; see monitor.pam."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for an answer, how many children at once, how many more questions may wait.

    :ivar forward: of each of the three steps of reading a forward.
    :ivar forwards_of_one: of one viewer, and of one owner; ``forwards`` of all viewers, and of all owners.
    :ivar search: more than the search itself takes, which ends by its own (ident2.processes.SEARCH).
    """

    password: float = 10.0
    passwords: int = 8
    account: float = 5.0
    accounts: int = 4
    accounts_waiting: int = 1000
    search: float = 1.0
    searches: int = 2
    searches_waiting: int = 1000
    forward: float = 2.0
    forward_finders: int = 4
    forward_finders_waiting: int = 1000
    forwards_of_one: int = 2
    forwards_of_one_waiting: int = 30
    forwards: int = 64


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges accounts and passwords; its methods run in children.

    :ivar pam: None: the site has none, and nobody signs in by password.
    :ivar nologin: files that close the site while they are there.
    """

    task: Task
    pam: PamService | None
    nologin: Sequence[str] = NOLOGIN

    def check_password(self, asked: CheckPassword, descriptors: list[int]) -> PasswordChecked:
        """In a child for this one check."""
        if self.pam is None:
            return PasswordChecked(asked.id, "broken")
        [descriptor] = descriptors
        outcome = check_password(
            asked.login,
            asked.address,
            descriptor,
            pam=self.pam,
            min_uid=self.task.min_uid,
            shells=self.task.shells,
            nologin=self.nologin,
        )
        return PasswordChecked(asked.id, outcome)

    def read_account(self, asked: ReadAccount, _: list[int]) -> AccountRead:
        """:raises OSError: nobody can say."""
        return AccountRead(asked.id, read_state(self.task, asked.uid, pam=self.pam, nologin=self.nologin))


@dataclass(frozen=True, slots=True)
class Kinds:
    """All of them."""

    passwords: Children
    accounts: Children
    searches: Children
    forwards: ForwardReaders

    @classmethod
    def of(cls, loop: Loop, judge: Judge, bounds: Bounds) -> Kinds:
        """With these bounds."""
        passwords = Kind("sc-password", CheckPassword, PasswordChecked, judge.check_password, uses=1)
        accounts = Kind("sc-accounts", ReadAccount, AccountRead, judge.read_account, uses=_USES)
        searches = Kind("sc-sockets", ReadHolders, HoldersRead, Holders().read, uses=_USES)
        return cls(
            Children(loop, passwords, seconds=bounds.password, most=bounds.passwords),
            Children(loop, accounts, seconds=bounds.account, most=bounds.accounts, waiting=bounds.accounts_waiting),
            Children(loop, searches, seconds=bounds.search, most=bounds.searches, waiting=bounds.searches_waiting),
            ForwardReaders(
                loop,
                ForwardFolder.of(judge.task),
                seconds=bounds.forward,
                finders=bounds.forward_finders,
                finders_waiting=bounds.forward_finders_waiting,
                of_one=bounds.forwards_of_one,
                waiting=bounds.forwards_of_one_waiting,
                most=bounds.forwards,
            ),
        )


def pam_of(task: Task) -> Any:
    """The site's PAM service; None without one, or without the rights for it.

    :raises Exception: this host has no PAM library, or no such service.
    """
    if not task.pam_service or task.only_uid is not None:
        return None
    from supercloud.monitor.pam import Pam  # loads the library, which not every host has

    return Pam(task.pam_service)
