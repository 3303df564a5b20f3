"""What is said when something fails."""

from __future__ import annotations

import errno
import os
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from wsgidav.dav_error import DAVError

from supercloud.dav import failures
from supercloud.dav.tree import NotServed

SECRET = "/home/alice/secret"


def told(error: DAVError) -> tuple[int, dict[str, str], bytes]:
    said: list[Any] = []
    body = b"".join(failures.answer(lambda *head: said.extend(head), error))
    return int(said[0].split()[0]), {name.lower(): value for name, value in said[1]}, body


@pytest.mark.parametrize(
    ("number", "writing", "status"),
    [
        (errno.ENOENT, False, 404), (errno.ENOENT, True, 409), (errno.ENOTDIR, False, 404), (errno.EACCES, False, 403),
        (errno.EPERM, True, 403), (errno.EROFS, True, 403), (errno.ENOSPC, True, 507), (errno.EDQUOT, True, 507),
        (errno.EFBIG, True, 413), (errno.ESTALE, True, 503), (errno.EMFILE, False, 503), (errno.ETXTBSY, True, 409),
        (errno.ENAMETOOLONG, False, 404), (errno.ENAMETOOLONG, True, 403), (errno.EBADF, True, 500),
    ],
)  # fmt: skip
def test_what_the_kernel_says_has_a_status_and_a_sentence_without_names(
    number: int, writing: bool, status: int
) -> None:
    error = failures.of_any(OSError(number, os.strerror(number), SECRET), writing=writing)
    code, fields, body = told(error)

    assert code == status
    assert fields["content-type"].startswith("text/plain")
    assert fields["x-content-type-options"] == "nosniff"
    assert SECRET.encode() not in body and b"Errno" not in body
    assert SECRET not in error.get_user_info()


@pytest.mark.parametrize("error", [NotServed(SECRET), RuntimeError(SECRET), OSError(SECRET)])
@pytest.mark.parametrize("writing", [True, False])
def test_no_public_text_holds_what_is_for_the_log(error: Exception, writing: bool) -> None:
    known = failures.of_any(error, writing=writing)

    assert SECRET.encode() not in told(known)[2]
    assert SECRET not in known.get_user_info()


def test_what_is_said_already_stays() -> None:
    error = failures.refused(418, "why")  # type: ignore[arg-type]

    assert failures.of_any(error, writing=True) is error


def test_a_condition_is_told_in_xml() -> None:
    _code, fields, body = told(failures.refused(403, "why", condition="{DAV:}propfind-finite-depth"))  # type: ignore[arg-type]

    assert fields["content-type"].startswith("application/xml")
    assert fromstring(body).find("{DAV:}propfind-finite-depth") is not None


def test_not_modified_has_no_body() -> None:
    assert told(failures.refused(304, "why", fields=[("ETag", '"x"')])) == (304, {"etag": '"x"'}, b"")  # type: ignore[arg-type]


def test_members_that_failed_are_named_and_their_names_end_no_element() -> None:
    said: list[Any] = []
    errors = [("/dav/a<b>&", failures.refused(403, "no <way>")), ("/dav/c", failures.refused(507, "full"))]  # type: ignore[arg-type]
    body = b"".join(failures.answer_members(lambda *head: said.extend(head), errors))

    found = [element.text for element in fromstring(body).iter("{DAV:}href")]
    assert said[0] == "207 Multi-Status"
    assert found == ["/dav/a<b>&", "/dav/c"]
