"""An application as it is addressed from outside, and the fields that must be written anew between the two.

Toward the application a request says ``Host: NODE:PORT`` and nothing of the portal's; toward the browser nothing of the
inside address is left, and nothing that would bind the portal's own origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from supercloud.errors import Unreachable
from supercloud.message.authorization import holds_token
from supercloud.message.claims import USUAL, Claims
from supercloud.message.fields import HOP_BY_HOP, MAX_PARTS, line, parts_in, rewrite_set_cookie, without_reserved
from supercloud.message.head import CHUNKED, Field, RequestHead, ResponseHead
from supercloud.rewrite.coding import asked_coding
from supercloud.rewrite.links import Links, below
from supercloud.target import Application, Forward, Origin

# What `Claims` hold is told by the portal, and never believed from a browser.
_INWARD_DROPPED = HOP_BY_HOP | {b"host", b"origin", b"content-length", b"x-request-id", b"via"}
_INWARD_REWRITTEN = frozenset({b"cookie", b"referer", b"authorization"})

# RFC 9110, and the fields that speak for a whole origin, or for the transport that is the portal's.
_OUTWARD_DROPPED = HOP_BY_HOP | {b"cross-origin-resource-policy", b"strict-transport-security", b"alt-svc"}
_OF_AN_ORIGIN = frozenset(
    {
        b"clear-site-data",
        b"cross-origin-opener-policy",
        b"cross-origin-opener-policy-report-only",
        b"nel",
        b"reporting-endpoints",
        b"report-to",
        b"service-worker-allowed",
        b"origin-agent-cluster",
        b"public-key-pins",
    }
)
PORTAL_DROPPED = _OUTWARD_DROPPED | _OF_AN_ORIGIN
_CACHING = frozenset({b"cache-control", b"expires", b"pragma", b"age"})
_REWRITTEN = frozenset({b"location", b"content-location", b"refresh", b"link", b"set-cookie"})

GUARD: Final = b"Content-Security-Policy: frame-ancestors 'self'\r\nCross-Origin-Resource-Policy: same-origin\r\n"
_INERT: Final = b"Content-Security-Policy: sandbox\r\nX-Content-Type-Options: nosniff\r\n"
_NO_STORE: Final = b"Cache-Control: no-store\r\n"
_ABSOLUTE = re.compile(rb"(https?):(//)([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
# Possessive, and the end is left to `strip`: a value of 100 KB must not be tried from each of its spaces anew.
_REFRESH = re.compile(rb"\s*+[0-9.]++\s*+[;,]\s*+(?:url\s*+=\s*+)?", re.IGNORECASE)
# Where the paper rewrites links. Open OnDemand, whose /node/ and /rnode/ are, does not, and its applications expect it.
REWRITING: Final = (b"/fw/", b"/fw2/", b"/dbfw/")
_LINK = re.compile(rb"<([^<>]*)>")
_TOO_MANY: Final = (
    f"The application's answer has more than {MAX_PARTS} links and cookie attributes in its head. "
    "Name fewer in the fields Link and Set-Cookie."
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an application lives for its viewer.

    :ivar prefix: path prefix, without a slash at its end; empty on an own origin.
    :ivar is_cut: the application sees the path after the prefix only.
    :ivar is_foreign: its owner is not the viewer.
    :ivar forward: by which it is addressed; None when it is by node and port.
    :ivar root: the beginning of all targets in it.
    :ivar outside: what stands for the application's root in the browser's address line, without the slash.
    :ivar inside: the application's authority, as it sees it in ``Host``.
    :ivar base: path of the application that the outside root stands for, without the slash.
    :ivar links: writes links of the application's for the browser.
    :ivar told: the X-Forwarded lines that are the same for each request.
    """

    origin: Origin
    application: Application
    prefix: bytes = b""
    is_cut: bool = True
    is_foreign: bool = False
    forward: Forward | None = None
    root: bytes = field(init=False, repr=False, compare=False)
    outside: bytes = field(init=False, repr=False, compare=False)
    inside: bytes = field(init=False, repr=False, compare=False)
    base: bytes = field(init=False, repr=False, compare=False)
    links: Links = field(init=False, repr=False, compare=False)
    told: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        cut = self.prefix if self.is_cut else b""
        told = line(b"X-Forwarded-Proto", b"https") + line(b"X-Forwarded-Host", self.origin.host.encode("ascii"))
        object.__setattr__(self, "root", self.prefix + b"/")
        object.__setattr__(self, "outside", self.origin.url.encode("ascii") + cut)
        object.__setattr__(self, "inside", str(self.application).encode("ascii"))
        object.__setattr__(self, "base", self.forward.base if self.forward is not None else b"")
        url, host = self.origin.url.encode("ascii"), self.origin.host.encode("ascii")
        object.__setattr__(self, "links", Links(url, host, self.inside, cut, self.base))
        object.__setattr__(self, "told", told + line(b"X-Forwarded-Prefix", cut) if cut else told)

    @property
    def is_inert(self) -> bool:
        """Whether only programs are answered here: what a browser got all the same could do nothing."""
        return not self.origin.has_prefixes and (self.origin.is_portal or self.origin.is_unowned)

    @property
    def has_links_rewritten(self) -> bool:
        """Whether pages and style sheets of the application's are rewritten."""
        return self.is_cut and self.prefix.startswith(REWRITING)


def inward(head: RequestHead, place: Place, *, login: str, address: str, via: bytes) -> bytes:
    """The head that the application gets; see `inward_target` and `inward_fields`."""
    fields = inward_fields(head, place, login=login, address=address, via=via)
    return head.method + b" " + inward_target(head.target, place) + fields


def inward_target(target: bytes, place: Place) -> bytes:
    """A request's target as the application knows it."""
    if place.prefix and place.is_cut:
        target = target[len(place.prefix) :]
        if not target.startswith(b"/"):
            target = b"/" + target
    return place.base + target


def inward_fields(
    head: RequestHead,
    place: Place,
    *,
    login: str,
    address: str,
    via: bytes,
    handed: bytes = b"",
    claims: Claims = USUAL,
) -> bytes:
    """What follows the target in the head that the application gets.

    :param login: the viewer's account.
    :param address: the browser's.
    :param via: the portal's own entry of ``Via`` (RFC 9110 section 7.6.3).
    :param handed: what lets the viewer into their own application, for requests that bear nothing of the kind.
    :param claims: what is not believed.
    """
    out = [b" HTTP/1.1\r\nHost: %b\r\n" % place.inside]
    if place.has_links_rewritten:
        out.append(line(b"Accept-Encoding", asked_coding(head.get_all(b"accept-encoding"))))
    out += _inward_lines(head.fields, head.options, place, claims)
    if place.forward is not None and place.forward.authorization:
        out.append(line(b"Authorization", place.forward.authorization))
    elif handed and b"authorization" not in head.first:
        out.append(line(b"Authorization", handed))
    if head.length == CHUNKED:
        out.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length or b"content-length" in head.first:
        out.append(b"Content-Length: %d\r\n" % head.length)
    if head.upgrade:
        out.append(b"Connection: upgrade\r\nUpgrade: " + head.upgrade + b"\r\n")
    if b"via" in head.first:
        via = b", ".join([*head.get_all(b"via"), via])
    out.append(
        b"Via: %b\r\nX-Forwarded-For: %b\r\nX-Forwarded-User: %b\r\n%b\r\n"
        % (via, address.encode("ascii"), login.encode("ascii"), place.told)
    )
    return b"".join(out)


def _inward_lines(fields: Iterable[Field], options: tuple[bytes, ...], place: Place, claims: Claims) -> list[bytes]:
    """What an application gets of a request's fields, or of its trailers."""
    out: list[bytes] = []
    hold, is_asked_for = claims.hold, place.has_links_rewritten
    for lower, name, value in fields:
        if lower in _INWARD_DROPPED or lower in options or hold(lower):
            continue
        if is_asked_for and lower == b"accept-encoding":
            continue  # the portal says what it can read
        if lower in _INWARD_REWRITTEN:
            value = _rewrite_inward(lower, value, place)
            if not value:
                continue
        out.append(name + b": " + value + b"\r\n")
    return out


def _rewrite_inward(lower: bytes, value: bytes, place: Place) -> bytes:
    """A field's value for the application; empty when it is not to have the field."""
    if lower == b"cookie":
        return without_reserved(value)
    if lower == b"authorization":
        is_told = place.forward is not None and place.forward.authorization
        return b"" if is_told or holds_token(value) else value
    return _referer(value, place)


def _referer(value: bytes, place: Place) -> bytes:
    """The page that asked, as the application knows it; empty when it was not one of the application's."""
    outside = place.outside
    if value != outside and not value.startswith((outside + b"/", outside + b"?")):
        return b""
    rest = value[len(outside) :]
    scheme = b"https://" if place.forward is not None and place.forward.is_tls else b"http://"
    return scheme + place.inside + place.base + (rest if rest.startswith(b"/") else b"/" + rest)


def outward(head: ResponseHead, place: Place) -> list[bytes]:
    """The field lines that the browser gets, without those of the framing.

    :raises Unreachable: they have too many parts to be rewritten.
    """
    if sum(parts_in(lower, value) for lower, _, value in head.fields if lower in _REWRITTEN) > MAX_PARTS:
        raise Unreachable(f"more than {MAX_PARTS} links and cookie attributes in a response", public=_TOO_MANY)
    out = _outward_lines(head.fields, head.options, place)
    out.append(GUARD)
    if place.is_inert:
        out.append(_INERT)
    if place.is_foreign or place.is_inert:
        out.append(_NO_STORE)
    return out


def _outward_lines(fields: Iterable[Field], options: tuple[bytes, ...], place: Place) -> list[bytes]:
    """What a browser gets of a response's fields, or of its trailers."""
    out: list[bytes] = []
    dropped = PORTAL_DROPPED if place.origin.has_prefixes or place.is_inert else _OUTWARD_DROPPED
    for lower, name, value in fields:
        if lower in dropped or (lower in options and lower != b"content-length"):
            continue
        if lower in _REWRITTEN:
            written = _rewrite(lower, value, place)
            if written is None:
                continue
            value = written
        elif (place.is_foreign or place.is_inert) and lower in _CACHING:
            continue
        out.append(name + b": " + value + b"\r\n")
    return out


@dataclass(frozen=True, slots=True)
class Trailers:
    """Which trailers pass, and as what: each as it would in the head of its message; see relay.http.Trailing.

    :ivar options: of the request's connection.
    """

    place: Place
    options: tuple[bytes, ...]
    claims: Claims

    def inward(self, trailers: tuple[Field, ...]) -> list[bytes]:
        """Those of the request."""
        return _inward_lines(trailers, self.options, self.place, self.claims)

    def outward(self, trailers: tuple[Field, ...], head: ResponseHead) -> list[bytes]:
        """Those of a response with such a head."""
        return _outward_lines(trailers, head.options, self.place)


class Outward:
    """Writes an application's fields for the browser, and remembers the last: heads repeat.

    :ivar last: the head that was written last.
    """

    __slots__ = ("_place", "_written", "last")

    def __init__(self, place: Place) -> None:
        self._place = place
        self._written = b""
        self.last: ResponseHead | None = None

    def __call__(self, head: ResponseHead) -> bytes:
        """The field lines that the browser gets, without those of the framing."""
        if self.last is None or head.raw != self.last.raw:
            self.last, self._written = head, b"".join(outward(head, self._place))
        return self._written


def _rewrite(lower: bytes, value: bytes, place: Place) -> bytes | None:
    if lower == b"set-cookie":
        if place.prefix and not place.is_cut:
            return _keep_cookie_inside(value, place.prefix)
        return rewrite_set_cookie(_cut_cookie_path(value, place.base), prefix=place.prefix)
    if lower == b"refresh":
        return place.links.refresh(value)
    if lower == b"link":
        return _LINK.sub(lambda found: b"<" + place.links(found[1]) + b">", value)
    return place.links(value)


def _keep_cookie_inside(value: bytes, prefix: bytes) -> bytes | None:
    """For an application that knows its prefix: its Path stays, as long as it is under the prefix."""
    written = rewrite_set_cookie(value, prefix=b"")
    if written is None:
        return None
    parts = written.split(b"; ")
    kept = [part for part in parts[1:] if part.partition(b"=")[0].strip().lower() != b"path"]
    paths = [
        part.partition(b"=")[2].strip() for part in parts[1:] if part.partition(b"=")[0].strip().lower() == b"path"
    ]
    path = paths[-1] if paths and (paths[-1] == prefix or paths[-1].startswith(prefix + b"/")) else prefix + b"/"
    return b"; ".join([parts[0], *kept, b"Path=" + path])


def _cut_cookie_path(value: bytes, base: bytes) -> bytes:
    """With a Path as it is below the root of an application's forward."""
    if not base:
        return value
    pair, *attributes = value.split(b";")
    for index, attribute in enumerate(attributes):
        name, _, path = (part.strip(b" \t") for part in attribute.partition(b"="))
        if name.lower() == b"path":
            attributes[index] = b"Path=" + below(path, base)
    return b";".join([pair, *attributes])


def names_via(head: RequestHead, pseudonym: bytes) -> bool:
    """Whether a message has passed a gateway of that name (RFC 9110 section 7.6.3)."""
    if b"via" not in head.first:
        return False
    named = re.compile(rb"(?:\A|[\s,])" + re.escape(pseudonym) + rb"(?:[\s,]|\Z)")
    return any(named.search(value) for value in head.get_all(b"via"))
