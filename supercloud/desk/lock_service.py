"""Answers requests about locks: looks at the descriptor first, then asks the book, both beside the reactor's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from supercloud.accounts import Offloaded
from supercloud.desk import lock_wire as wire
from supercloud.desk.locks import LockBook
from supercloud.desk.proof import Prover
from supercloud.desk.service import Asker, Handler
from supercloud.desk.wire import Done, Message


class LockService:
    """``handlers`` is for the desk.

    :param storage: one thread, in which all of the book's work is done.
    """

    def __init__(self, book: LockBook, prover: Prover, storage: Offloaded) -> None:
        self._book = book
        self._prover = prover
        self._storage = storage

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        """Kind of request to what answers it."""
        return {
            wire.AcquireLock: self._acquire,
            wire.RefreshLock: self._refresh,
            wire.ReleaseLock: self._release,
            wire.ReadLock: self._read,
            wire.FindLocks: self._find,
            wire.FilterLocked: self._filter,
            wire.CheckWrite: self._check,
            wire.DropLocks: self._drop,
            wire.BeginWrite: self._begin,
            wire.ExpectWrite: self._expect,
            wire.FollowWrite: self._follow,
            wire.EndWrite: self._end,
        }

    async def _acquire(self, asker: Asker, request: wire.AcquireLock, descriptors: Sequence[int]) -> Message:
        proof = await self._prover.prove(asker, descriptors)
        return await self._ask(asker, self._book.acquire, asker.uid, proof, request)

    async def _refresh(self, asker: Asker, request: wire.RefreshLock, _descriptors: Sequence[int]) -> Message:
        return await self._ask(asker, self._book.refresh, asker.uid, request.token, request.seconds)

    async def _release(self, asker: Asker, request: wire.ReleaseLock, _descriptors: Sequence[int]) -> Message:
        return await self._do(asker, self._book.release, asker.uid, request.token)

    async def _read(self, asker: Asker, request: wire.ReadLock, _descriptors: Sequence[int]) -> Message:
        return await self._ask(asker, self._book.read, asker.uid, request.token)

    async def _find(self, asker: Asker, request: wire.FindLocks, _descriptors: Sequence[int]) -> Message:
        return await self._ask(asker, self._book.find, asker.uid, request.keys, request.after)

    async def _filter(self, asker: Asker, request: wire.FilterLocked, _descriptors: Sequence[int]) -> Message:
        return await self._ask(asker, self._book.filter, request.pairs)

    async def _check(self, asker: Asker, request: wire.CheckWrite, descriptors: Sequence[int]) -> Message:
        within = await self._prover.prove(asker, descriptors) if descriptors else None
        key = request.key if within is None else within.key

        def check() -> Message:
            return self._book.check(asker, asker.uid, key, request.above, tokens=request.tokens, within=within)

        return await self._ask(asker, check)

    async def _drop(self, asker: Asker, request: wire.DropLocks, _descriptors: Sequence[int]) -> Message:
        return await self._do(asker, self._book.drop, asker.uid, request.ids)

    async def _begin(self, asker: Asker, request: wire.BeginWrite, descriptors: Sequence[int]) -> Message:
        proof = await self._prover.prove(asker, descriptors)
        answer = await self._ask(asker, self._book.begin, asker, asker.uid, proof, request.above, request.tokens)
        if isinstance(answer, wire.Begun):
            asker.at_end(self._book.writes.end_all)
        return answer

    async def _expect(self, asker: Asker, request: wire.ExpectWrite, descriptors: Sequence[int]) -> Message:
        write = self._book.writes.find(asker, request.write)
        proof = await self._prover.prove(asker, descriptors, is_nameless=True)
        return await self._do(asker, self._book.expect, write, proof)

    async def _follow(self, asker: Asker, request: wire.FollowWrite, descriptors: Sequence[int]) -> Message:
        write = self._book.writes.find(asker, request.write)
        proof = await self._prover.prove(asker, descriptors)
        return await self._do(asker, self._book.follow, write, asker.uid, proof)

    async def _end(self, asker: Asker, request: wire.EndWrite, _descriptors: Sequence[int]) -> Message:
        self._book.writes.end(asker, request.write)
        return Done()

    async def _ask(self, asker: Asker, call: Callable[..., Message], *args: Any) -> Message:
        answer: Message = await self._storage.run_for(asker.uid, call, *args)
        return answer

    async def _do(self, asker: Asker, call: Callable[..., None], *args: Any) -> Message:
        await self._storage.run_for(asker.uid, call, *args)
        return Done()
