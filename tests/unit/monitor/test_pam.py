"""What is made of PAM's codes; PAM itself is asked in the integration tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pam = pytest.importorskip("supercloud.monitor.pam", reason="needs the PAM library", exc_type=OSError)

SERVICE = "portal"
AUTHINFO_UNAVAIL, ABORT, CONV_ERR = 9, 26, 19


class Library:
    """Answers with the codes that a test sets."""

    def __init__(self) -> None:
        self.authenticate = 0
        self.account = 0
        self.user = "alice"
        self.calls: list[tuple[Any, ...]] = []

    def start(self, service: str, login: str, conv_func: object) -> Library:
        self.calls.append(("start", service, login))
        return self

    def set_item(self, item: int, value: str) -> None:
        self.calls.append(("set_item", item, value))

    def get_item(self, item: int) -> str:
        assert item == pam.pamela.PAM_USER
        return self.user

    def PAM_AUTHENTICATE(self, handle: object, flags: int) -> int:
        self.calls.append(("authenticate", flags))
        return self.authenticate

    def PAM_ACCT_MGMT(self, handle: object, flags: int) -> int:
        self.calls.append(("account", flags))
        return self.account

    def PAM_END(self, handle: object, code: int) -> int:
        self.calls.append(("end", code))
        return 0


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setattr(pam.pamela, "pam_start", made.start)
    for name in ("PAM_AUTHENTICATE", "PAM_ACCT_MGMT", "PAM_END"):
        monkeypatch.setattr(pam.pamela, name, getattr(made, name))
    return made


@pytest.fixture
def service(tmp_path: Path) -> Any:
    (tmp_path / SERVICE).touch()
    return pam.Pam(SERVICE, [str(tmp_path)])


def test_an_account_is_authenticated_and_then_judged(library: Library, service: Any) -> None:
    assert service.check("alice", "right", "192.0.2.7") == "good"
    no_empty_one_and_silent = 0x8001
    assert library.calls == [
        ("start", SERVICE, "alice"),
        ("set_item", pam.pamela.PAM_RHOST, "192.0.2.7"),
        ("authenticate", no_empty_one_and_silent),
        ("account", no_empty_one_and_silent),
        ("end", 0),
    ]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        *[(code, "bad") for code in (6, 7, 8, 10, 11)],
        *[(code, "expired") for code in (12, 13, 16, 27)],
        *[(code, "broken") for code in (1, 3, 4, AUTHINFO_UNAVAIL, CONV_ERR, 25, ABORT, 99)],
    ],
)
def test_an_account_that_is_not_authenticated_is_not_judged(
    library: Library, service: Any, code: int, outcome: str
) -> None:
    library.authenticate = code
    assert service.check("alice", "x", "") == outcome
    assert [call[0] for call in library.calls] == ["start", "authenticate", "end"]


@pytest.mark.parametrize(
    ("code", "outcome", "state"),
    [
        (0, "good", "good"),
        (6, "locked", "locked"),
        (7, "locked", "locked"),
        (10, "bad", "unknown"),
        *[(code, "expired", "expired") for code in (12, 13, 16, 27)],
        *[(code, "broken", "broken") for code in (1, 4, AUTHINFO_UNAVAIL, 25, ABORT, 99)],
    ],
)
def test_what_pam_thinks_of_an_account(library: Library, service: Any, code: int, outcome: str, state: str) -> None:
    library.account = code
    assert service.check("alice", "right", "") == outcome
    assert service.account("alice") == state


def test_a_module_that_changes_who_signs_in_lets_nobody_in(library: Library, service: Any) -> None:
    library.user = "bob"
    assert service.check("alice", "right", "") == "bad"
    assert service.account("alice") == "renamed"


def test_pam_that_cannot_start_is_broken(monkeypatch: pytest.MonkeyPatch, service: Any) -> None:
    def fail(*args: object, **fields: object) -> None:
        raise pam.pamela.PAMError("cannot start")

    monkeypatch.setattr(pam.pamela, "pam_start", fail)
    assert service.check("alice", "right", "") == service.account("alice") == "broken"


@pytest.mark.parametrize("service", ["typo", "../portal", "/etc/passwd", ".", ""])
def test_a_service_that_is_not_there_is_not_replaced_by_another(tmp_path: Path, service: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / SERVICE).touch()
    with pytest.raises(FileNotFoundError):
        pam.Pam(service, [str(tmp_path / "folder"), str(tmp_path)])
