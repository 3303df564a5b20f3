"""No text but a sealed one opens, and none makes anything raise but `SealBroken`."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from supercloud.authn.seal import SealBroken, Sealer


class Note(msgspec.Struct, frozen=True, array_like=True):
    text: str
    number: int
    ends: float


SEALER = Sealer([bytes(range(32)), bytes(32)])
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="
QUICK = settings(max_examples=50, deadline=None)
NOTES = st.builds(
    Note, st.text(max_size=40), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
)


@QUICK
@given(st.text() | st.text(alphabet=ALPHABET, max_size=200) | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_opens(text: str) -> None:
    with pytest.raises(SealBroken):
        SEALER.open(text, Note, "note")


@QUICK
@given(NOTES)
def test_what_was_sealed_opens_as_it_was(note: Note) -> None:
    assert SEALER.open(SEALER.seal(note, "note"), Note, "note") == note


@QUICK
@given(NOTES, st.data())
def test_a_sealed_text_with_one_change_does_not_open(note: Note, data: st.DataObject) -> None:
    text = SEALER.seal(note, "note")
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.text(max_size=2))
    changed = text[:at] + put + text[at + 1 :]
    assume(changed != text)
    with pytest.raises(SealBroken):
        SEALER.open(changed, Note, "note")


@QUICK
@given(NOTES, st.text(max_size=20), st.text(max_size=20))
def test_purposes_do_not_mix(note: Note, one: str, other: str) -> None:
    assume(one != other)
    with contextlib.suppress(UnicodeEncodeError), pytest.raises(SealBroken):
        SEALER.open(SEALER.seal(note, one), Note, other)


@QUICK
@given(NOTES, NOTES)
def test_the_seal_of_one_body_is_none_of_another(one: Note, other: Note) -> None:
    first, second = SEALER.seal(one, "note"), SEALER.seal(other, "note")
    assume(first != second)
    with pytest.raises(SealBroken):
        SEALER.open(first.partition(".")[0] + "." + second.partition(".")[2], Note, "note")
