"""Whatever programs and forms send is read in one way, or refused."""

from __future__ import annotations

import base64
import posixpath
from contextlib import suppress
from urllib.parse import unquote_to_bytes, urlencode

from hypothesis import example, given
from hypothesis import strategies as st

from supercloud.authn.scope import needed
from supercloud.errors import BadMessage
from supercloud.front.form import _parse
from supercloud.message.authorization import Basic, holds_token, read_authorization

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60)
steps = st.sampled_from(
    [b"dav", b"api", b".", b"..", b"%2e", b"%2E%2e", b".%2e", b"%2f", b"%5c", b"\\", b"a", b"", b"%252e%252e", b";"]
)


@given(texts.filter(lambda text: ":" not in text), texts)
def test_a_login_and_a_password_come_back_as_they_were(login: str, password: str) -> None:
    value = b"Basic " + base64.b64encode(f"{login}:{password}".encode())
    assert read_authorization(value) == Basic(login, password)


@given(st.binary(max_size=200))
@example(b"Basic \xff")
def test_no_field_is_a_mistake_of_the_portals(value: bytes) -> None:
    read_authorization(value)
    holds_token(b"Basic " + value)
    read_authorization(b"Basic " + base64.b64encode(value))


@given(st.sampled_from([b"dav", b"api"]), st.lists(steps, max_size=8), st.sampled_from([b"/", b"%2f", b"\\"]))
def test_no_path_of_one_scope_resolves_into_another(first: bytes, rest: list[bytes], slash: bytes) -> None:
    path = b"/" + first + b"/" + slash.join(rest)
    if needed(b"GET", path) is not None:
        resolved = posixpath.normpath(unquote_to_bytes(path).replace(b"\\", b"/"))
        assert resolved == b"/" + first or resolved.startswith(b"/" + first + b"/")


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=8))
def test_a_form_comes_back_as_it_was_filled_in(fields: dict[str, str]) -> None:
    assert _parse(urlencode(fields).encode()) == fields


@given(st.binary(max_size=200))
def test_a_form_is_read_or_refused(body: bytes) -> None:
    with suppress(BadMessage):
        _parse(body)
