"""Asking the portal for locks and dead properties, with its refusals in HTTP's words."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar, overload

from supercloud.dav.failures import refused
from supercloud.desk.client import DeskGone
from supercloud.desk.wire import Message, Refusal

_REFUSALS: Final = {
    "not-writable": (HTTPStatus.FORBIDDEN, "You may not write it, so you may not lock it or give it properties."),
    "not-owner": (
        HTTPStatus.FORBIDDEN,
        "Only a folder's owner may lock all that is in it, or one that all share.",
    ),
    "not-yours": (HTTPStatus.FORBIDDEN, "This lock is somebody else's."),
    "unknown-lock": (HTTPStatus.PRECONDITION_FAILED, "There is no such lock any more."),
    "too-many": (
        HTTPStatus.INSUFFICIENT_STORAGE,
        "You hold as many locks as one account may. Close documents or unlock some, or wait until some end.",
    ),
    "full": (
        HTTPStatus.INSUFFICIENT_STORAGE,
        "The portal holds as many locks as it can, and you hold more than your share. Close documents or unlock some.",
    ),
    "too-large": (HTTPStatus.INSUFFICIENT_STORAGE, "These properties take too much room."),
    "not-served": (HTTPStatus.CONFLICT, "It was removed in the meantime."),
}
_GONE: Final = "The portal's lock service does not answer, so nothing was changed. Try again in a moment."
A = TypeVar("A", bound=Message)
B = TypeVar("B", bound=Message)


class Asking(Protocol):
    """The portal's own socket; see `supercloud.desk.client.Desk`."""

    def ask(self, request: Message, *answers: type[Message], descriptors: Sequence[int] = ()) -> Any:
        """:raises Refusal, DeskGone:"""
        ...


@overload
def asked(desk: Asking, request: Message, answer: type[A], /, *, descriptors: Sequence[int] = ()) -> A: ...
@overload
def asked(
    desk: Asking, request: Message, answer: type[A], other: type[B], /, *, descriptors: Sequence[int] = ()
) -> A | B: ...
def asked(desk: Asking, request: Message, *answers: type[Message], descriptors: Sequence[int] = ()) -> Any:
    """Ask, and wait for the answer.

    :raises DAVError: 503 when the portal does not answer; 403, 409, 412, 507 as it refuses.
    """
    try:
        return desk.ask(request, *answers, descriptors=descriptors)
    except Refusal as error:
        status, why = _REFUSALS.get(error.code, (HTTPStatus.SERVICE_UNAVAILABLE, _GONE))
        raise refused(status, why) from error
    except DeskGone as error:
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, _GONE, fields=[("Retry-After", "5")]) from error
