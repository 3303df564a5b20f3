"""The table: what the front may ask, and what is done then. There is no other way into the monitor."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from supercloud.monitor.breach import Breach
from supercloud.monitor.children import Missed
from supercloud.monitor.kinds import Kinds
from supercloud.monitor.wire import (
    AccountRead,
    Answer,
    CheckPassword,
    FindForward,
    HoldersRead,
    PasswordChecked,
    PasswordOutcome,
    ReadAccount,
    ReadForward,
    ReadHolders,
    Request,
    StartWorker,
    StopWorker,
)
from supercloud.packets import close_all

# Descriptors that come with a request.
DESCRIPTORS: Final[dict[type[Request], int]] = {
    CheckPassword: 1,
    ReadAccount: 0,
    StartWorker: 0,
    StopWorker: 0,
    ReadHolders: 0,
    FindForward: 0,
    ReadForward: 0,
}

_PASSWORD_MISSED: Final[dict[Missed, PasswordOutcome]] = {
    Missed.FULL: "busy",
    Missed.SLOW: "slow",
    Missed.BROKEN: "broken",
}


class StartsSessions(Protocol):
    """See monitor.sessions."""

    def start(self, request: StartWorker) -> None: ...

    def stop(self, number: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Table:
    """Serves requests.

    :ivar answer: sends to the front.
    """

    kinds: Kinds
    sessions: StartsSessions
    answer: Callable[[Answer], object]

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
                self._check_password(request, descriptors)
            case ReadAccount():
                self._read_account(request)
            case StartWorker():
                self.sessions.start(request)
            case StopWorker():
                self.sessions.stop(request.worker)
            case ReadHolders():
                self._read_holders(request)
            case FindForward():
                self.kinds.forwards.find(request, self.answer)
            case ReadForward():
                self.kinds.forwards.ask(request, self.answer)

    def _check_password(self, request: CheckPassword, descriptors: list[int]) -> None:
        def checked(got: PasswordChecked | Missed) -> None:
            outcome = _PASSWORD_MISSED[got] if isinstance(got, Missed) else got.outcome
            self.answer(PasswordChecked(request.id, outcome))

        if not _is_address(request.address):
            close_all(descriptors)
            raise Breach("CheckPassword from what is no address")
        self.kinds.passwords.ask(request, checked, descriptors)

    def _read_account(self, request: ReadAccount) -> None:
        def was_read(got: AccountRead | Missed) -> None:
            self.answer(AccountRead(request.id, "broken" if isinstance(got, Missed) else got.state))

        self.kinds.accounts.ask(request, was_read)

    def _read_holders(self, request: ReadHolders) -> None:
        def found(got: HoldersRead | Missed) -> None:
            if isinstance(got, Missed):
                got = HoldersRead(request.id, (), is_complete=False)
            self.answer(HoldersRead(request.id, got.holders, got.is_complete))

        self.kinds.searches.ask(request, found)


def _is_address(text: str) -> bool:
    if not text:
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
