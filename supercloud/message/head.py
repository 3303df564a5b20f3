"""Heads of requests and responses: bytes to values, strictly (RFC 9112 sections 2 to 7).

httptools (llhttp) does the parsing. Around it stands what it lets through and a portal must not: a whole head is held
against one grammar first, so that no other party can read it in another way, and everything that decides where a
message ends is refused unless it can be read in one way only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import httptools

from supercloud.errors import BadMessage, HeadTooLarge, Unreachable
from supercloud.secret import wipe

# (name in lower case, name as received, value without surrounding white space); order and repeats are kept.
Field = tuple[bytes, bytes, bytes]

# Where a request shows a password or a token; what stood there is overwritten.
SHOWN_IN: Final = (b"x-supercloud-authorization", b"authorization")
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

# RFC 9112 section 3 and 5: no bare LF or CR, no NUL, no obs-fold, no space before the colon. An underscore or
# another sign in a request's field name is refused: gateways and CGI read X_Forwarded_User as X-Forwarded-User.
# The request line is always held against it: llhttp skips line ends before a method, and `_cut` would keep them.
_START = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]{1,32} [!-~]+ HTTP/1\.[01]")
_REQUEST = re.compile(_START.pattern + rb"\r\n(?:[0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")
_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_UNDERSCORE = re.compile(rb"\r\n([!#$%&'*+.^`|~0-9A-Za-z-]*_[!#$%&'*+.^_`|~0-9A-Za-z-]*):")
_MAX_DIGITS = 18  # of a length: an exabyte
_MAX_HOST = 261  # bytes; what is longer is none, and not remembered
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z/-]+")
_ONCE = (b"host", b"content-length", b"transfer-encoding")
_FRAMING = (b"content-length", b"transfer-encoding")
_EMPTY = (204, 205)  # and 1xx
_PLAIN_TARGET = re.compile(rb"/[!\x22\x24-~]*")  # origin form without "#"
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([/?].*)?", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class RequestHead:
    """A request line and its fields.

    :ivar target: origin form (RFC 9112 section 3.2.1); begins with ``/``.
    :ivar minor: 1 or 0 of HTTP/1.x.
    :ivar host: the ``Host`` field, in lower case.
    :ivar length: bytes of the body, or CHUNKED.
    :ivar keep_alive: whether the connection may carry another request.
    :ivar upgrade: the protocol asked for, in lower case; empty for none.
    :ivar options: connection options (RFC 9110 section 7.6.1), in lower case.
    :ivar raw: the head as it came; ``rest`` is what follows the target in it.
    :ivar first: the first value of each field, by its name in lower case.
    """

    method: bytes
    target: bytes
    minor: int
    fields: list[Field]
    host: bytes
    length: int
    keep_alive: bool
    upgrade: bytes
    options: tuple[bytes, ...]
    raw: bytes
    rest: bytes
    first: dict[bytes, bytes]

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, by its name in lower case."""
        return self.first.get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        """All values of a field, in order, by its name in lower case."""
        return [value for lower, _, value in self.fields if lower == name]

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def shows_password(self) -> bool:
        """Whether a field shows a login and a password (RFC 7617), to the portal or to an application."""
        return any(self.first.get(name, b"")[:6].lower() == b"basic " for name in SHOWN_IN)

    def forget_password(self) -> None:
        """Let go of the field that shows the portal who sent it, and of all that it was cut from: nothing of it is to
        stay in memory. That there was one is still known.
        """
        shown = SHOWN_IN[0] if SHOWN_IN[0] in self.first else SHOWN_IN[1]
        values = [value for lower, _, value in self.fields if lower == shown]
        self.fields = [field for field in self.fields if field[0] != shown]
        self.first = {**self.first, shown: b""}
        while values:
            value = values.pop()
            wipe(value)
        raw, rest = self.raw, self.rest
        self.raw = self.rest = b""
        wipe(raw)
        wipe(rest)


# Stands for a head that could not be read, while it is refused.
UNREADABLE: Final = RequestHead(b"", b"/", 1, [], b"", 0, False, b"", (), b"", b"", {})


@dataclass(slots=True)
class ResponseHead:
    """A status line and its fields.

    :ivar fields: what they say of the framing can be believed by whoever gets them.
    :ivar length: bytes of the body, CHUNKED, or UNTIL_CLOSE.
    :ivar keep_alive: whether the connection may carry another request after this response.
    """

    status: int
    reason: bytes
    minor: int
    fields: list[Field]
    length: int
    keep_alive: bool
    upgrade: bytes
    options: tuple[bytes, ...]
    raw: bytes

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, by its name in lower case."""
        for lower, _, value in self.fields:
            if lower == name:
                return value
        return None

    @property
    def is_interim(self) -> bool:
        """1xx, but not 101: another head follows."""
        return 100 <= self.status < 200 and self.status != 101


class _Nobody:
    """What httptools tells while it reads a head: nothing; it judges, and the fields are cut out afterwards."""


_NOBODY: Final = _Nobody()
# A head whose field names are all among these needs no look at each letter of them.
_KNOWN_NAMES: Final = frozenset(
    b"host connection cache-control pragma upgrade-insecure-requests user-agent accept accept-encoding accept-language "
    b"accept-charset cookie referer origin range if-range if-match if-none-match if-modified-since if-unmodified-since "
    b"content-type content-length content-encoding content-disposition content-range transfer-encoding te trailer "
    b"expect authorization upgrade date from via forwarded dnt priority purpose x-requested-with x-xsrftoken "
    b"x-csrf-token x-forwarded-for x-forwarded-proto x-forwarded-host x-request-id sec-fetch-site sec-fetch-mode "
    b"sec-fetch-dest sec-fetch-user sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-websocket-key "
    b"sec-websocket-version sec-websocket-protocol sec-websocket-extensions service-worker".split()
)
# Connection options of a message: each field is held against all of them.
_MOST_OPTIONS: Final = 32
# Values of nearly all Connection fields.
_USUAL_OPTIONS = {b"keep-alive": (b"keep-alive",), b"close": (b"close",), b"upgrade": (b"upgrade",)}


def _cut(raw: bytes) -> tuple[bytes, list[Field], dict[bytes, bytes]]:
    """The first line, the fields, and the first value of each, of a head that llhttp has read without complaint.

    That leaves one way to cut it: llhttp refuses bare CR and LF, folded fields, and space before a colon. Its own
    callbacks, one a field, would cost twice as much.
    """
    whole = raw[:-4]
    start, *lines = whole.split(b"\r\n")
    fields: list[Field] = []
    first: dict[bytes, bytes] = {}
    has_shown = False
    for text in lines:
        name, _, came = text.partition(b":")
        lower = name.lower()
        value = came.strip(b" \t")
        fields.append((lower, name, value))
        if lower not in first:
            first[lower] = value
        if lower in SHOWN_IN:
            has_shown = True
            wipe(came)
    if has_shown:
        while lines:
            text = lines.pop()
            wipe(text)
        wipe(whole)
    return start, fields, first


def _options(fields: list[Field], first: dict[bytes, bytes]) -> tuple[bytes, ...] | None:
    """The connection options of a message, in lower case (RFC 9110 section 7.6.1); None when they are too many."""
    value = first.get(b"connection")
    if value is None:
        return ()
    if len(first) == len(fields) and (usual := _USUAL_OPTIONS.get(value.lower())) is not None:
        return usual
    values = [value.lower() for lower, _, value in fields if lower == b"connection"]
    if sum(value.count(b",") + 1 for value in values) > _MOST_OPTIONS:
        return None
    return tuple(token.strip(b" \t") for value in values for token in value.split(b",") if token.strip(b" \t"))


def parse_request(raw: bytes, *, most_fields: int = 100) -> RequestHead:
    """Read one whole head, its empty line included.

    :raises BadMessage: for anything that could be read in two ways, an absolute target for another host than ``Host``
        names among it; the text says what.
    :raises HeadTooLarge: more fields than allowed.
    """
    if raw.find(b"\r\n\r\n") != len(raw) - 4:
        raise _why_not(raw)
    if raw.count(b"\n") > most_fields + 2:  # before anything is done for each
        raise HeadTooLarge(f"more than {most_fields} fields")
    try:
        httptools.HttpRequestParser(_NOBODY).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # An upgrade or CONNECT; what follows the head is not the parser's.
    except httptools.HttpParserError:
        raise _why_not(raw) from None
    start, fields, first = _cut(raw)
    if not _START.fullmatch(start) or (not _KNOWN_NAMES.issuperset(first) and not _REQUEST.fullmatch(raw)):
        raise _why_not(raw)
    method, target, version = start.split(b" ")
    minor = version[-1] - 0x30
    if len(first) != len(fields) and any(_is_repeated(fields, one) for one in _ONCE):
        raise BadMessage("Host, Content-Length or Transfer-Encoding more than once")
    host = first.get(b"host", b"").lower()
    if not is_host(host):
        raise BadMessage(f"Host {host[:80]!r}" if host else "no Host")
    length = 0
    if (value := first.get(b"content-length")) is not None:
        if not value.isdigit() or len(value) > _MAX_DIGITS:
            raise BadMessage(f"Content-Length {value[:40]!r}")
        length = int(value)
    if (value := first.get(b"transfer-encoding")) is not None:
        # RFC 9112 section 6.1: in HTTP/1.0 the framing is faulty; any other coding than chunked alone is odd.
        if b"content-length" in first or minor == 0 or value.lower() != b"chunked":
            raise BadMessage(f"Transfer-Encoding {value[:40]!r}")
        length = CHUNKED
    options = _options(fields, first)
    if options is None:
        raise BadMessage(f"more than {_MOST_OPTIONS} connection options")
    upgrade = first.get(b"upgrade", b"").lower()
    if upgrade and (b"upgrade" not in options or minor == 0 or not _TOKEN.fullmatch(upgrade)):
        upgrade = b""
    if upgrade.startswith((b"h2", b"http/", b"tls/")):
        upgrade = b""  # More requests behind it, which nobody would look at; asking may be ignored (RFC 9110 7.8).
    if upgrade and length:
        raise BadMessage("an upgrade with a body")
    keep_alive = b"close" not in options and (minor == 1 or b"keep-alive" in options)
    rest = raw[len(method) + 1 + len(target) :]
    target = _origin_form(target, method, host)
    return RequestHead(method, target, minor, fields, host, length, keep_alive, upgrade, options, raw, rest, first)


def parse_like(raw: bytes, last: RequestHead) -> RequestHead | None:
    """Read a head that differs from the last one on its connection in nothing but its target, if anything.

    What programs and scripts send mostly does, and then all else that was found out about the last head holds for this
    one: its ``fields`` are the very object of the last. The target is held against a grammar that is stricter than
    `parse_request`'s.

    :returns: None for any other head.
    """
    if raw == last.raw:
        return last
    rest, start = last.rest, len(last.method) + 1
    if not raw.endswith(rest) or raw[:start] != last.raw[:start]:
        return None
    target = raw[start : -len(rest)]
    if not _PLAIN_TARGET.fullmatch(target):
        return None
    return RequestHead(
        last.method, target, last.minor, last.fields, last.host, last.length, last.keep_alive, last.upgrade,
        last.options, raw, rest, last.first,
    )  # fmt: skip


def is_host(host: bytes) -> bool:
    """Whether it is of the form of a ``Host``."""
    return len(host) <= _MAX_HOST and _is_host(host)


@lru_cache(maxsize=1024)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def _origin_form(target: bytes, method: bytes, host: bytes) -> bytes:
    if target.startswith(b"/"):
        if b"#" in target:
            raise BadMessage("a fragment in the target")
        return target
    if target == b"*" and method == b"OPTIONS":
        return b"/"
    if method == b"CONNECT":
        return b"/"  # Refused by its method, with a better text than this stage has.
    if (absolute := _ABSOLUTE.fullmatch(target)) and b"#" not in target:
        if absolute[1].lower() != host:
            raise BadMessage(f"target for {absolute[1][:80]!r}, Host {host[:80]!r}")
        rest = absolute[2] or b"/"
        return rest if rest.startswith(b"/") else b"/" + rest
    raise BadMessage(f"target {target[:80]!r}")


def _why_not(raw: bytes) -> BadMessage:
    """The most telling of the reasons why a head is outside the grammar."""
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        return BadMessage("a bare CR or LF")
    if b"\0" in raw:
        return BadMessage("a NUL")
    if re.search(rb"\r\n[ \t]", raw):
        return BadMessage("a folded field (obs-fold)")
    if found := _UNDERSCORE.search(raw):
        name = found[1][:60].decode("ascii")
        return BadMessage(
            f"field name {name!r}",
            public=f"The field name {name} has an underscore, which gateways confuse with a dash. Write a dash.",
        )
    return BadMessage("not an HTTP/1.1 request head")


def parse_response(raw: bytes, *, method: bytes = b"GET", most_fields: int = 200) -> ResponseHead:
    """Read one whole head of an application.

    :param method: of the request that it answers; a response to HEAD has no body.
    :raises Unreachable: the application's head is malformed; the text says how.
    """
    if not raw.startswith(b"HTTP/1.") or raw.find(b"\r\n\r\n") != len(raw) - 4:
        raise Unreachable(f"malformed response head {raw[:60]!r}")
    if raw.count(b"\n") > most_fields + 2:
        raise Unreachable(f"more than {most_fields} fields in a response")
    try:
        httptools.HttpResponseParser(_NOBODY).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise Unreachable(f"response head refused: {error}") from None
    start, fields, first = _cut(raw)
    status, reason = int(start[9:12]), start[13:]
    if status < 100 or (reason != b"OK" and not _REASON.fullmatch(reason)):
        raise Unreachable(f"malformed status line {raw[:60]!r}")
    minor = start[7] - 0x30
    length = UNTIL_CLOSE
    if (value := first.get(b"content-length")) is not None:
        if not value.isdigit() or len(value) > _MAX_DIGITS or _is_repeated(fields, b"content-length"):
            raise Unreachable(f"Content-Length {value[:40]!r} in a response")
        length = int(value)
    if (value := first.get(b"transfer-encoding")) is not None:
        if (
            length != UNTIL_CLOSE
            or minor == 0
            or value.lower() != b"chunked"
            or _is_repeated(fields, b"transfer-encoding")
        ):
            raise Unreachable(f"Transfer-Encoding {value[:40]!r} in a response")
        length = CHUNKED
    options = _options(fields, first)
    if options is None:
        raise Unreachable(f"more than {_MOST_OPTIONS} connection options in a response")
    upgrade = first.get(b"upgrade", b"").lower()
    keep_alive = b"close" not in options and (minor == 1 or b"keep-alive" in options) and status != 101
    if status < 200 or status in _EMPTY:
        keep_alive = keep_alive and (length == 0 or (length == UNTIL_CLOSE and status != 205))
        fields, length = _emptied(status, fields), 0
    elif method == b"HEAD" or status == 304:
        length = 0
    return ResponseHead(
        status, reason, minor, fields, length, keep_alive and length != UNTIL_CLOSE, upgrade, options, raw
    )


def _emptied(status: int, fields: list[Field]) -> list[Field]:
    """The fields of a response without content, whatever they announce: who believed it would wait for some, and take
    the next head for it (RFC 9110 sections 8.6 and 15.3.6, RFC 9112 section 6.1).
    """
    kept = [one for one in fields if one[0] not in _FRAMING]
    return [*kept, (b"content-length", b"Content-Length", b"0")] if status == 205 else kept


def _is_repeated(fields: list[Field], name: bytes) -> bool:
    return sum(lower == name for lower, _, _ in fields) > 1
