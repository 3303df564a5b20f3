"""Answers requests about dead properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supercloud.accounts import Offloaded
from supercloud.desk.proof import Prover
from supercloud.desk.properties import PropertyBook
from supercloud.desk.property_wire import FilterStored, Properties, ReadProperties, ReplaceProperties, Stored
from supercloud.desk.service import Asker, Handler
from supercloud.desk.wire import Done, Message


class PropertyService:
    """``handlers`` is for the desk.

    :param storage: one thread, in which all of the book's work is done.
    """

    def __init__(self, book: PropertyBook, prover: Prover, storage: Offloaded) -> None:
        self._book = book
        self._prover = prover
        self._storage = storage

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        """Kind of request to what answers it."""
        return {ReadProperties: self._read, ReplaceProperties: self._replace, FilterStored: self._filter}

    async def _read(self, asker: Asker, _request: ReadProperties, descriptors: Sequence[int]) -> Message:
        proof = await self._prover.prove(asker, descriptors)
        return Properties(await self._storage.run_for(asker.uid, self._book.read, proof))

    async def _filter(self, asker: Asker, request: FilterStored, _descriptors: Sequence[int]) -> Message:
        return Stored(await self._storage.run_for(asker.uid, self._book.filter, request.pairs))

    async def _replace(self, asker: Asker, request: ReplaceProperties, descriptors: Sequence[int]) -> Message:
        proof = await self._prover.prove(asker, descriptors)
        await self._storage.run_for(asker.uid, self._book.replace, asker.uid, proof, request.properties)
        return Done()
