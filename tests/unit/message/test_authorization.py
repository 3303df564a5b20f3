"""What programs show of themselves in a field."""

from __future__ import annotations

import base64

import pytest

from supercloud.message.authorization import Basic, Bearer, holds_token, is_token, read_authorization
from supercloud.secret import Secret

TOKEN = "scp_" + "0123456789abcdef" * 4


def basic(text: bytes, scheme: bytes = b"Basic") -> bytes:
    return scheme + b" " + base64.b64encode(text)


def read_basic(value: bytes) -> tuple[str, bytes]:
    read = read_authorization(value)
    assert isinstance(read, Basic)
    return read.login, bytes(read.password.data)


def test_basic_is_a_login_and_a_password_which_may_hold_colons() -> None:
    assert read_basic(basic(b"alice:a:b c")) == ("alice", b"a:b c")


def test_basic_is_utf_8() -> None:
    """RFC 7617 section 2.1, as the challenge says."""
    assert read_basic(basic("alice:pässwörd €".encode())) == ("alice", "pässwörd €".encode())


@pytest.mark.parametrize("scheme", [b"basic", b"BASIC", b"bAsIc"])
def test_a_scheme_has_no_case(scheme: bytes) -> None:
    assert read_basic(basic(b"alice:x", scheme)) == ("alice", b"x")


def test_bearer_is_its_token() -> None:
    assert read_authorization(b"Bearer " + TOKEN.encode()) == Bearer(TOKEN)


@pytest.mark.parametrize(
    "value",
    [
        b"", b"Basic", b"Basic ", b"Basic ?", b"Basic YWxpY2U6eA", b"Basic YWxpY2U6eA== x", b"Basic=YWxpY2U6eA==",
        b"Basic YWxpY2U6\r\neA==", b"Basic " + b"A" * 8192, b"\xff", b"Bearer", b"Bearer a b", b"Bearer \xe9",
        b"token abc", b"Digest username=x", b"Negotiate YWJj",
        basic(b"no-colon"), basic(b"alice:\xff"), basic(b"al\0ice:x"), basic(b"alice:x\n"), basic(b"alice:x\x7f"),
    ],
)  # fmt: skip
def test_anything_else_is_nothing(value: bytes) -> None:
    assert read_authorization(value) is None


@pytest.mark.parametrize("shown", [Basic("alice", Secret(b"hunter2")), Bearer("hunter2")])
def test_a_secret_is_not_told_by_what_holds_it(shown: Basic | Bearer) -> None:
    assert "hunter2" not in repr(shown)


@pytest.mark.parametrize("text", ["", "scp_", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), " " + TOKEN, TOKEN + "\n"])
def test_what_only_looks_like_a_token_is_none(text: str) -> None:
    assert is_token(TOKEN)
    assert not is_token(text)


@pytest.mark.parametrize("value", [b"Bearer " + TOKEN.encode(), basic(b"x:" + TOKEN.encode())])
def test_a_field_that_shows_a_token_is_known(value: bytes) -> None:
    assert holds_token(value)


@pytest.mark.parametrize("value", [b"Bearer abc", basic(b"alice:secret"), b"token " + TOKEN.encode(), b""])
def test_a_field_that_shows_something_else_is_the_applications(value: bytes) -> None:
    assert not holds_token(value)
