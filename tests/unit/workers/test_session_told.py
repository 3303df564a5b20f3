"""What a job may say of itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from supercloud.errors import BadMessage
from supercloud.message.head import parse_request
from supercloud.workers.session_told import METHOD, Told, is_job

GOOD: dict[str, Any] = {"node": "node-1.cluster", "port": 8888, "path": "/lab?reset", "authorization": "token abc"}


def test_what_is_well_formed_is_told() -> None:
    assert msgspec.convert(GOOD, Told) == Told("node-1.cluster", 8888, "/lab?reset", "token abc")


@pytest.mark.parametrize(
    ("name", "value"),
    [("node", "fd77::1"), ("node", "10.77.0.1"), ("node", "n"), ("node", "n" * 253), ("port", 1024), ("port", 65535),
     ("path", "/"), ("path", "/" + "a" * 2047), ("authorization", ""), ("authorization", "Basic YTpi"),
     ("authorization", "token " + "a" * 4096)],
)  # fmt: skip
def test_at_the_limits(name: str, value: object) -> None:
    assert getattr(msgspec.convert(GOOD | {name: value}, Told), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("node", ""), ("node", "a..b"), ("node", "-a"), ("node", "a/b"), ("node", "a@b"), ("node", "a:80/x"),
     ("node", "a\n"), ("node", "n" * 254), ("node", "é"),
     ("port", 1023), ("port", 22), ("port", 0), ("port", 65536), ("port", "8888"),
     ("path", ""), ("path", "lab"), ("path", "//evil.test"), ("path", "/\\evil"), ("path", "/a\r\nSet-Cookie: x"),
     ("path", "/a b"), ("path", "/a\n"), ("path", "https://evil.test/"), ("path", "/" + "a" * 2048), ("path", "/#x"),
     ("authorization", "token a\r\nX-Evil: 1"), ("authorization", "token a\n"), ("authorization", "token"),
     ("authorization", "token a b"), ("authorization", "token é"), ("authorization", " token a"),
     ("authorization", "token " + "a" * 4097), ("more", 1)],
)  # fmt: skip
def test_header_injection_other_hosts_and_ports_of_the_system_are_not_told(name: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(GOOD | {name: value}, Told)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(GOOD | {name: value}), type=Told)


def test_its_text_holds_no_credential() -> None:
    assert "abc" not in repr(msgspec.convert(GOOD, Told))


@pytest.mark.parametrize("job", ["1", "42", "42_7", "42+1", "9" * 20])
def test_jobs_are_numbers(job: str) -> None:
    assert is_job(job)


@pytest.mark.parametrize("job", ["", "a", "-1", "42/../43", "42.json", "4 2", "٤٢", "9" * 21, "42\n", "..", "42_"])
def test_nothing_else_is_a_job(job: str) -> None:
    assert not is_job(job)


def test_no_browser_can_send_the_method() -> None:
    with pytest.raises(BadMessage):
        parse_request(f"{METHOD} /42 HTTP/1.1\r\nHost: portal.test\r\n\r\n".encode())
