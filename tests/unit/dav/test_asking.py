"""The portal's refusals in HTTP's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from wsgidav.dav_error import DAVError

from supercloud.dav.asking import asked
from supercloud.desk.client import DeskGone
from supercloud.desk.lock_wire import ReadLock
from supercloud.desk.wire import Done, Message, Refusal


class Answering:
    """Says one thing."""

    def __init__(self, answer: Message | Exception) -> None:
        self._answer = answer

    def ask(self, request: Message, *answers: type[Message], descriptors: Sequence[int] = ()) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def failure(answer: Exception) -> DAVError:
    with pytest.raises(DAVError) as caught:
        asked(Answering(answer), ReadLock("x"), Done)
    return caught.value


def test_an_answer_is_handed_on() -> None:
    assert asked(Answering(Done()), ReadLock("x"), Done) == Done()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("not-writable", 403), ("not-owner", 403), ("not-yours", 403), ("unknown-lock", 412), ("too-many", 507),
        ("full", 507), ("too-large", 507), ("not-served", 409), ("busy", 503), ("failed", 503), ("something-new", 503),
    ],
)  # fmt: skip
def test_a_refusal_is_said_with_its_status_and_without_its_reason(code: str, status: int) -> None:
    error = failure(Refusal(code, "/home/alice/secret"))

    assert error.value == status
    assert "secret" not in str(error.context_info)


def test_a_portal_that_is_gone_is_503_and_asks_to_try_again() -> None:
    error = failure(DeskGone("/run/supercloud/portal.sock: closed"))

    assert (error.value, error.add_headers) == (503, [("Retry-After", "5")])
    assert "/run" not in str(error.context_info)
