"""What the desk's messages may hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from supercloud.desk import lock_wire, property_wire, wire
from supercloud.desk.wire import Key, Message, Refusal, Refused

KEY = Key(1, 2, 3)
MODULES = (wire, lock_wire, property_wire)
KINDS = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type)
    and issubclass(kind, Message)
    and kind is not Message
    and kind.__module__ == module.__name__
]
ACQUIRE = lock_wire.AcquireLock("exclusive", "0", 60, b"", "/", ())


def decoded(request: Message) -> Message:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=type(request))


def test_every_kind_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in KINDS]

    assert len(set(tags)) == len(tags) > 15


def changed(**changes: Any) -> lock_wire.AcquireLock:
    return msgspec.structs.replace(ACQUIRE, **changes)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (changed(seconds=1), changed(seconds=0)),
        (changed(seconds=lock_wire.MOST_SECONDS), changed(seconds=lock_wire.MOST_SECONDS + 1)),
        (changed(owner=b"x" * lock_wire.MOST_OWNER), changed(owner=b"x" * (lock_wire.MOST_OWNER + 1))),
        (changed(above=(KEY,) * lock_wire.MOST_KEYS), changed(above=(KEY,) * (lock_wire.MOST_KEYS + 1))),
        (changed(href="x" * 16384), changed(href="x" * 16385)),
        (changed(depth="infinity"), changed(depth="1")),
        (changed(scope="shared"), changed(scope="local")),
        (lock_wire.ReadLock("x" * 128), lock_wire.ReadLock("x" * 129)),
        (lock_wire.CheckWrite(None, (), ("x",) * 64), lock_wire.CheckWrite(None, (), ("x",) * 65)),
        (lock_wire.FilterLocked(((1, 2),) * 1500), lock_wire.FilterLocked(((1, 2),) * 1501)),
        (lock_wire.FindLocks((KEY,)), lock_wire.FindLocks((Key(-1, 2, 3),))),
        (lock_wire.DropLocks((1,) * 1024), lock_wire.DropLocks((1,) * 1025)),
        (lock_wire.DropLocks((2**63 - 1,)), lock_wire.DropLocks((2**63,))),
        (
            property_wire.ReplaceProperties({"x" * property_wire.MOST_NAME: b"x" * property_wire.MOST_VALUE}),
            property_wire.ReplaceProperties({"x": b"x" * (property_wire.MOST_VALUE + 1)}),
        ),
        (
            property_wire.ReplaceProperties({str(n): b"" for n in range(property_wire.MOST_NUMBER)}),
            property_wire.ReplaceProperties({str(n): b"" for n in range(property_wire.MOST_NUMBER + 1)}),
        ),
        (property_wire.ReplaceProperties({"x": b""}), property_wire.ReplaceProperties({"": b""})),
    ],
)
def test_a_message_at_its_limit_is_read_and_one_beyond_is_not(good: Message, bad: Message) -> None:
    assert decoded(good) == good
    with pytest.raises(msgspec.ValidationError):
        decoded(bad)


def test_unknown_fields_are_not_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode({"type": "hello", "version": 1, "more": 1}), type=wire.Hello)


def test_a_refusals_reason_fits_into_its_message() -> None:
    refusal = Refusal("failed", "x" * 5000)

    assert decoded(Refused(refusal.code, refusal.reason))
    assert str(Refusal("busy")) == "busy"
