"""The table: what the front may ask, and what is done then. There is no other way into the monitor."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from supercloud.monitor.accounts import NOLOGIN, AccountCheck, read_state
from supercloud.monitor.breach import Breach
from supercloud.monitor.children import Children, Missed
from supercloud.monitor.holders import read_holders
from supercloud.monitor.loop import Loop
from supercloud.monitor.passwords import PasswordCheck, check_password
from supercloud.monitor.wire import (
    AccountRead,
    Answer,
    CheckPassword,
    HoldersRead,
    PasswordChecked,
    PasswordOutcome,
    ReadAccount,
    ReadHolders,
    Request,
    StartWorker,
    StopWorker,
    Task,
)
from supercloud.packets import close_all

# Descriptors that come with a request.
DESCRIPTORS: Final[dict[type[Request], int]] = {
    CheckPassword: 1,
    ReadAccount: 0,
    StartWorker: 0,
    StopWorker: 0,
    ReadHolders: 0,
}

_PASSWORD_MISSED: Final[dict[Missed, PasswordOutcome]] = {
    Missed.FULL: "busy",
    Missed.SLOW: "slow",
    Missed.BROKEN: "broken",
}


class PamService(PasswordCheck, AccountCheck, Protocol):
    """Both questions to PAM; see monitor.pam."""


class StartsSessions(Protocol):
    """See monitor.sessions."""

    def start(self, request: StartWorker) -> None: ...

    def stop(self, number: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the children that work for the front: seconds, how many at once, how many more may wait.

    :ivar search: more than the search itself takes, which ends by its own (ident2.processes.SEARCH).
    """

    password: float = 10.0
    passwords: int = 8
    account: float = 5.0
    accounts: int = 4
    accounts_waiting: int = 1000
    search: float = 1.0
    searches: int = 4
    searches_waiting: int = 1000


@dataclass(frozen=True, slots=True)
class Kinds:
    """The children, by what they do."""

    passwords: Children
    accounts: Children
    searches: Children

    @classmethod
    def of(cls, loop: Loop, bounds: Bounds) -> Kinds:
        """With these bounds."""
        return cls(
            Children(loop, PasswordChecked, seconds=bounds.password, most=bounds.passwords),
            Children(loop, AccountRead, seconds=bounds.account, most=bounds.accounts, waiting=bounds.accounts_waiting),
            Children(loop, HoldersRead, seconds=bounds.search, most=bounds.searches, waiting=bounds.searches_waiting),
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Serves requests.

    :ivar answer: sends to the front.
    :ivar pam: None: the site has none, and nobody signs in by password.
    """

    task: Task
    kinds: Kinds
    sessions: StartsSessions
    answer: Callable[[Answer], object]
    pam: PamService | None
    nologin: Sequence[str] = NOLOGIN

    def serve(self, request: Request, descriptors: list[int]) -> None:
        """Do what the table says for a request; its answer may come later.

        :param descriptors: that came with it; closed here.
        :raises Breach: it is not permitted.
        """
        if len(descriptors) != DESCRIPTORS[type(request)]:
            close_all(descriptors)
            raise Breach(f"{type(request).__name__} with {len(descriptors)} descriptors")
        match request:
            case CheckPassword():
                self._check_password(request, descriptors[0])
            case ReadAccount():
                self._read_account(request)
            case StartWorker():
                self.sessions.start(request)
            case StopWorker():
                self.sessions.stop(request.worker)
            case ReadHolders():
                self._read_holders(request)

    def _check_password(self, request: CheckPassword, descriptor: int) -> None:
        pam = self.pam
        if not _is_address(request.address):
            os.close(descriptor)
            raise Breach("CheckPassword from what is no address")
        if pam is None:
            os.close(descriptor)
            self.answer(PasswordChecked(request.id, "broken"))
            return

        def check() -> PasswordChecked:
            return PasswordChecked(
                request.id,
                check_password(
                    request.login,
                    request.address,
                    descriptor,
                    pam=pam,
                    min_uid=self.task.min_uid,
                    nologin=self.nologin,
                ),
            )

        def checked(got: PasswordChecked | Missed) -> None:
            outcome = _PASSWORD_MISSED[got] if isinstance(got, Missed) else got.outcome
            self.answer(PasswordChecked(request.id, outcome))

        self.kinds.passwords.run(check, checked, descriptor)

    def _read_account(self, request: ReadAccount) -> None:
        def read() -> AccountRead:
            return AccountRead(request.id, read_state(self.task, request.uid, pam=self.pam, nologin=self.nologin))

        def was_read(got: AccountRead | Missed) -> None:
            self.answer(AccountRead(request.id, "broken" if isinstance(got, Missed) else got.state))

        self.kinds.accounts.run(read, was_read)

    def _read_holders(self, request: ReadHolders) -> None:
        def found(got: HoldersRead | Missed) -> None:
            if isinstance(got, Missed):
                got = HoldersRead(request.id, (), is_complete=False)
            self.answer(HoldersRead(request.id, got.holders, got.is_complete))

        self.kinds.searches.run(lambda: read_holders(request), found)


def pam_of(task: Task) -> Any:
    """The site's PAM service; None without one, or without the rights for it.

    :raises Exception: this host has no PAM library, or no such service.
    """
    if not task.pam_service or task.only_uid is not None:
        return None
    from supercloud.monitor.pam import Pam  # loads the library, which not every host has

    return Pam(task.pam_service)


def _is_address(text: str) -> bool:
    if not text:
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
