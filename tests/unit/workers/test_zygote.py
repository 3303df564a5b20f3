"""How a zygote is started."""

from __future__ import annotations

import msgspec
import pytest

from supercloud.workers import zygote
from tests.unit.workers.test_application import TASK


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["5"],
        ["5", "{}"],
        ["5", "[]", "more"],
        ["5", msgspec.json.encode(msgspec.structs.replace(TASK, version=99)).decode()],
        ["5", msgspec.json.encode({**msgspec.to_builtins(TASK), "more": 1}).decode()],
        ["x", msgspec.json.encode(TASK).decode()],
    ],
)
def test_a_zygote_that_is_not_started_as_it_must_be_does_not_run(arguments: list[str]) -> None:
    with pytest.raises(ValueError):
        zygote.main(arguments, make=lambda task, home: lambda environ, start: [])
