"""Sealed values: what is opened was sealed here, for this purpose."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import msgspec
import pytest

from supercloud.authn.private import Exposed
from supercloud.authn.seal import MAX_SEALED, SealBroken, Sealer, make_key, read_key

OLD, NEW = bytes(32), bytes(range(32))


class Note(msgspec.Struct, frozen=True, array_like=True):
    text: str
    number: int = 0


class Other(msgspec.Struct, frozen=True, array_like=True):
    number: int


def test_what_was_sealed_opens() -> None:
    sealer = Sealer([NEW])
    assert sealer.open(sealer.seal(Note("ä", 7), "note"), Note, "note") == Note("ä", 7)


def test_the_text_needs_no_quoting_in_an_address_or_a_cookie() -> None:
    text = Sealer([NEW]).seal(Note("?/+&;\x00"), "note")
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_seal_of_one_purpose_does_not_open_for_another() -> None:
    sealer = Sealer([NEW])
    with pytest.raises(SealBroken):
        sealer.open(sealer.seal(Note("a"), "ticket"), Note, "session")


def test_a_seal_of_another_key_does_not_open() -> None:
    with pytest.raises(SealBroken):
        Sealer([NEW]).open(Sealer([OLD]).seal(Note("a"), "note"), Note, "note")


def test_after_rotation_the_new_key_seals_and_the_old_one_still_opens() -> None:
    rotated = Sealer([NEW, OLD])
    assert rotated.open(Sealer([OLD]).seal(Note("a"), "note"), Note, "note") == Note("a")
    assert rotated.seal(Note("a"), "note") == Sealer([NEW]).seal(Note("a"), "note")


def test_a_truncated_text_does_not_open() -> None:
    sealer = Sealer([NEW])
    text = sealer.seal(Note("a"), "note")
    for length in range(len(text)):
        with pytest.raises(SealBroken):
            sealer.open(text[:length], Note, "note")


def test_one_value_has_one_spelling() -> None:
    """Base64 leaves bits unused: decoding the seal before comparing it would let other texts pass."""
    sealer = Sealer([NEW])
    text = sealer.seal(Note("a"), "note")
    for other in (
        text + "=",
        text + " ",
        " " + text,
        text.replace(".", "=."),
        text + ".",
        text[:-1] + chr(ord(text[-1]) + 1),
    ):
        with pytest.raises(SealBroken):
            sealer.open(other, Note, "note")


def test_a_body_of_another_shape_does_not_open_even_if_its_seal_is_right() -> None:
    sealer = Sealer([NEW])
    with pytest.raises(SealBroken, match="another version"):
        sealer.open(sealer.seal(Other(1), "note"), Note, "note")


@pytest.mark.parametrize("text", ["", ".", "..", "\x00", "é.é", "\ud800.x", "a" * (MAX_SEALED + 1)])
def test_hostile_text_does_not_open(text: str) -> None:
    with pytest.raises(SealBroken):
        Sealer([NEW]).open(text, Note, "note")


def test_a_text_of_the_longest_length_seals_and_a_longer_one_does_not() -> None:
    sealer = Sealer([NEW])
    overhead = len(sealer.seal(Note("x" * 300), "note")) - 400
    fits = (MAX_SEALED - overhead) * 3 // 4
    assert len(sealer.seal(Note("x" * fits), "note")) <= MAX_SEALED
    with pytest.raises(ValueError, match="characters"):
        sealer.seal(Note("x" * (fits + 3)), "note")


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b""]])
def test_a_sealer_without_a_good_key_is_not_made(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="keys of 32 bytes"):
        Sealer(keys)


def test_a_key_is_made_once_with_mode_0600_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = make_key(path)
    assert (make_key(path), read_key(path), path.stat().st_mode & 0o777) == (key, key, 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def test_a_missing_key_is_told_from_a_bad_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_key(tmp_path / "key")


def test_a_key_that_others_can_read_is_refused_and_the_text_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    path.chmod(0o640)
    with pytest.raises(Exposed, match=r"mode 040.*move it away"):
        read_key(path)


@pytest.mark.parametrize("text", [b"", b"0" * 63, b"0" * 64 + b"\nx", b"0" * 65, b"Z" * 64, base64.b64encode(NEW)])
def test_a_file_that_is_not_a_key_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(text)
    with pytest.raises(Exposed, match="not a sealing key"):
        read_key(path)


def test_a_key_cannot_be_made_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        make_key(tmp_path / "absent" / "key")
    assert os.listdir(tmp_path) == []
