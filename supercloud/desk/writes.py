"""Writes that go on: what they write to cannot be locked meanwhile, and nobody else may change what will take its name.

So a lock is not granted between the check that a PUT may write and the end of its body.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Final

from supercloud.desk.proof import Proof
from supercloud.desk.wire import Key, Refusal

MOST: Final = 16  # of one connection, which writes one thing at a time


@dataclass(slots=True)
class Write:
    """One that goes on.

    :ivar asker: whose connection; compared by identity.
    :ivar tokens: that the check was passed with.
    :ivar guarded: files that will take its name, or gave it.
    """

    number: int
    asker: object
    proof: Proof
    tokens: tuple[str, ...]
    guarded: set[Key] = field(default_factory=set)


class Writes:
    """All of them; any thread may ask."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._numbers = itertools.count(1)
        self._by_number: dict[int, Write] = {}

    def begin(self, asker: object, proof: Proof, tokens: tuple[str, ...]) -> Write:
        """One more.

        :raises Refusal: ``too-many`` of this connection.
        """
        with self._guard:
            if sum(write.asker is asker for write in self._by_number.values()) >= MOST:
                raise Refusal("too-many", "writes at once")
            write = Write(next(self._numbers), asker, proof, tokens)
            self._by_number[write.number] = write
            return write

    def find(self, asker: object, number: int) -> Write:
        """One that this connection began.

        :raises Refusal: ``unknown-write``.
        """
        with self._guard:
            write = self._by_number.get(number)
            if write is None or write.asker is not asker:
                raise Refusal("unknown-write", str(number))
            return write

    def end(self, asker: object, number: int) -> None:
        """It is over; nothing for one that is not known, or of another connection."""
        with self._guard:
            write = self._by_number.get(number)
            if write is not None and write.asker is asker:
                del self._by_number[number]

    def end_all(self, asker: object) -> None:
        """The connection is gone."""
        with self._guard:
            for number in [number for number, write in self._by_number.items() if write.asker is asker]:
                del self._by_number[number]

    def hinder_lock(self, proof: Proof, *, members: bool) -> bool:
        """Whether something is written that a lock would bind."""
        with self._guard:
            return any(
                proof.key == write.proof.key
                or proof.key in write.guarded
                or (members and is_below(write.proof, proof.key.device, proof.path))
                for write in self._by_number.values()
            )

    def forbid(self, asker: object, key: Key | None) -> bool:
        """Whether another connection's write has taken hold of this file."""
        with self._guard:
            return any(write.asker is not asker and key in write.guarded for write in self._by_number.values())


def is_below(proof: Proof, device: int, path: bytes) -> bool:
    """Whether something lies in a folder of that path, on the same file system."""
    return bool(path) and proof.key.device == device and proof.path.startswith(path.rstrip(b"/") + b"/")
