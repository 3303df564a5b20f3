"""Fields that need care on their way through a gateway: hop-by-hop fields, cookies (RFC 9110, RFC 6265)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from supercloud.message.head import Field

# RFC 9110 section 7.6.1: meant for the next hop only; the framing is made anew for it.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)

# Names that a portal sets for itself; a browser keeps pages from making cookies of the last kind.
RESERVED_COOKIE: Final = b"__host-http-"
_RESERVED_PAIR: Final = re.compile(rb";[ \t]*+__host-http-[^;]*+", re.IGNORECASE)
# What `parts_in` counts of one head, at most. Browsers know a dozen attributes of a cookie, and pages name some tens of
# links; each costs 1 to 3 µs.
MAX_PARTS: Final = 1000


def line(name: bytes, value: bytes) -> bytes:
    """One field line. Neither part holds a line end; both come from a parsed head or from the portal itself."""
    return name + b": " + value + b"\r\n"


def cookie(fields: list[Field], name: bytes) -> bytes | None:
    """The value of the first cookie of that name, over all Cookie fields; split on ``;`` only."""
    wanted = _pair_named(name)
    for lower, _, value in fields:
        if lower == b"cookie" and (found := wanted.search(value)):
            return found[1].rstrip(b" \t")
    return None


@lru_cache(maxsize=64)
def _pair_named(name: bytes) -> re.Pattern[bytes]:
    """Finds a cookie: a field of semicolons alone must not be cut at each."""
    return re.compile(rb"(?:\A|;)[ \t]*+" + re.escape(name) + rb"=([^;]*+)")


def reserved_twice(fields: list[Field]) -> tuple[bytes, ...]:
    """Names of the portal's own cookies of which a request has several: whose each is cannot be told."""
    once: set[bytes] = set()
    twice: dict[bytes, None] = {}
    for lower, _, value in fields:
        if lower == b"cookie" and RESERVED_COOKIE in value.lower():
            for pair in _RESERVED_PAIR.findall(b";" + value):
                name = pair[1:].partition(b"=")[0].strip(b" \t")
                if name in once:
                    twice[name] = None
                once.add(name)
    return tuple(twice)


def without_reserved(value: bytes) -> bytes:
    """A Cookie field's value without the portal's own cookies, in any spelling; may come out empty."""
    if RESERVED_COOKIE not in value.lower():
        return value
    return _RESERVED_PAIR.sub(b"", b";" + value)[1:].strip(b" \t")


def parts_in(lower: bytes, value: bytes) -> int:
    """How many parts of a field's value have to be looked at, one by one, where it is rewritten."""
    return value.count(b"<") if lower == b"link" else value.count(b";") if lower == b"set-cookie" else 0


def set_cookie_name(value: bytes) -> bytes:
    """The name in a Set-Cookie value, in lower case. A value without ``=`` is a cookie with an empty name, whose
    value browsers read back as if it were a name; it counts as one (RFC 6265bis section 5.7).
    """
    pair = value.partition(b";")[0]
    name, equals, content = pair.partition(b"=")
    return (
        name.strip(b" \t") if equals and name.strip(b" \t") else (content if equals else name).strip(b" \t")
    ).lower()


def rewrite_set_cookie(value: bytes, *, prefix: bytes) -> bytes | None:
    """A Set-Cookie value of an application for the browser: no Domain, and its Path under ``prefix``.

    :returns: None when the name is reserved for the portal.
    """
    if set_cookie_name(value).startswith(RESERVED_COOKIE):
        return None
    pair, *attributes = value.split(b";")
    kept = [pair.strip(b" \t")]
    has_path = False
    for attribute in attributes:
        name, _, content = attribute.strip(b" \t").partition(b"=")
        lower = name.strip(b" \t").lower()
        if lower == b"domain":
            continue
        if lower == b"path" and prefix:
            path = content.strip(b" \t")
            has_path = True
            attribute = b"Path=" + prefix + (path if path.startswith(b"/") else b"/")
        kept.append(attribute.strip(b" \t"))
    if prefix and not has_path:
        # The browser's default is the directory of the address, which is under the prefix already; but the root page
        # of an application without a slash would set it for the whole portal.
        kept.append(b"Path=" + prefix + b"/")
    return b"; ".join(kept)
