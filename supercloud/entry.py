"""The way into a portal from a workstation: its address, a token, and the authority that vouches for it.

It is kept in ``portal.toml``, which nobody but its owner may read. A token belongs to the portal that it was given for:
it is never taken for another one.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from supercloud.authn.private import Exposed, open_private
from supercloud.message.authorization import is_token

_PORTAL: Final = "SUPERCLOUD_PORTAL"
_TOKEN: Final = "SUPERCLOUD_TOKEN"  # noqa: S105  (a name)
_CA: Final = "SUPERCLOUD_CA"
_MOST_BYTES: Final = 64 * 1024
# Labels of letters, digits and dashes (RFC 1123 section 2.1), or an IPv6 literal.
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:.]{2,45}")
_REMEDY: Final = "remove it, revoke the token that it held, and log in again"


class Failed(Exception):
    """It was not done; the text is for the person, and says what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """:ivar url: the portal's own origin, as ``https://portal.example.org``.
    :ivar token: "" shows none.
    :ivar ca: file of the authority that is trusted instead of the system's; "" for the system's.
    """

    url: str
    token: str = field(repr=False)
    ca: str = ""


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    portal: str
    token: str
    ca: str = ""


def parse_url(text: str) -> str:
    """Read a portal's address, with or without ``https://``, as an origin.

    :raises Failed: it is none.
    """
    wrong = f"{text[:200]!r} is not a portal's address; write it as https://portal.example.org"
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Failed(wrong) from None
    whole = parts.username is None and parts.password is None and parts.path in ("", "/")
    if parts.scheme != "https" or not whole or parts.query or parts.fragment or not _HOST.fullmatch(host) or port == 0:
        raise Failed(wrong)
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}" if port in (None, 443) else f"https://{name}:{port}"


def known_portal(environment: Mapping[str, str]) -> str:
    """The portal's origin, where the environment names one that can be read; else ""."""
    with suppress(Failed):
        return parse_url(environment.get(_PORTAL, ""))
    return ""


def parse_token(text: str, url: str) -> str:
    """Read what was given as a token for a portal.

    :raises Failed: it is none; the text does not hold it.
    """
    if not is_token(text):
        raise Failed(f"this is no token: one begins with scp_. Make one for jobs at {url}/tokens")
    return text


def entry_file(environment: Mapping[str, str]) -> Path:
    """Where the entry is kept."""
    base = environment.get("XDG_CONFIG_HOME", "")
    # XDG Base Directory Specification: a relative path is to be ignored.
    folder = Path(base) if base.startswith("/") else Path("~/.config").expanduser()
    return folder / "supercloud" / "portal.toml"


def choose_entry(file: Path, environment: Mapping[str, str]) -> Entry:
    """What the environment says, and what is kept for the rest.

    :raises Failed: something is lacking, or cannot be read.
    """
    portal, token, ca = (environment.get(name, "") for name in (_PORTAL, _TOKEN, _CA))
    if portal and token:
        url = parse_url(portal)
        return Entry(url, parse_token(token, url), ca)
    kept = read_entry(file)
    if kept is None:
        raise Failed("no portal is known here. First: supercloud login https://PORTAL")
    if portal and parse_url(portal) != kept.url:
        # The token that is kept is for another portal, and none of this one's business.
        raise Failed(f"{_PORTAL} is not {kept.url}, where the token is from: set {_TOKEN} too, or log in there")
    return Entry(kept.url, parse_token(token, kept.url) if token else kept.token, ca or kept.ca)


def read_entry(file: Path) -> Entry | None:
    """What is kept; None when nothing is.

    :raises Failed: it cannot be read, or others may read it.
    """
    try:
        with os.fdopen(open_private(file, os.O_RDONLY, remedy=_REMEDY), "rb") as opened:
            kept = msgspec.toml.decode(opened.read(_MOST_BYTES), type=_Kept)
    except FileNotFoundError:
        return None
    except Exposed as error:
        raise Failed(str(error)) from None
    except OSError as error:
        why = "it is a symbolic link" if file.is_symlink() else error.strerror
        raise Failed(f"{file}: cannot be read ({why}); {_REMEDY}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Failed(f"{file}: cannot be read ({error}); log in again") from None
    url = parse_url(kept.portal)
    return Entry(url, parse_token(kept.token, url), kept.ca)


def write_entry(file: Path, entry: Entry) -> None:
    """Keep an entry, in place of what was kept: all of it or nothing. A link is replaced, and not followed.

    :raises Failed: it could not be written.
    """
    if not entry.ca.isprintable():
        raise Failed("the name of the authority's file has characters that cannot be kept: rename it")
    # Strings of JSON without control characters are basic strings of TOML.
    text = {"portal": entry.url, "token": entry.token, "ca": entry.ca}
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in text.items()]
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as out:
            out.write("".join(lines).encode())
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        raise Failed(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # it is in its place, or there never was one
            draft.unlink()
