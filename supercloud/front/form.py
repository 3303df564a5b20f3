"""Forms of the portal's own pages: small bodies, read whole."""

from __future__ import annotations

import re
from typing import Final, NoReturn
from urllib.parse import unquote_plus

from twisted.internet.defer import Deferred

from supercloud.errors import BadMessage, BodyTooLarge, TooSlow, WrongMediaType
from supercloud.front.exchange import Exchange
from supercloud.message.head import Field
from supercloud.secret import Secret

MAX_FORM: Final = 16 * 1024  # bytes: a password of 1,024 and an address to go on to, each byte written as three
MAX_FIELDS: Final = 20
WITHIN: Final = 15.0  # seconds for the whole body; it is sent by a browser that has all of it
_TYPE: Final = b"application/x-www-form-urlencoded"
_PASSWORD: Final = "password"  # noqa: S105 - the field's name
_BETWEEN: Final = re.compile(rb"&")
_NOT_ASCII: Final = re.compile(rb"[^\x00-\x7f]")
_PLUS, _SPACE, _PERCENT = b"+ %"
_NONE: Final = Secret(b"")
_HEX: Final = {ord(letter): int(letter, 16) for letter in "0123456789abcdefABCDEF"}


class Form(dict[str, str]):
    """The fields of a form, without its password.

    :ivar password: overwritten by whoever used it; empty where there is none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.password = _NONE

    def add(self, body: bytearray, start: int, end: int) -> None:
        """A field that stands there.

        :raises BadMessage: it cannot be read, or is there already.
        """
        equals = body.find(b"=", start, end)
        name = _text(bytes(body[start : end if equals < 0 else equals]))
        begin = end if equals < 0 else equals + 1
        if name in self or (name == _PASSWORD and self.password is not _NONE):
            raise BadMessage("form names a field twice")
        if name == _PASSWORD:
            self.password = _unquoted(body, begin, end)
        else:
            self[name] = _text(bytes(body[begin:end]))


async def read_form(exchange: Exchange) -> Form:
    """The fields of a form; of the body nothing stays.

    :raises WrongMediaType: the body is something else.
    :raises BodyTooLarge: over `MAX_FORM`; no more than that is ever held.
    :raises TooSlow: it did not come `WITHIN`.
    :raises BadMessage: it cannot be read, or names a field twice.
    """
    head = exchange.head
    if (head.get(b"content-type") or b"").partition(b";")[0].strip().lower() != _TYPE:
        raise WrongMediaType(f"content type {(head.get(b'content-type') or b'')[:60]!r}")
    if head.length > MAX_FORM:
        raise BodyTooLarge(f"a form of {head.length} bytes")
    if not head.length:
        return Form()
    reader = _Reader(exchange)
    try:
        await reader.whole.addTimeout(WITHIN, exchange.clock, _too_slow)
        return _parse(reader.body.data, reader.size)
    finally:
        reader.body.wipe()


def _too_slow(_: object, seconds: float) -> NoReturn:
    raise TooSlow(f"a form that takes longer than {seconds:g} s")


def _parse(body: bytearray, size: int) -> Form:
    """:param size: bytes of the body that are the form."""
    if _NOT_ASCII.search(body, 0, size):
        raise BadMessage("form: not quoted")
    starts = [0, *(found.end() for found in _BETWEEN.finditer(body, 0, size))]
    if len(starts) > MAX_FIELDS:
        raise BadMessage(f"a form of {len(starts)} fields")
    form = Form()
    try:
        for start, end in zip(starts, [*(one - 1 for one in starts[1:]), size], strict=True):
            if start < end:
                form.add(body, start, end)
    except BadMessage:
        form.password.wipe()
        raise
    return form


def _text(quoted: bytes) -> str:
    try:
        return unquote_plus(quoted.decode("ascii"), encoding="utf-8", errors="strict")
    except ValueError as error:  # UnicodeDecodeError is one
        raise BadMessage(f"form: {type(error).__name__}") from None


def _unquoted(body: bytearray, at: int, end: int) -> Secret:
    """As `_text` does, but into one place."""
    made = Secret(bytes(end - at))
    to = 0
    while at < end:
        code = body[at]
        at += 1
        if code == _PLUS:
            code = _SPACE
        elif code == _PERCENT and at + 2 <= end and body[at] in _HEX and body[at + 1] in _HEX:
            code = _HEX[body[at]] << 4 | _HEX[body[at + 1]]
            at += 2
        made.data[to] = code
        to += 1
    with memoryview(made.data) as whole:
        fitting = Secret(whole[:to])
    made.wipe()
    if not fitting.is_text:
        fitting.wipe()
        raise BadMessage("form: not UTF-8")
    return fitting


class _Reader:
    """Takes the place of a relay while a body comes; see `exchange.Relay`.

    :ivar whole: when the body is there. Whoever waits for it is ended with the exchange.
    :ivar body: in one place, which is large enough from the beginning; ``size`` bytes of it have come.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.whole: Deferred[None] = Deferred()
        self.body = Secret(bytes(MAX_FORM))
        self.size = 0
        exchange.carry(self)
        exchange.start_request_body(self)

    def request_body(self, payload: bytes) -> None:
        if self.whole.called:
            return
        if self.size + len(payload) <= MAX_FORM:
            self.body.data[self.size : self.size + len(payload)] = payload
            self.size += len(payload)
        else:
            self.whole.errback(BodyTooLarge("a form without an end"))

    def request_ended(self, trailers: tuple[Field, ...]) -> None:
        if not self.whole.called:
            self.whole.callback(None)

    def tunnel_sent(self, data: bytes) -> bytes:
        """Never: no tunnel is opened."""
        return b""

    def downstream_ended(self) -> None:
        """Nothing more comes."""

    def downstream_lost(self) -> None:
        """The exchange ends whoever waits."""

    def downstream_choked(self) -> None:
        """Pages are small."""

    def downstream_drained(self) -> None:
        """Pages are small."""

    def portal_stops(self) -> None:
        """The exchange is the connection's last."""

    def access_ended(self, reason: str) -> bool:
        """Nothing was let in yet."""
        return False
