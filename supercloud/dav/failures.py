"""What is said when something fails: a status, a sentence for the person, XML where RFC 4918 names a condition."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final
from xml.sax.saxutils import escape

from wsgidav.dav_error import DAVError

from supercloud.dav.tree import NotServed

Fields = list[tuple[str, str]]
StartResponse = Callable[..., Any]

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_XML: Final = b'<?xml version="1.0" encoding="utf-8"?>\n'
_FORBIDDEN: Final = HTTPStatus.FORBIDDEN, "The system does not let you do that here."
_NO_PARENT: Final = HTTPStatus.CONFLICT, "The folder that should hold it is not there."
_BUSY: Final = HTTPStatus.CONFLICT, "It is in use by the system in a way that does not allow this."
_STORAGE: Final = HTTPStatus.SERVICE_UNAVAILABLE, "The file system does not answer as it should. Try again later."
_WRITING: Final = {
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: (HTTPStatus.FORBIDDEN, "This file system cannot be written to."),
    errno.ETXTBSY: (HTTPStatus.CONFLICT, "This program is running, so its file cannot be changed."),
    errno.EINVAL: (HTTPStatus.FORBIDDEN, "The file system does not take this name or this change."),
    errno.EILSEQ: (HTTPStatus.FORBIDDEN, "The file system does not take this name."),
    errno.EOPNOTSUPP: (HTTPStatus.FORBIDDEN, "The file system cannot do that."),
    errno.EXDEV: (HTTPStatus.FORBIDDEN, "That would cross from one file system to another."),
    errno.ENOENT: _NO_PARENT,
    errno.ENOTDIR: _NO_PARENT,
    errno.ELOOP: (HTTPStatus.CONFLICT, "The symbolic links on the way lead in a circle."),
    errno.ENAMETOOLONG: (HTTPStatus.FORBIDDEN, "This name is longer than the file system allows."),
    errno.EISDIR: (HTTPStatus.CONFLICT, "There is a folder of this name."),
    errno.EEXIST: (HTTPStatus.CONFLICT, "Somebody made something of this name in the meantime."),
    errno.ENOTEMPTY: (HTTPStatus.CONFLICT, "Somebody put something into this folder in the meantime."),
    errno.EBUSY: _BUSY,
    errno.EMLINK: (HTTPStatus.INSUFFICIENT_STORAGE, "This folder holds as many folders as the file system allows."),
    errno.EFBIG: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is larger than the file system or your limits allow."),
    errno.ENOSPC: (HTTPStatus.INSUFFICIENT_STORAGE, "The file system is full. Nothing was changed."),
    errno.EDQUOT: (HTTPStatus.INSUFFICIENT_STORAGE, "Your quota is used up. Nothing was changed."),
    errno.EIO: _STORAGE,
    errno.ESTALE: _STORAGE,
    errno.ETIMEDOUT: _STORAGE,
    errno.EREMOTEIO: _STORAGE,
    errno.EKEYEXPIRED: (HTTPStatus.FORBIDDEN, "Your ticket for this file system has expired. Sign in again."),
    errno.ENOKEY: (HTTPStatus.FORBIDDEN, "You hold no ticket or key for this file system."),
    errno.EMFILE: (HTTPStatus.SERVICE_UNAVAILABLE, "Too much is open at once. Try again in a moment."),
    errno.ENFILE: (HTTPStatus.SERVICE_UNAVAILABLE, "Too much is open at once. Try again in a moment."),
    errno.ENOMEM: (HTTPStatus.SERVICE_UNAVAILABLE, "Too little memory. Try again in a moment."),
}
_NOT_FOUND: Final = HTTPStatus.NOT_FOUND, "There is nothing of this name."
_READING: Final = {errno.ENOENT: _NOT_FOUND, errno.ENOTDIR: _NOT_FOUND, errno.ENAMETOOLONG: _NOT_FOUND}


def refused(status: HTTPStatus, why: str, *, condition: str | None = None, fields: Fields | None = None) -> DAVError:
    """An error to raise.

    :param why: a sentence for the person; in the answer as it is.
    :param condition: name of a pre- or postcondition of RFC 4918 section 16, in Clark's notation.
    """
    return DAVError(status, why, err_condition=condition, add_headers=fields)


def of_system(error: OSError, *, writing: bool) -> DAVError:
    """What the kernel said, in HTTP's words (RFC 4918 sections 9.3.1, 9.7.1, 11.5)."""
    known = None if error.errno is None else ({} if writing else _READING).get(error.errno, _WRITING.get(error.errno))
    if known is None:
        return DAVError(HTTPStatus.INTERNAL_SERVER_ERROR, "The portal made a mistake. Try again.")
    return DAVError(known[0], known[1])


def of_any(error: Exception, *, writing: bool) -> DAVError:
    """Whatever was raised while something was done to a file, in HTTP's words."""
    if isinstance(error, DAVError):
        return error
    if isinstance(error, NotServed):
        status = HTTPStatus.FORBIDDEN if writing else HTTPStatus.NOT_FOUND
        return DAVError(status, "There is nothing at this address that the portal serves.")
    if isinstance(error, OSError):
        return of_system(error, writing=writing)
    return DAVError(HTTPStatus.INTERNAL_SERVER_ERROR, "The portal made a mistake. Try again.")


def status_line(status: int) -> str:
    """As "507 Insufficient Storage"."""
    known = HTTPStatus(status)
    return f"{known.value} {known.phrase}"


def answer(start_response: StartResponse, error: DAVError) -> Iterable[bytes]:
    """Answer with an error: plain text or XML, which no browser runs."""
    status = int(error.value)
    if status == HTTPStatus.NOT_MODIFIED:
        start_response(status_line(status), list(error.add_headers or []))
        return []
    if error.err_condition:
        kind, body = "application/xml; charset=utf-8", error.err_condition.as_string().encode()
    else:
        kind, body = "text/plain; charset=utf-8", f"{error.context_info or HTTPStatus(status).description}\n".encode()
    fields = [("Content-Type", kind), ("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")]
    start_response(status_line(status), fields + list(error.add_headers or []))
    return [body]


def answer_members(start_response: StartResponse, failures: Iterable[tuple[str, DAVError]]) -> Iterable[bytes]:
    """207 with one response for each member that failed (RFC 4918 sections 9.6.1, 9.8.8 and 13)."""
    parts = [_XML, b'<D:multistatus xmlns:D="DAV:">\n']
    for href, error in failures:
        line = status_line(int(error.value))
        why = escape(str(error.context_info or ""))
        parts.append(
            f"<D:response><D:href>{escape(href)}</D:href><D:status>HTTP/1.1 {line}</D:status>"
            f"<D:responsedescription>{why}</D:responsedescription></D:response>\n".encode()
        )
    parts.append(b"</D:multistatus>\n")
    body = b"".join(parts)
    kind = ("Content-Type", "application/xml; charset=utf-8")
    start_response("207 Multi-Status", [kind, ("Content-Length", str(len(body)))])
    return [body]
