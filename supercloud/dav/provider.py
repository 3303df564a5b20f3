"""Files and folders as wsgidav's resources, for the methods about properties and locks."""

from __future__ import annotations

import email.utils
import mimetypes
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from wsgidav.dav_error import DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider

from supercloud.dav import failures
from supercloud.dav.locks import Locks
from supercloud.dav.properties import DeadProperties
from supercloud.dav.quota import Quota
from supercloud.dav.tree import SAFE, Located, NotServed, Tree, is_folder

mimetypes.init()  # reads the host's lists now, while they can be read: a worker's account may not

_ENCODED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}
_LAST_MODIFIED: Final = frozenset({"{DAV:}getlastmodified", "{urn:schemas-microsoft-com:}Win32LastModifiedTime"})
_MILLIARD: Final = 10**9
_YEAR_10000: Final = 253_402_300_800
_MADE: Final = "supercloud.made"
Environ = dict[str, Any]


def etag_of(status: os.stat_result) -> str:
    """A strong entity tag without quotes, from inode, size and the time of the last change in nanoseconds.

    A file that changed a moment ago gets a strong one too: what this portal writes gets a new inode, and a program that
    writes twice between two ticks of the kernel's clock (4 ms), the same number of bytes, is still in the middle of
    writing. ctime is left out: it changes with properties and permissions, which are not the content (RFC 4918
    section 8.6).
    """
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def modified_of(status: os.stat_result) -> int:
    """Seconds since 1970, as Last-Modified tells them; from 1970, as clients can read, to 9999, as dates can say."""
    return min(max(0, status.st_mtime_ns // _MILLIARD), _YEAR_10000 - 1)


def content_type(name: str) -> str:
    """By the name. A compressed file is what it is, not what is in it: no Content-Encoding is sent."""
    kind, encoding = mimetypes.guess_type("/" + name, strict=False)
    if encoding:
        return _ENCODED.get(encoding, "application/octet-stream")
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def ref_url(located: Located, *, folder: bool) -> str:
    """What locks and properties know a resource by: the quoted URL path below /dav, with a slash after a folder."""
    href = located.href
    return f"{href}/" if folder and not href.endswith("/") else href


def href_of(environ: Environ, located: Located, *, folder: bool) -> str:
    """The same as clients see it, with the prefix."""
    return quote(environ.get("SCRIPT_NAME", ""), safe=SAFE) + ref_url(located, folder=folder)


class _Common:
    """What files and folders have in common."""

    located: Located
    status: os.stat_result
    environ: Environ
    provider: Provider

    def get_ref_url(self) -> str:
        return ref_url(self.located, folder=stat.S_ISDIR(self.status.st_mode))

    def get_href(self) -> str:
        return href_of(self.environ, self.located, folder=stat.S_ISDIR(self.status.st_mode))

    def get_display_name(self) -> str:
        # Lone surrogates cannot be written into XML.
        name = self.located.name or posixpath.basename(self.located.address)
        return os.fsencode(name).decode("utf-8", "replace")

    def get_last_modified(self) -> int:
        return modified_of(self.status)

    def get_creation_date(self) -> int:
        # Linux tells no birth time through stat(2); the earliest time that it does tell comes closest.
        return min(modified_of(self.status), max(0, int(self.status.st_ctime)))

    def support_modified(self) -> bool:
        return True

    def set_property_value(self, name: str, value: Any, *, dry_run: bool = False) -> Any:
        """Set the time of the last change from both names that clients use for it; everything else is wsgidav's."""
        if name not in _LAST_MODIFIED or value is None:
            return super().set_property_value(name, value, dry_run=dry_run)  # type: ignore[misc]
        try:
            seconds = email.utils.parsedate_to_datetime((value.text or "").strip()).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            raise DAVError(409, "This time cannot be read.") from None
        if self.status.st_uid != os.geteuid() and os.geteuid() != 0:
            raise DAVError(403, "Only a file's owner may set its times.")
        if not dry_run:
            self.provider.set_modified(self.located, int(seconds) * _MILLIARD)
        return True


class File(_Common, DAVNonCollection):  # type: ignore[misc]
    """A regular file."""

    def __init__(self, located: Located, status: os.stat_result, environ: Environ) -> None:
        super().__init__(located.address, environ)
        self.located, self.status = located, status

    def get_content_length(self) -> int:
        return self.status.st_size

    def get_content_type(self) -> str:
        return content_type(self.located.name)

    def get_etag(self) -> str:
        return etag_of(self.status)

    def support_etag(self) -> bool:
        return True

    def support_ranges(self) -> bool:
        return True

    def get_content(self) -> Any:
        """Not for here: ``reading`` serves GET."""
        raise DAVError(405)


class Folder(_Common, DAVCollection):  # type: ignore[misc]
    """A folder."""

    def __init__(self, located: Located, status: os.stat_result, environ: Environ) -> None:
        super().__init__(located.address, environ)
        self.located, self.status = located, status

    def get_etag(self) -> None:
        return None

    def support_etag(self) -> bool:
        return False

    def get_used_bytes(self) -> int | None:
        quota = self._quota()
        return None if quota is None else quota.used

    def get_available_bytes(self) -> int | None:
        quota = self._quota()
        return None if quota is None else quota.available

    def get_member_names(self) -> list[str]:
        return [entry.name for entry in self.provider.tree.children(self.located)]

    def get_member_list(self) -> list[File | Folder]:
        return list(self._members())

    def create_empty_resource(self, name: str) -> File | Folder:
        """For LOCK of a name that nothing bears (RFC 4918 section 9.10.4)."""
        return self.provider.make_empty(self.located.child(name), self.environ)

    def _members(self) -> Iterator[File | Folder]:
        tree = self.provider.tree
        for entry in tree.children(self.located):
            status = tree.member(self.located, entry)
            if status is not None:
                yield resource(self.located.child(entry.name), status, self.environ)

    def _quota(self) -> Quota | None:
        try:
            with self.provider.tree.seen(self.located) as (handle, _status):
                return Quota.of(handle)
        except (OSError, NotServed):
            return None


def resource(located: Located, status: os.stat_result, environ: Environ) -> File | Folder:
    """The resource for what is there."""
    return (Folder if is_folder(status) else File)(located, status, environ)


class Provider(DAVProvider):  # type: ignore[misc]
    """The tree as wsgidav's provider."""

    def __init__(self, tree: Tree, locks: Locks | None, properties: DeadProperties) -> None:
        super().__init__()
        self.tree = tree
        self.set_share_path("/")
        # Not by its setters, which ask for methods that nothing calls here.
        self.lock_manager, self.prop_manager = locks, properties

    def get_resource_inst(self, path: str, environ: Environ) -> File | Folder | None:
        """What is there, or None for nothing.

        :raises DAVError: when it is not served, or the kernel forbids looking.
        """
        try:
            located = self.tree.locate(path)
            status = self.tree.stat_or_none(located)
        except (OSError, NotServed) as error:
            raise failures.of_any(error, writing=False) from error
        return None if status is None else resource(located, status, environ)

    def ref_url_to_path(self, url: str) -> str:
        """The decoded path below /dav of what ``ref_url`` gave."""
        return unquote_to_bytes(url).decode("utf-8", "surrogateescape")

    def make_empty(self, located: Located, environ: Environ) -> File | Folder:
        """Make an empty file.

        :raises DAVError: when that cannot be.
        """
        try:
            with self.tree.landing(located) as landing:
                flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
                os.close(os.open(landing.name, flags, 0o666, dir_fd=landing.folder))
            environ[_MADE] = located
            return resource(located, self.tree.stat(located), environ)
        except (OSError, NotServed) as error:
            raise failures.of_any(error, writing=True) from error

    def unmake(self, environ: Environ) -> None:
        """Remove what `make_empty` made for this request, unless somebody has written into it."""
        located: Located | None = environ.get(_MADE)
        if located is None:
            return
        try:
            with self.tree.landing(located) as landing:
                status = landing.status()
                if status is not None and stat.S_ISREG(status.st_mode) and status.st_size == 0:
                    os.unlink(landing.name, dir_fd=landing.folder)
        except (OSError, NotServed):
            return

    def set_modified(self, located: Located, modified_ns: int) -> None:
        """Set the time of the last change; that of the last access stays.

        :raises DAVError: when the kernel does not let the account.
        """
        try:
            with self.tree.seen(located) as (handle, status):
                os.utime(f"/proc/self/fd/{handle}", ns=(status.st_atime_ns, modified_ns))
        except (OSError, NotServed) as error:
            raise failures.of_any(error, writing=True) from error
