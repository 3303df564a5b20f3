"""Who is let in to an application that asks nobody who they are."""

from __future__ import annotations

import pytest

from supercloud.applications.guard import admits

SECRET = "0123456789abcdef"


def head(*fields: str) -> bytes:
    return "\r\n".join(["GET / HTTP/1.1", "Host: node1:12000", *fields, "", ""]).encode()


@pytest.mark.parametrize("field", [f"Authorization: Bearer {SECRET}", f"authorization:Bearer {SECRET} "])
def test_whoever_shows_the_secret_is_let_in(field: str) -> None:
    assert admits(head("Cookie: a=b", field), SECRET)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Authorization: Bearer"],
        ["Authorization: Bearer "],
        [f"Authorization: Bearer {SECRET}0"],
        [f"Authorization: Bearer {SECRET[:-1]}"],
        [f"Authorization: token {SECRET}"],
        [f"Authorization: Basic {SECRET}"],
        [f"X-Authorization: Bearer {SECRET}"],
        [f"Cookie: Bearer {SECRET}"],
        [f"Authorization: Bearer {SECRET}", f"Authorization: Bearer {SECRET}"],
        ["Authorization: Bearer guess", f"Authorization: Bearer {SECRET}"],
        [f"Authorization : Bearer {SECRET}"],
        ["Authorization: Bearer \u00e9"],
    ],
)
def test_nobody_else_is(fields: list[str]) -> None:
    assert not admits(head(*fields), SECRET)


def test_a_secret_in_the_address_counts_for_nothing() -> None:
    assert not admits(f"GET /?Authorization: Bearer {SECRET} HTTP/1.1\r\n\r\n".encode(), SECRET)
    assert not admits(f"Authorization: Bearer {SECRET}\r\n\r\n".encode(), SECRET)


def test_no_secret_lets_nobody_in() -> None:
    assert not admits(head("Authorization: Bearer "), "")
