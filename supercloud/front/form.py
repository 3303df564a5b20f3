"""Forms of the portal's own pages: small bodies, read whole."""

from __future__ import annotations

from typing import Final, NoReturn
from urllib.parse import parse_qsl

from twisted.internet.defer import Deferred

from supercloud.errors import BadMessage, BodyTooLarge, TooSlow, WrongMediaType
from supercloud.front.exchange import Exchange
from supercloud.message.head import Field

MAX_FORM: Final = 16 * 1024  # bytes: a password of 1,024 and an address to go on to, each byte written as three
MAX_FIELDS: Final = 20
WITHIN: Final = 15.0  # seconds for the whole body; it is sent by a browser that has all of it
_TYPE: Final = b"application/x-www-form-urlencoded"


async def read_form(exchange: Exchange) -> dict[str, str]:
    """The fields of a form.

    :raises WrongMediaType: the body is something else.
    :raises BodyTooLarge: over `MAX_FORM`; no more than that is ever held.
    :raises TooSlow: it did not come `WITHIN`.
    :raises BadMessage: it cannot be read, or names a field twice.
    """
    head = exchange.head
    if (head.get(b"content-type") or b"").partition(b";")[0].strip().lower() != _TYPE:
        raise WrongMediaType(f"content type {(head.get(b'content-type') or b'')[:60]!r}")
    body = b""
    if head.length > MAX_FORM:
        raise BodyTooLarge(f"a form of {head.length} bytes")
    if head.length:
        body = await _Reader(exchange).whole.addTimeout(WITHIN, exchange.clock, _too_slow)
    return _parse(body)


def _too_slow(_: object, seconds: float) -> NoReturn:
    raise TooSlow(f"a form that takes longer than {seconds:g} s")


def _parse(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="utf-8", errors="strict"
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise BadMessage(f"form: {type(error).__name__}") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadMessage("form names a field twice")
    return fields


class _Reader:
    """Takes the place of a relay while a body comes; see `exchange.Relay`.

    :ivar whole: the body. Whoever waits for it is ended with the exchange.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._parts: list[bytes] = []
        self._room = MAX_FORM
        exchange.carry(self)
        exchange.start_request_body(self)

    def request_body(self, payload: bytes) -> None:
        self._room -= len(payload)
        if self._room >= 0:
            self._parts.append(payload)
        elif not self.whole.called:
            self._parts.clear()
            self.whole.errback(BodyTooLarge("a form without an end"))

    def request_ended(self, trailers: tuple[Field, ...]) -> None:
        if not self.whole.called:
            self.whole.callback(b"".join(self._parts))

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
