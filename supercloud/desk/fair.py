"""Work beside the reactor's thread, little at once for each account: nobody waits behind all that another one asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredSemaphore

from supercloud.accounts import Offloaded


class Fair:
    """Runs calls for accounts.

    :param per_uid: of one account at once; its others wait here.
    """

    def __init__(self, offload: Offloaded, *, per_uid: int) -> None:
        self._offload = offload
        self._per_uid = per_uid
        self._gates: dict[int, DeferredSemaphore] = {}

    async def run(self, uid: int, call: Callable[..., Any], *args: Any) -> Any:
        """Its result, or what it raises."""
        gate = self._gates.setdefault(uid, DeferredSemaphore(self._per_uid))
        await gate.acquire()
        try:
            return await self._offload.run(call, *args)
        finally:
            gate.release()
            if gate.tokens == gate.limit:
                self._gates.pop(uid, None)
