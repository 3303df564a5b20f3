"""Messages that are almost right: valid ones, changed at random but the same for the same seed."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec

_ODD: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 1.5, "", "\0", "../x", "é", "x" * 300, b"",
    b"\xff" * 20, [], [[]], {}, {"type": "x"}, [0] * 600,
)  # fmt: skip


class Mutations:
    """Made from valid messages.

    :param seed: printed, and so shown by a test that fails; ``FUZZ_SEED`` of the environment repeats a run.
    """

    def __init__(self, *valid: bytes) -> None:
        self.seed = int(os.environ.get("FUZZ_SEED", "") or random.SystemRandom().randrange(2**32))
        print(f"FUZZ_SEED={self.seed}")
        self.random = random.Random(self.seed)
        self._valid = valid

    def __call__(self) -> bytes:
        """The next one: never empty, and now and then a valid one."""
        data = self.random.choice(self._valid)
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 5))):
            data = self.random.choice((self._flip, self._cut, self._repeat, self._insert, self._join, self._field))(
                data
            )
        return data[:100_000] or b"\xc1"

    def _place(self, data: bytes) -> tuple[int, int]:
        at = self.random.randrange(len(data) + 1)
        return at, min(len(data), at + self.random.choice((1, 2, 8, 100)))

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        if changed:
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        return bytes(changed)

    def _cut(self, data: bytes) -> bytes:
        at, end = self._place(data)
        return data[:at] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        at, end = self._place(data)
        return data[:at] + data[at:end] * self.random.choice((2, 3, 1000)) + data[end:]

    def _insert(self, data: bytes) -> bytes:
        at, _ = self._place(data)
        return data[:at] + self.random.randbytes(self.random.choice((1, 4, 70))) + data[at:]

    def _join(self, data: bytes) -> bytes:
        return data + self.random.choice(self._valid)

    def _field(self, data: bytes) -> bytes:
        """Another value, or another kind, in a message of msgspec's."""
        try:
            message = msgspec.msgpack.decode(data)
        except (ValueError, RecursionError):
            return data
        if not isinstance(message, dict) or not message:
            return data
        name = self.random.choice([*message, "type", "id", "x"])
        message[name] = self.random.choice(_ODD)
        if self.random.random() < 0.2:
            message["type"] = self._kind()
        return msgspec.msgpack.encode(message)

    def _kind(self) -> object:
        kinds = [found["type"] for found in map(_decoded, self._valid) if isinstance(found, dict) and "type" in found]
        return self.random.choice([*kinds, "fork", "read-file"])


def _decoded(data: bytes) -> object:
    try:
        return msgspec.msgpack.decode(data)
    except (ValueError, RecursionError):
        return None


def encoded(messages: Sequence[Any]) -> list[bytes]:
    """As they are sent."""
    return [msgspec.msgpack.encode(message) for message in messages]
