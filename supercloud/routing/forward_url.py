"""What a forward's file says: one URL, as users' scripts write it. Pure; what is wrong is told in words for its owner.

``echo "http://$(hostname -s):${SLURM_STEP_RESV_PORTS}/" >> FILE`` is what scripts do, so the file may hold several
lines, of which the last one counts, the port may be a range, of which the first one counts, the slash may be missing,
and letters may be upper-case.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

from supercloud.target import Application

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?:(?P<userinfo>[^@/?#]*)@)?(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<node>[^:/?#\[\]]*))"
    r"(?::(?P<port>[^/?#]*))?(?P<path>/[^?#]*)?(?P<rest>[?#].*)?",
    re.IGNORECASE,
)
_NODE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
# SLURM_STEP_RESV_PORTS: one port, a range, or several of either.
_PORT: Final = re.compile(r"([1-9][0-9]{0,4})(?:[-,][0-9,-]{1,100})?")
_VISIBLE: Final = re.compile(r"[!-~]+")  # a URL has no others (RFC 3986 section 2)
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


class Unreadable(ValueError):
    """The file leads nowhere; the text says why and what would be right, for the owner."""


@dataclass(frozen=True, slots=True)
class ForwardUrl:
    """Where a file leads; see `target.Forward`."""

    application: Application
    base: bytes
    is_tls: bool
    authorization: bytes = field(repr=False)
    lines: int


def read_forward(data: bytes) -> ForwardUrl | None:
    """Read what a forward's file holds; None when it holds nothing: the name is kept, nothing is forwarded.

    :raises Unreadable: says what would be right.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise Unreadable("the file holds something else than plain letters") from None
    # As a shell writes lines: str.splitlines would end them at separators too that no editor shows.
    lines = [line for one in text.split("\n") if (line := one.strip(" \t\r"))]
    return _read_url(lines[-1], len(lines)) if lines else None


def _read_url(line: str, lines: int) -> ForwardUrl:
    found = _URL.fullmatch(line) if _VISIBLE.fullmatch(line) else None
    where = "its last line" if lines > 1 else "the line"
    if found is None:
        raise Unreadable(f"{where} is not a URL; write one as http://NODE:PORT/")
    if found["rest"]:
        raise Unreadable(f"{where} has a query or a fragment; leave out what begins with ? or #")
    base = (found["path"] or "").rstrip("/").encode("ascii")
    application = Application(_node(found, where), _port(found["port"], where))
    return ForwardUrl(application, base, found["scheme"].lower() == "https", _basic(found["userinfo"], where), lines)


def _node(found: re.Match[str], where: str) -> str:
    if found["literal"]:
        try:
            return str(IPv6Address(found["literal"]))
        except ValueError:
            raise Unreadable(f"{where} has an address that is none: [{found['literal']}]") from None
    node = str(found["node"]).lower()
    if not _NODE.fullmatch(node) or ".." in node:
        raise Unreadable(f"{where} names no node; write it as http://NODE:PORT/, where NODE is what hostname -s prints")
    return node


def _port(text: str | None, where: str) -> int:
    if not text:
        raise Unreadable(
            f"{where} has no port; in a job step that was started with --resv-ports=1 it is in $SLURM_STEP_RESV_PORTS"
        )
    found = _PORT.fullmatch(text)
    if found is None or int(found[1]) > 65535:
        raise Unreadable(f"{where} has a port that is none: {text}")
    return int(found[1])


def _basic(userinfo: str | None, where: str) -> bytes:
    """The value of ``Authorization`` (RFC 7617); empty for none."""
    if not userinfo:
        return b""
    text = unquote_to_bytes(userinfo)
    if _CONTROL.search(text):
        raise Unreadable(f"{where} has a login or password with control characters")
    return b"Basic " + base64.b64encode(text if b":" in text else text + b":")
