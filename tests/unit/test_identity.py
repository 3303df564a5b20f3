from __future__ import annotations

import pytest

from supercloud.identity import NoAccount, Principal, is_login


@pytest.mark.parametrize(
    "login", ["alice", "a", "_apt", "alice.b-c", "alice@lab.example", "host$", "7seven", "x" * 256]
)
def test_what_directories_call_accounts_is_a_login(login: str) -> None:
    assert str(Principal(login, 1001, 1001, frozenset())) == login


@pytest.mark.parametrize(
    "login",
    ["", "-alice", ".alice", "al ice", "alice\n", "alice\r\nX-Forwarded-User: bob", "a/b", "a$b", "ä", "x" * 257],
)
def test_header_injection_by_a_login_is_refused(login: str) -> None:
    with pytest.raises(ValueError, match="is not a POSIX account name"):
        Principal(login, 1001, 1001, frozenset())


@pytest.mark.parametrize(("uid", "gid"), [(-1, 1001), (1001, -1)])
def test_ids_below_zero_are_refused(uid: int, gid: int) -> None:
    with pytest.raises(ValueError, match=f"alice: uid {uid}, gid {gid}"):
        Principal("alice", uid, gid, frozenset())


def test_a_principal_cannot_be_changed_into_another() -> None:
    with pytest.raises(AttributeError):
        Principal("alice", 1001, 1001, frozenset()).uid = 0  # type: ignore[misc]


def test_no_account_is_a_failed_lookup() -> None:
    assert issubclass(NoAccount, LookupError)


@pytest.mark.parametrize("text", ["", "a\0b", "../a", "-r", "a b", "a\n", "a:b", "ä", "a" * 258])
def test_what_no_account_can_be_called(text: str) -> None:
    assert not is_login(text)
