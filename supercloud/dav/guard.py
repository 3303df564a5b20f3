"""What stands before every method: conditions of the request, and locks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from supercloud.dav import conditions, failures
from supercloud.dav.conditions import State
from supercloud.dav.locks import Locks
from supercloud.dav.provider import Environ, etag_of, href_of, modified_of
from supercloud.dav.tree import Located, NotServed, Tree, is_folder
from supercloud.dav.writing import Claim

_NOTHING: Final = State(exists=False)


@dataclass(slots=True)
class Request:
    """What is asked, and for what.

    :ivar status: what is there, links followed; None for nothing.
    :ivar conditions: the lists of the If field.
    """

    environ: Environ
    located: Located
    status: os.stat_result | None
    conditions: list[tuple[str | None, list[conditions.Term]]] = field(default_factory=list)

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def is_folder(self) -> bool:
        return self.status is not None and is_folder(self.status)

    def href(self, located: Located, *, folder: bool) -> str:
        """As this client sees it."""
        return href_of(self.environ, located, folder=folder)


def state_of(status: os.stat_result | None) -> State:
    """What conditions are held against; folders have no entity tag."""
    if status is None:
        return _NOTHING
    return State(True, None if is_folder(status) else etag_of(status), modified_of(status))


class Guard:
    """Holds requests against conditions and locks.

    :ivar locks: None where there is no portal; nothing is locked then.
    """

    def __init__(self, tree: Tree, locks: Locks | None) -> None:
        self._tree = tree
        self.locks = locks

    def read_if(self, request: Request) -> None:
        """Read the If field, for this module and for wsgidav.

        :raises DAVError: 400 when it cannot be read.
        """
        given = request.environ.get("HTTP_IF")
        try:
            request.conditions = [] if given is None else conditions.parse_if(given)
        except conditions.BadCondition as error:
            raise failures.refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        request.environ["wsgidav.conditions.if"] = {}
        request.environ["wsgidav.ifLockTokenList"] = conditions.tokens_of(request.conditions)

    def check_conditions(self, request: Request, status: os.stat_result | None, *, reads: bool = False) -> None:
        """Hold the request's conditions against what is there.

        :raises DAVError: 412, or 304 with the fields that it needs; 400 for what cannot be read.
        """
        state = state_of(status)
        try:
            verdict = conditions.judge(request.environ, state, reads=reads)
        except conditions.BadCondition as error:
            raise failures.refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        if verdict is not None:
            fields = [("ETag", f'"{state.etag}"')] if verdict is HTTPStatus.NOT_MODIFIED and state.etag else None
            raise failures.refused(verdict, "It is not as the request expects it to be.", fields=fields)
        if request.conditions and not self._holds(request):
            raise failures.refused(HTTPStatus.PRECONDITION_FAILED, "It is not as the If field expects it to be.")

    def check_locks(self, request: Request, located: Located, *, members: bool = False) -> tuple[int, ...]:
        """Refuse what a lock forbids (RFC 4918 sections 7.4 to 7.7).

        :param members: everything below it changes too.
        :return: for `drop_locks`, when it was removed or moved away.
        :raises Locked: it may not be changed.
        :raises DAVError: 503 when nobody can say.
        """
        if self.locks is None:
            return ()
        return self.locks.check(located, conditions.tokens_of(request.conditions), members=members)

    @contextmanager
    def writing(self, request: Request, located: Located, status: os.stat_result | None) -> Iterator[Claim | None]:
        """While new content comes, nobody else gets a lock on the file.

        :param status: what is there; nothing has no locks, and gets no claim.
        :raises Locked, DAVError, OSError: it may not be written.
        """
        if status is None:
            yield None
        elif self.locks is None:
            yield Claim()
        else:
            with self.locks.writing(located, conditions.tokens_of(request.conditions)) as claim:
                yield claim

    def drop_locks(self, ids: tuple[int, ...]) -> None:
        """What was removed or moved away is locked no more (RFC 4918 sections 9.6, 7.6)."""
        if self.locks is not None:
            self.locks.drop(ids)

    def _holds(self, request: Request) -> bool:
        def located(tag: str | None) -> Located | None:
            if tag is None:
                return request.located
            try:
                return self._tree.locate(local_path(request.environ, tag))
            except (NotServed, ValueError):
                return None

        def status(tag: str | None) -> os.stat_result | None:
            found = located(tag)
            try:
                return None if found is None else self._tree.stat_or_none(found)
            except (OSError, NotServed):
                return None

        def tokens(tag: str | None) -> set[str]:
            found = located(tag)
            return set() if found is None or self.locks is None else self.locks.tokens_on(found)

        return conditions.holds(request.conditions, lambda tag: state_of(status(tag)).etag, tokens)


def local_path(environ: Mapping[str, Any], url: str) -> str:
    """The decoded path below /dav of a URL in a field, which may be absolute or a path (RFC 4918 section 8.3).

    :raises ValueError: when it leads to another host, or not below the prefix.
    """
    split = urlsplit(url)
    if split.scheme or split.netloc:
        own = str(environ.get("HTTP_HOST", "")).lower()
        if split.scheme.lower() not in _schemes(environ) or _without_port(split) != _plain(own, environ):
            raise ValueError(f"{url!r} leads elsewhere")
    path = unquote_to_bytes(split.path).decode("utf-8", "surrogateescape")
    prefix = str(environ.get("SCRIPT_NAME", ""))
    if path != prefix and not path.startswith(prefix + "/"):
        raise ValueError(f"{url!r} leads elsewhere")
    return path[len(prefix) :] or "/"


def _schemes(environ: Mapping[str, Any]) -> Iterator[str]:
    yield str(environ["wsgi.url_scheme"]).lower()


def _without_port(split: Any) -> str:
    return _normal(split.netloc.rpartition("@")[2].lower(), split.scheme.lower())


def _plain(host: str, environ: Mapping[str, Any]) -> str:
    return _normal(host, str(environ["wsgi.url_scheme"]).lower())


def _normal(host: str, scheme: str) -> str:
    """Without the port that the scheme implies."""
    implied = ":443" if scheme == "https" else ":80"
    return host.removesuffix(implied)
