"""In which order all that an account has ends."""

from __future__ import annotations

from typing import Any

from supercloud.closing import Closing
from supercloud.errors import AccountClosed


class Parts:
    """Sessions, credentials, watch and workers at once: what each was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def forget(self, uid: int, reason: str) -> None:
        self.told.append(("forget", uid, reason))

    async def end_all(self, uid: int, reason: str) -> None:
        self.told.append(("end_all", uid, reason))

    def end_account(self, uid: int, error: AccountClosed, told: str, then: Any) -> None:
        self.told.append(("end_account", uid, told))
        then()

    def end_workers(self, uid: int) -> None:
        self.told.append(("end_workers", uid))


def closing(parts: Any, *, for_good: bool) -> list[str]:
    Closing(parts, (parts,), parts, parts.end_workers)(AccountClosed(), 1001, "locked", for_good=for_good)
    return [told[0] for told in parts.told]


def test_exchanges_are_told_before_their_worker_ends() -> None:
    assert closing(Parts(), for_good=False) == ["forget", "forget", "end_account", "end_workers"]


def test_sessions_end_in_all_processes_when_it_is_for_good() -> None:
    assert closing(Parts(), for_good=True) == ["forget", "forget", "end_all", "end_account", "end_workers"]
