"""What depends on a credential hears of its end, once."""

from __future__ import annotations

import pytest
from twisted.logger import LogEvent

from supercloud.authn.credential import Credential


@pytest.fixture
def heard() -> list[str]:
    return []


def test_what_depends_on_it_is_told_once_and_why(heard: list[str]) -> None:
    credential = Credential()
    credential.on_end(heard.append)
    credential.end("revoked")
    credential.end("expired")
    assert heard == ["revoked"]
    assert credential.ended == "revoked"


def test_who_comes_too_late_is_told_at_once(heard: list[str]) -> None:
    credential = Credential()
    credential.end("revoked")
    credential.on_end(heard.append)
    assert heard == ["revoked"]


def test_who_no_longer_depends_on_it_is_not_told(heard: list[str]) -> None:
    credential = Credential()
    tell = heard.append
    credential.on_end(tell)
    credential.no_longer(tell)
    credential.no_longer(tell)
    credential.end("revoked")
    assert heard == []


def test_one_that_fails_does_not_keep_the_others_from_hearing(heard: list[str], logged: list[LogEvent]) -> None:
    def fails(_: str) -> None:
        raise RuntimeError("a mistake")

    credential = Credential()
    credential.on_end(heard.append)
    credential.on_end(fails)
    credential.end("revoked")
    assert heard == ["revoked"]
    assert [event["log_failure"].getErrorMessage() for event in logged] == ["a mistake"]
