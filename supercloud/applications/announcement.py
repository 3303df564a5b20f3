"""What running applications say of themselves: ``~/.local/share/supercloud/sessions/JOBID.json``; and Jupyter servers
that nobody started here, in their own runtime files.

The files are the account's own, and written by whatever it runs: each is read as if it came from a stranger.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from supercloud.applications.own_file import read_own_file

MOST_BYTES: Final = 64 * 1024
_MOST_FILES: Final = 200
_RUNTIME: Final = re.compile(r"jpserver-(\d{1,10})\.json")

_Port = Annotated[int, msgspec.Meta(ge=1024, le=65535)]
_Node = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})\Z")]
_Path = Annotated[str, msgspec.Meta(pattern=r"^/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,1023}\Z")]
# What may stand in a field of HTTP; see RFC 9110 section 11.4.
_Token = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{0,512}\Z")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{0,255}\Z")]


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Where an application listens.

    :ivar path: where it begins.
    :ivar token: that it wants to see.
    :ivar forward: name of a forward that leads to it; "" where there is none.
    :ivar written: when it said so, in seconds since the epoch.
    """

    node: _Node
    port: _Port
    path: _Path = "/"
    token: _Token = ""
    forward: _Name = ""
    written: float = 0.0


class _Runtime(msgspec.Struct, frozen=True):
    """Of a Jupyter server; the rest of it is of no use here."""

    url: str
    port: _Port
    pid: int
    base_url: _Path = "/"
    token: _Token = ""


def read_announcement(file: Path) -> Announcement | None:
    """What is announced; None when nothing is, or not properly."""
    found = _read(file)
    if found is None:
        return None
    data, changed = found
    try:
        told = msgspec.json.decode(data, type=Announcement)
    except (ValueError, RecursionError):
        return None
    return msgspec.structs.replace(told, written=changed)


def jupyter_servers(folder: Path) -> Iterator[tuple[int, Announcement]]:
    """Process id and place of each Jupyter server that left a runtime file; it may have ended long ago."""
    try:
        names = sorted(os.listdir(folder))[:_MOST_FILES]  # noqa: PTH208
    except OSError:
        return
    for name in names:
        found = _read(folder / name) if _RUNTIME.fullmatch(name) else None
        if found is None:
            continue
        try:
            told = msgspec.json.decode(found[0], type=_Runtime)
            host = urlsplit(told.url).hostname or ""
            place = Announcement(node=host, port=told.port, path=told.base_url, token=told.token, written=found[1])
            yield told.pid, msgspec.convert(msgspec.to_builtins(place), Announcement)  # which checks the node
        except (ValueError, RecursionError):
            continue


def _read(file: Path) -> tuple[bytes, float] | None:
    """A file of this account's, and when it was changed; what others may read holds no secret, and what they may write
    says nothing.
    """
    found = read_own_file(file, most=MOST_BYTES, closed=0o077)
    return None if found is None else (found[0], found[1].st_mtime)
