"""Conditional requests: RFC 9110 section 13, and the If field of RFC 4918 section 10.4. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

_TAG: Final = re.compile(r'\s*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*)(?:,|$)|\s*,')
_LIST: Final = re.compile(r"\s*(?:<([^<>]*)>\s*)?\(([^()]*)\)\s*")
_CONDITION: Final = re.compile(r'\s*(Not\s)?\s*(?:<([^<>]*)>|\[\s*((?:W/)?"[^"]*")\s*\])\s*', re.IGNORECASE)
_NO_LOCK: Final = "DAV:no-lock"


class BadCondition(ValueError):
    """A condition that cannot be read; acting without it could lose somebody's work, so it is answered 400."""


@dataclass(frozen=True, slots=True)
class State:
    """What conditions are held against.

    :ivar etag: without quotes; None for what has none, or for nothing.
    :ivar modified: seconds since 1970.
    """

    exists: bool
    etag: str | None = None
    modified: int | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of the If field: a state token or an entity tag, perhaps denied."""

    denied: bool
    token: str | None
    etag: str | None


def judge(fields: Mapping[str, Any], state: State, *, reads: bool) -> HTTPStatus | None:
    """RFC 9110 section 13.2.2, in its order.

    :param fields: as WSGI names them.
    :param reads: GET or HEAD.
    :return: 412 or 304, or None to go on.
    :raises BadCondition: for a list of tags that cannot be read.
    """
    match, none_match = fields.get("HTTP_IF_MATCH"), fields.get("HTTP_IF_NONE_MATCH")
    if match is not None:
        if not _names(match, state, weakly=False):
            return HTTPStatus.PRECONDITION_FAILED
    else:
        before = _seconds(fields.get("HTTP_IF_UNMODIFIED_SINCE"))
        if before is not None and state.modified is not None and state.modified > before:
            return HTTPStatus.PRECONDITION_FAILED
    if none_match is not None:
        if _names(none_match, state, weakly=True):
            return HTTPStatus.NOT_MODIFIED if reads else HTTPStatus.PRECONDITION_FAILED
    elif reads:
        since = _seconds(fields.get("HTTP_IF_MODIFIED_SINCE"))
        if since is not None and state.modified is not None and state.modified <= since:
            return HTTPStatus.NOT_MODIFIED
    return None


def range_applies(if_range: str | None, state: State) -> bool:
    """Whether a Range may be honoured (RFC 9110 section 13.1.5): the tag, strongly, or exactly the date."""
    if if_range is None:
        return True
    if if_range.lstrip().startswith(('"', "W/")):
        return if_range.strip() == f'"{state.etag}"'
    return state.modified is not None and _seconds(if_range) == state.modified


def parse_if(field: str) -> list[tuple[str | None, list[Term]]]:
    """The lists of an If field, each with the resource that it is about (None: the one of the request).

    :raises BadCondition: when it does not follow RFC 4918 section 10.4.2.
    """
    lists: list[tuple[str | None, list[Term]]] = []
    position, resource = 0, None
    while found := _LIST.match(field, position):
        resource = found[1] if found[1] is not None else resource
        lists.append((resource, _terms(found[2])))
        position = found.end()
    if position != len(field) or not lists:
        raise BadCondition("the If field cannot be read")
    return lists


def tokens_of(lists: list[tuple[str | None, list[Term]]]) -> list[str]:
    """Every state token that was submitted, denied ones too (RFC 4918 section 10.4.1)."""
    return [term.token for _resource, terms in lists for term in terms if term.token is not None]


def holds(
    lists: list[tuple[str | None, list[Term]]],
    etag_of: Callable[[str | None], str | None],
    locks_of: Callable[[str | None], Collection[str]],
) -> bool:
    """Whether at least one list is true (RFC 4918 section 10.4.3).

    :param etag_of: the entity tag of a resource by its URL (None: the one of the request), without quotes.
    :param locks_of: the tokens of the locks that cover it.
    """

    def is_true(resource: str | None, term: Term) -> bool:
        if term.token is not None:
            return (term.token != _NO_LOCK and term.token in locks_of(resource)) != term.denied
        return (term.etag == f'"{etag_of(resource)}"') != term.denied

    return any(all(is_true(resource, term) for term in terms) for resource, terms in lists)


def _terms(text: str) -> list[Term]:
    terms = []
    position = 0
    while found := _CONDITION.match(text, position):
        terms.append(Term(bool(found[1]), found[2], found[3]))
        position = found.end()
    if position != len(text) or not terms:
        raise BadCondition("a list of the If field cannot be read")
    return terms


def _names(field: str, state: State, *, weakly: bool) -> bool:
    """Whether a list of entity tags names this one. "*" names whatever exists."""
    if field.strip() == "*":
        return state.exists
    position, named = 0, False
    while position < len(field):
        found = _TAG.match(field, position)
        if found is None:
            raise BadCondition("a list of entity tags cannot be read")
        if found[2] is not None and found[2] == state.etag and (weakly or not found[1]):
            named = True
        position = found.end()
    return named


def _seconds(date: str | None) -> int | None:
    """An HTTP date; None for none, or for one that cannot be read, which counts as absent (RFC 9110 section 13.1.3)."""
    if date is None:
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
