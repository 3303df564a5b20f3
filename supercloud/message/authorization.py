"""Credentials in a request's fields (RFC 9110 section 11.6.2): Basic (RFC 7617) and Bearer (RFC 6750)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final

from supercloud.secret import Secret, wipe

# A portal's token: 256 random bits, behind a prefix by which scanners of leaked secrets know it.
TOKEN_PREFIX: Final = "scp_"  # noqa: S105
_TOKEN = re.compile(rb"scp_[0-9a-f]{64}")
_SCHEME = re.compile(rb"([A-Za-z0-9-]{1,32}) {1,4}([A-Za-z0-9._~+/-]{1,4096}={0,2}) *")
# RFC 7617 section 2: neither part has control characters.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Basic:
    """A login and a password, which may be a token; whoever reads it overwrites it."""

    login: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token, of whomever it is."""

    token: str = field(repr=False)


def read_authorization(value: bytes) -> Basic | Bearer | None:
    """Read an ``Authorization`` field's value; None for other schemes and for what is malformed."""
    found = _SCHEME.fullmatch(value)
    if not found:
        return None
    scheme = found[1].lower()
    if scheme == b"bearer":
        return Bearer(found[2].decode("ascii"))
    if scheme != b"basic":
        return None
    encoded = found[2]
    try:
        return _read_basic(encoded)
    finally:
        wipe(encoded)


def _read_basic(encoded: bytes) -> Basic | None:
    try:
        text = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    try:
        colon = text.find(b":")
        if colon < 0 or _CONTROL.search(text):
            return None
        with memoryview(text) as whole:
            read = Basic(text[:colon].decode("utf-8"), Secret(whole[colon + 1 :]))
    except UnicodeDecodeError:
        return None
    finally:
        wipe(text)
    if not read.password.is_text:
        read.password.wipe()
        return None
    return read


def is_token(text: str | bytearray) -> bool:
    """Whether a text has a token's form."""
    return _TOKEN.fullmatch(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text) is not None


def holds_token(value: bytes) -> bool:
    """Whether an ``Authorization`` field's value shows a portal's token, which is nobody else's business."""
    match read_authorization(value):
        case Basic(_, secret):
            is_one = is_token(secret.data)
            secret.wipe()
            return is_one
        case Bearer(text):
            return is_token(text)
        case _:
            return False
