"""Whose password PAM is asked about next: a wrong one keeps a check busy for seconds, and there are few.

Addresses take turns, and so do the accounts at each; browsers that are known have places that nobody else takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from supercloud.authn.whence import shared_key, text_key
from supercloud.lines import Shares

# Checks at once; all together they are the monitor's own bound (kinds.Bounds.passwords), over which it refuses.
OF_STRANGERS: Final = 6
OF_ONE_ADDRESS: Final = 4
OF_KNOWN: Final = 2
WAITING: Final = 100  # of one address; PAM takes some 2 s for a wrong one, so the last waits for 50 s
_TOO_MANY: Final = "Too many passwords from your network address are being checked. Try again in a minute."

R = TypeVar("R")


class Checks:
    """The places."""

    def __init__(self) -> None:
        self._strangers = Shares(
            "password checks", places=OF_STRANGERS, each=OF_ONE_ADDRESS, waiting=WAITING, public=_TOO_MANY
        )
        self._known = Shares("password checks of known browsers", places=OF_KNOWN, each=1, waiting=WAITING)

    async def run(self, check: Callable[[], Awaitable[R]], *, address: str, account: str, known: bytes) -> R:
        """Its result, when its turn has come.

        :param known: see `KnownBrowsers.read`.
        :raises Busy: as many of that address wait as may.
        """
        by_address = self._strangers, (shared_key(address), text_key(account))
        by_browser = self._known, (text_key(account), known)
        waits_as_stranger = not self._strangers.has_room(*by_address[1])
        is_better = known and (waits_as_stranger or self._known.has_room(*by_browser[1]))
        shares, path = by_browser if is_better else by_address
        await shares.enter(*path)
        try:
            return await check()
        finally:
            shares.leave(*path)
