"""Small bodies, read whole; forms on their way through a channel are in tests/scenario."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from supercloud.errors import BadMessage, BodyTooLarge, TooSlow, WrongMediaType
from supercloud.front.form import MAX_FORM, WITHIN, read_form
from supercloud.message.head import CHUNKED, UNREADABLE


class Exchange:
    """Carries a body to whoever reads it."""

    def __init__(self, length: int, kind: bytes = b"application/x-www-form-urlencoded") -> None:
        self.head = replace(UNREADABLE, length=length, first={b"content-type": kind})
        self.clock = Clock()
        self.relay: Any = None
        self.is_taken = False
        self.got: list[Any] = []
        exchange: Any = self
        self.reading = Deferred.fromCoroutine(read_form(exchange))
        self.reading.addBoth(self.got.append)

    def carry(self, relay: Any) -> None:
        self.relay = relay

    def start_request_body(self, relay: Any) -> None:
        self.is_taken = relay is self.relay

    @property
    def error(self) -> BaseException:
        [failure] = self.got
        assert isinstance(failure, Failure)
        return failure.value


def test_a_form_comes_in_pieces() -> None:
    exchange = Exchange(CHUNKED)
    assert exchange.is_taken
    for piece in (b"login=al", b"ice&next=%2Fda", b"v%2F&x="):
        exchange.relay.request_body(piece)
    assert exchange.got == []
    exchange.relay.request_ended(())
    assert exchange.got == [{"login": "alice", "next": "/dav/", "x": ""}]
    assert exchange.clock.getDelayedCalls() == []


def test_no_body_is_an_empty_form() -> None:
    exchange = Exchange(0)
    assert (exchange.got, exchange.relay) == ([{}], None)


def test_another_content_is_refused_before_it_is_taken() -> None:
    exchange = Exchange(10, b"text/plain")
    assert isinstance(exchange.error, WrongMediaType)
    assert not exchange.is_taken


def test_a_long_form_is_refused_before_it_is_taken() -> None:
    exchange = Exchange(MAX_FORM + 1)
    assert isinstance(exchange.error, BodyTooLarge)
    assert not exchange.is_taken


def test_nothing_is_kept_of_a_form_that_goes_on_and_on() -> None:
    exchange = Exchange(CHUNKED)
    for _ in range(5):
        exchange.relay.request_body(b"x" * (MAX_FORM // 2 + 1))
    exchange.relay.request_ended(())
    assert isinstance(exchange.error, BodyTooLarge)
    assert not any(exchange.relay.body.data)


def test_a_form_that_stops_coming_is_given_up() -> None:
    exchange = Exchange(10)
    exchange.clock.advance(WITHIN)
    assert isinstance(exchange.error, TooSlow)
    exchange.relay.request_body(b"x" * 10)
    exchange.relay.request_ended(())


def test_who_waits_is_ended_with_the_exchange() -> None:
    exchange = Exchange(10)
    exchange.reading.cancel()
    assert isinstance(exchange.error, CancelledError)
    exchange.relay.downstream_lost()
    assert exchange.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("typed", "password"),
    [
        (b"right", b"right"),
        (b"a+b%20c%2B%26%3D", b"a b c+&="),
        (b"%C3%A4%e2%82%ac", "ä€".encode()),
        (b"100%", b"100%"),
        (b"%zz%4", b"%zz%4"),
        (b"a=b", b"a=b"),
        (b"", b""),
    ],
)
def test_a_password_is_read_as_it_was_typed_and_kept_in_one_place(typed: bytes, password: bytes) -> None:
    body = b"login=alice&password=" + typed + b"&next=%2F"
    exchange = Exchange(len(body))
    exchange.relay.request_body(body)
    exchange.relay.request_ended(())
    [form] = exchange.got
    assert form == {"login": "alice", "next": "/"}
    assert form.password.data == password
    assert not any(exchange.relay.body.data)
    assert password == b"" or repr(password)[2:-1] not in repr(form) + repr(form.password)


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=2",
        b"a=%ff",
        b"\xff",
        b"&".join(b"%d=" % n for n in range(30)),
        b"password=%ff",
        b"password=\xc3\xa4",
        b"password=a&password=b",
        b"password=&password=",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    exchange = Exchange(len(body))
    exchange.relay.request_body(body)
    exchange.relay.request_ended(())
    assert isinstance(exchange.error, BadMessage)
