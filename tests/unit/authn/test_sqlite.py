"""A file that several processes open at once; what it holds is tested with its users."""

from __future__ import annotations

import sqlite3

import pytest

from supercloud.authn import sqlite as module


class _Contended:
    """A connection whose journal others hold for the first tries."""

    def __init__(self, failures: int, code: int) -> None:
        self.tries = 0
        self._failures = failures
        self._code = code

    def execute(self, statement: str) -> _Contended:
        self.tries += 1
        if self.tries <= self._failures:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self._code
            raise error
        return self

    def fetchone(self) -> tuple[str]:
        return ("wal",)


def test_a_file_that_others_make_at_the_same_time_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    contended = _Contended(3, sqlite3.SQLITE_BUSY)
    assert module._switch_to_wal(contended) == "wal"
    assert contended.tries == 4


@pytest.mark.parametrize(("code", "tries"), [(sqlite3.SQLITE_BUSY, 100), (sqlite3.SQLITE_CANTOPEN, 1)])
def test_a_file_that_cannot_be_had_is_not_tried_for_ever(
    monkeypatch: pytest.MonkeyPatch, code: int, tries: int
) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    contended = _Contended(1000, code)
    with pytest.raises(sqlite3.OperationalError):
        module._switch_to_wal(contended)
    assert contended.tries == tries
