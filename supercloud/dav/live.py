"""Live properties (RFC 4918 section 15) written as text, many members in a row.

What a request asks for becomes a template, once for files and once for folders, so that a member costs one formatting.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from os import path as os_path
from os import stat_result
from typing import Final, NamedTuple
from urllib.parse import quote

from supercloud.dav.provider import content_type, etag_of, modified_of
from supercloud.dav.tree import SAFE
from supercloud.dav.xml_text import DAV, empty, text

_DAY: Final = 86400
_WEEK: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_YEAR: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Names that are the same in a URL, in XML and on the disk; most are.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~!*(),$+:@=-]+").fullmatch
_COMPRESSED: Final = (".gz", ".bz2", ".xz", ".Z", ".br")
_BOTH_LOCKS: Final = "".join(
    f"<D:lockentry><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    for scope in ("exclusive", "shared")
)
_OWNCLOUD: Final = "{http://owncloud.org/ns}"

QUOTA: Final = (f"{DAV}quota-available-bytes", f"{DAV}quota-used-bytes")
LOCKDISCOVERY: Final = f"{DAV}lockdiscovery"


class Member(NamedTuple):
    """A resource that is answered about.

    :ivar href: quoted, as the client sees it; a folder's ends with a slash.
    :ivar name: on the disk; its last segment.
    """

    href: str
    name: str
    status: stat_result
    is_folder: bool


Make = Callable[[Member], str]


def member(folder_href: str, name: str, status: stat_result, *, is_folder: bool) -> Member:
    """A member of a folder.

    :param folder_href: ends with a slash.
    """
    quoted = name if _PLAIN(name) else quote(name, safe=SAFE, errors="surrogateescape")
    return Member(f"{folder_href}{quoted}/" if is_folder else folder_href + quoted, name, status, is_folder)


def _length(one: Member) -> str:
    return str(one.status.st_size)


def _kind(one: Member) -> str:
    stem, suffix = os_path.splitext(one.name)  # noqa: PTH122 - for each member
    return _kind_of(os_path.splitext(stem)[1] + suffix if suffix in _COMPRESSED else suffix)  # noqa: PTH122


@lru_cache(maxsize=1024)
def _kind_of(suffix: str) -> str:
    return text(content_type(f"name{suffix}"))


def _etag(one: Member) -> str:
    return f'"{etag_of(one.status)}"'


def _modified(one: Member) -> str:
    day, second = divmod(modified_of(one.status), _DAY)
    return f"{_day(day)[0]} {_clock(second)} GMT"


def _created(one: Member) -> str:
    # Linux tells no birth time through stat(2); the earliest time that it does tell comes closest.
    day, second = divmod(min(modified_of(one.status), max(0, int(one.status.st_ctime))), _DAY)
    return f"{_day(day)[1]}T{_clock(second)}Z"


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


@lru_cache(maxsize=1024)
def _day(number: int) -> tuple[str, str]:
    """A day since 1970 as RFC 9110 section 5.6.7 and RFC 3339 write it."""
    at = time.gmtime(number * _DAY)
    return (
        f"{_WEEK[at.tm_wday]}, {at.tm_mday:02} {_YEAR[at.tm_mon - 1]} {at.tm_year:04}",
        f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02}",
    )


def _name(one: Member) -> str:
    return one.name if _PLAIN(one.name) else text(one.name)


# For a file and for a folder: how it is made, or the text itself; None where it does not exist.
_Pair = tuple[Make | str | None, Make | str | None]
_LIVE: Final[dict[str, _Pair]] = {
    f"{DAV}resourcetype": ("", "<D:collection/>"),
    f"{DAV}displayname": (_name, _name),
    f"{DAV}getcontentlength": (_length, None),
    f"{DAV}getcontenttype": (_kind, None),
    f"{DAV}getetag": (_etag, None),
    f"{DAV}getlastmodified": (_modified, _modified),
    f"{DAV}creationdate": (_created, _created),
    f"{DAV}supportedlock": (_BOTH_LOCKS, _BOTH_LOCKS),
}


def is_dead(name: str) -> bool:
    """Whether a client may have stored it: nothing of DAV's own, nor of ownCloud's, whose answers are never stored."""
    return not name.startswith((DAV, _OWNCLOUD))


@dataclass(frozen=True, slots=True)
class Template:
    """The live properties of one kind of resource.

    :ivar found: elements, with a ``%s`` for each of ``makers``.
    :ivar missing: elements that do not exist.
    """

    found: str
    makers: tuple[Make, ...]
    missing: str

    def fill(self, one: Member) -> str:
        """The properties that are found."""
        return self.found % tuple([make(one) for make in self.makers])


class Sheet:
    """What live properties exist, where locks do or do not.

    :param locks: writes the content of a member's lockdiscovery; None without locks.
    """

    def __init__(self, locks: Make | None) -> None:
        self._live: dict[str, _Pair] = dict(_LIVE)
        self._live[LOCKDISCOVERY] = (locks, locks) if locks else ("", "")
        if locks is None:
            self._live[f"{DAV}supportedlock"] = ("", "")

    @property
    def usual(self) -> tuple[str, ...]:
        """Those that allprop means; quota is not among them (RFC 4331 sections 3 and 4)."""
        return tuple(self._live)

    def template(self, names: Iterable[str], expected: Collection[str], *, is_folder: bool) -> Template:
        """For the live ones among these names; dead ones and quota are left to others.

        :param expected: those that are named where they are missing.
        """
        found, missing, makers = [], [], []
        for name in names:
            made = self._live.get(name, (None, None))[is_folder]
            if made is None:
                if name in expected and not is_dead(name) and not (is_folder and name in QUOTA):
                    missing.append(empty(name))
                continue
            local = name[len(DAV) :]
            if isinstance(made, str):
                found.append(f"<D:{local}>{made}</D:{local}>" if made else f"<D:{local}/>")
            else:
                found.append(f"<D:{local}>%s</D:{local}>")
                makers.append(made)
        return Template("".join(found), tuple(makers), "".join(missing))

    def names(self, *, is_folder: bool) -> str:
        """Every name that exists, as elements (propname)."""
        live = [name for name, pair in self._live.items() if pair[is_folder] is not None]
        return "".join(map(empty, [*live, *(QUOTA if is_folder else ())]))
