"""Properties that cost a question each: locks, dead properties, quota. Asked as seldom as can be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from supercloud.dav.asked import Want
from supercloud.dav.live import QUOTA, Member
from supercloud.dav.quota import Quota
from supercloud.dav.tree import NotServed, Tree
from supercloud.dav.xml_text import DAV, empty, stored, text

_OWNER: Final = f"{DAV}owner"
Lock = dict[str, Any]  # as wsgidav's lock managers give it


class LockTexts:
    """The content of lockdiscovery (RFC 4918 section 15.8).

    A lock manager may have ``locked_among(pairs)``: the positions of those (device, inode) that a lock lies on. It is
    asked once for many members then, and about those few only by their addresses.

    :param manager: of wsgidav's kind, or None.
    :param prefix: of an href, before what the manager knows it by.
    """

    def __init__(self, manager: Any, prefix: str) -> None:
        self._manager = manager
        self._among = getattr(manager, "locked_among", None)
        self._prefix = prefix
        self._texts: dict[str, str] = {}
        self._folder: tuple[str, str] = "", ""

    def look(self, folder: str, group: Sequence[Member]) -> None:
        """Ask about the members of a folder.

        :param folder: its href; empty for the resource itself.
        """
        self._texts = {}
        if not folder or self._among is None:
            asked, inherited = range(len(group)), ""
        else:
            asked = self._among([(one.status.st_dev, one.status.st_ino) for one in group])
            inherited = self._inherited(folder)
        if inherited:
            self._texts = {one.href: inherited for one in group}
        for position in asked:
            one = group[position]
            self._texts[one.href] = "".join(map(self._write, self._of(one.href)))

    def text(self, one: Member) -> str:
        """What `look` found."""
        return self._texts.get(one.href, "")

    def _inherited(self, folder: str) -> str:
        """What lies on everything in a folder, as text."""
        if self._folder[0] != folder:
            deep = [lock for lock in self._of(folder) if lock["depth"] == "infinity"]
            self._folder = folder, "".join(map(self._write, deep))
        return self._folder[1]

    def _of(self, href: str) -> list[Lock]:
        found: list[Lock] = self._manager.get_indirect_url_lock_list(href.removeprefix(self._prefix))
        return found

    def _write(self, lock: Lock) -> str:
        owner = lock.get("owner") or ""
        told = (stored(owner, _OWNER) or f"<D:owner>{text(_decoded(owner))}</D:owner>") if owner else ""
        root = f"{self._prefix}{lock.get('root') or '/'}"
        return (
            f"<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{_scope(lock)}/></D:lockscope>"
            f"<D:depth>{'infinity' if lock['depth'] == 'infinity' else 0}</D:depth>{told}"
            f"<D:timeout>{_left(lock)}</D:timeout><D:locktoken><D:href>{text(lock['token'])}</D:href></D:locktoken>"
            f"<D:lockroot><D:href>{text(root)}</D:href></D:lockroot></D:activelock>"
        )


def _scope(lock: Lock) -> str:
    return "exclusive" if lock["scope"] == "exclusive" else "shared"


def _left(lock: Lock) -> str:
    if lock["timeout"] < 0:
        return "Infinite"
    # The lock was given until a time of day, as it outlives this process.
    return f"Second-{max(0, int(lock['expire'] - time.time()))}"  # noqa: TID251


def _decoded(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


class DeadTexts:
    """What clients have stored.

    A property manager may have ``bearers_among(url, names)``: the positions of those members of a folder that may have
    dead properties. Only these are asked about then.

    :param manager: of wsgidav's kind, or None.
    :param names: those that are asked for.
    """

    def __init__(
        self, manager: Any, environ: dict[str, Any], want: Want, names: tuple[str, ...], *, prefix: str
    ) -> None:
        self._manager = manager
        self._environ = environ
        self._has_all = want is Want.ALL
        self._names = names
        self._prefix = prefix
        self._among = getattr(manager, "bearers_among", None)
        self._bearers: frozenset[str] | None = None
        self.are_wanted = bool(names) or (manager is not None and want is not Want.SOME)

    def look(self, folder: str, group: Sequence[Member]) -> None:
        """Ask which members of a folder have any.

        :param folder: its href; empty for the resource itself.
        """
        self._bearers = None
        if folder and self._among is not None:
            positions = self._among(folder.removeprefix(self._prefix), [one.name for one in group])
            self._bearers = frozenset(group[position].href for position in positions)

    def of(self, one: Member) -> tuple[str, str]:
        """Elements that are found, and those of ``names`` that are missing."""
        if not self._may_have(one):
            return "", "".join(map(empty, self._names))
        url = one.href.removeprefix(self._prefix)
        found, missing = [], []
        for name in self._names:
            element = self._value(url, name)
            if element is None:
                missing.append(empty(name))
            else:
                found.append(element)
        if self._has_all:
            others = (name for name in self._stored_names(url) if name not in self._names)
            found += filter(None, (self._value(url, name) for name in others))
        return "".join(found), "".join(missing)

    def names_of(self, one: Member) -> str:
        """Their names, as elements."""
        if not self._may_have(one):
            return ""
        names = self._stored_names(one.href.removeprefix(self._prefix))
        return "".join(empty(name) for name in names if stored(empty(name), name) is not None)

    def _may_have(self, one: Member) -> bool:
        return self._manager is not None and (self._bearers is None or one.href in self._bearers)

    def _stored_names(self, url: str) -> list[str]:
        return list(self._manager.get_properties(url, self._environ))

    def _value(self, url: str, name: str) -> str | None:
        value = self._manager.get_property(url, name, self._environ)
        return None if value is None else stored(value, name)


class QuotaTexts:
    """Room in use and left (RFC 4331).

    The first folder of a file system speaks for the others of it: looking opens the folder, which takes longer than
    all the rest of its answer.

    :param names: those that are asked for.
    """

    def __init__(self, tree: Tree, names: tuple[str, ...], prefix: str) -> None:
        self._tree = tree
        self._names = names
        self._prefix = prefix
        self._known: dict[int, Quota | None] = {}

    def of(self, one: Member) -> tuple[str, str]:
        """Elements that are found, and those that are missing."""
        device = one.status.st_dev
        if device not in self._known:
            self._known[device] = self._look(one)
        quota = self._known[device]
        if quota is None:
            return "", "".join(map(empty, self._names))
        told = dict(zip(QUOTA, (quota.available, quota.used), strict=True))
        return "".join(f"<D:{name[len(DAV) :]}>{told[name]}</D:{name[len(DAV) :]}>" for name in self._names), ""

    def _look(self, one: Member) -> Quota | None:
        path = unquote_to_bytes(one.href.removeprefix(self._prefix)).decode("utf-8", "surrogateescape")
        try:
            with self._tree.seen(self._tree.locate(path)) as (handle, _status):
                return Quota.of(handle)
        except (OSError, NotServed):
            return None
