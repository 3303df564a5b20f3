"""What an address leads to, as the portal's lock service knows it: by keys of the file and of the folders above it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from supercloud.dav.kernel import is_within
from supercloud.dav.tree import NOWHERE, Located, Tree, is_folder, where_it_lies
from supercloud.desk.identity import look, look_at
from supercloud.desk.lock_wire import MOST_KEYS
from supercloud.desk.wire import Key


@dataclass(frozen=True, slots=True)
class Place:
    """One address.

    :ivar handle: an O_PATH descriptor, open as long as the place is in use; None when nothing is there.
    :ivar key: of what is there, links followed.
    :ivar above: keys of the folders that really hold it, the nearest first: every way to a file meets the same locks.
    :ivar url: its own, quoted, below /dav; with a slash after a folder.
    :ivar urls: by key, for it and those above it.
    """

    handle: int | None
    key: Key | None
    is_folder: bool
    above: tuple[Key, ...]
    url: str
    urls: dict[Key, str]

    @property
    def keys(self) -> tuple[Key, ...]:
        """Of everything whose locks may cover it."""
        return self.above if self.key is None else (self.key, *self.above)[:MOST_KEYS]

    def url_of(self, key: Key | None) -> str:
        """Where it is; this place itself stands for what has no address or must not be named."""
        return self.url if key is None else self.urls.get(key, self.url)


@contextmanager
def found(tree: Tree, located: Located) -> Iterator[Place]:
    """Look where an address leads.

    :raises NotServed: for what is never served.
    :raises OSError: as the kernel says, but for nothing there.
    """
    with ExitStack() as held:
        try:
            handle, status = held.enter_context(tree.seen(located))
        except OSError as error:
            if error.errno not in NOWHERE or located.is_root:
                raise
            handle = None
        if handle is None:
            parent = held.enter_context(found(tree, located.parent))
            place = Place(None, None, False, parent.keys, located.href, parent.urls)
        else:
            key, folder = look(handle).key, is_folder(status)
            url = _with_slash(located.href) if folder else located.href
            above = dict(_above(located, where_it_lies(handle)))
            urls = {folder_key: href for folder_key, href in above.items() if href is not None}
            place = Place(handle, key, folder, tuple(above), url, {**urls, key: url})
        yield place


def _above(located: Located, path: str) -> Iterator[tuple[Key, str | None]]:
    """The folders above a real path, and the addresses of those on the way that was taken."""
    for folder in map(str, list(PurePosixPath(path).parents)[:MOST_KEYS]):
        try:
            key = look_at(folder).key
        except OSError:
            continue  # closed to this account, which came here by another way
        is_on_the_way = is_within(folder, located.root.folder) and is_within(located.path, folder)
        yield key, _with_slash(Located(located.root, folder).href) if is_on_the_way else None


def _with_slash(href: str) -> str:
    return href if href.endswith("/") else f"{href}/"
