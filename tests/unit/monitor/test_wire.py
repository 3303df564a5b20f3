"""The table on paper and the table in code are one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import supercloud.monitor
from supercloud.monitor.__main__ import FRONT_READS, RESERVED
from supercloud.monitor.kinds import Bounds
from supercloud.monitor.sessions import AT_ONCE, Patience
from supercloud.monitor.table import DESCRIPTORS
from supercloud.monitor.wire import Answer, Holder, Request
from supercloud.packets import MOST_BYTES, MOST_DESCRIPTORS
from supercloud.target import Reservation

_TEXT = (Path(supercloud.monitor.__path__[0]) / "PROTOCOL.md").read_text()
_SECTION = re.compile(r"^### `([a-z-]+)`(?:, (\d) descriptors?)?\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \|$", re.MULTILINE)


def described(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.IntType(ge=least, le=None):
            return f"integer, from {least}"
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"integer, {least} to {most}"
        case msgspec.inspect.StrType(min_length=least, max_length=most, pattern=None):
            return f"text, {least or 0} to {most} characters"
        case msgspec.inspect.LiteralType(values=values):
            return " ".join(f"`{value}`" for value in sorted(map(str, values)))
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StructType(cls=item)) if item is Holder:
            return "list of holders"
        case msgspec.inspect.StrType(pattern=pattern) if pattern:
            return f"text, like `{pattern}`"
        case msgspec.inspect.UnionType(types=(msgspec.inspect.StructType(cls=one), msgspec.inspect.NoneType())):
            assert one is Reservation
            return "a file's state, or nil"
        case msgspec.inspect.UnionType(types=(msgspec.inspect.BytesType(max_length=most), msgspec.inspect.NoneType())):
            return f"bytes, 0 to {most:,}, or nil"
    raise AssertionError(f"no words for {kind}")


def fields(kind: type[msgspec.Struct]) -> dict[str, str]:
    told = msgspec.inspect.type_info(kind)
    assert isinstance(told, msgspec.inspect.StructType)
    return {field.encode_name: described(field.type) for field in told.fields}


def tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def test_the_paper_lists_exactly_what_is_spoken() -> None:
    written = {name: dict(_ROW.findall(text)) for name, _, text in _SECTION.findall(_TEXT)}
    assert written == {tag(kind): fields(kind) for kind in (*get_args(Request), *get_args(Answer))}


def test_the_paper_says_how_many_descriptors_come_with_each_request() -> None:
    written = {name: int(count) for name, count, _ in _SECTION.findall(_TEXT) if count}
    assert written == {tag(kind): count for kind, count in DESCRIPTORS.items()}
    assert set(DESCRIPTORS) == set(get_args(Request))


def test_the_paper_states_the_limits_of_a_packet() -> None:
    assert f"at most {MOST_BYTES:,} bytes and {MOST_DESCRIPTORS} descriptors" in " ".join(_TEXT.split())


def test_the_paper_states_how_long_answers_take_and_how_many_are_worked_on_at_once() -> None:
    bounds, patience, text = Bounds(), Patience(), " ".join(_TEXT.split())
    for sentence in (
        f"`password-checked`, within {bounds.password:g} seconds; at most {bounds.passwords} checks at once",
        f"`account-read`, within {bounds.account:g} seconds of its turn; {bounds.accounts} at once,"
        f" {bounds.accounts_waiting:,} more wait",
        f"`holders-read`, within {bounds.search:g} second of its turn; {bounds.searches} at once,"
        f" {bounds.searches_waiting:,} more wait",
        f"`worker-started` or `worker-refused`, within {patience.start:g} seconds of its turn",
        f"{AT_ONCE} are started at once, others wait",
        f"`forward-read`, within {bounds.forward:g} seconds of its turn; {bounds.forward_finders} at once,"
        f" {bounds.forward_finders_waiting:,} more wait",
        f"`forward-read`, within {bounds.forward:g} seconds of its turn for each of the three."
        f" {bounds.forwards_of_one} become one viewer at once, and {bounds.forwards_of_one} one owner,"
        f" {bounds.forwards_of_one_waiting} more wait for each, and at most {bounds.forwards} become viewers and"
        f" {bounds.forwards} owners",
        f"`worker-ended` follows within {patience.stop:g} seconds",
        f"a front that takes no answer for {FRONT_READS:g} seconds",
        f"half as many workers as the monitor may have descriptors, less {RESERVED // 2}",
    ):
        assert sentence in text


@pytest.mark.parametrize("kind", [*get_args(Request), *get_args(Answer)])
def test_a_field_that_is_not_in_the_table_is_refused(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.forbid_unknown_fields
    assert kind.__struct_config__.frozen
