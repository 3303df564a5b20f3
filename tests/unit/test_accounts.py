"""Accounts as NSS tells them and as the site admits them."""

from __future__ import annotations

import os
import pwd

import pytest

from supercloud.accounts import Accounts, read_account
from supercloud.identity import NoAccount, Principal
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload

ALICE = Principal("alice", 1001, 1001, frozenset({1001, 2000}))


def entry(name: str, uid: int, gid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> dict[str, pwd.struct_passwd]:
    """A directory that folds case, as some do."""
    people = {
        one.pw_name: one
        for one in (entry("root", 0, 0), entry("daemon", 999, 999), entry("alice", 1001, 1001), entry("odd;", 1005, 5))
    }
    by_uid = {one.pw_uid: one for one in people.values()}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: people[name.lower()])
    monkeypatch.setattr(pwd, "getpwuid", by_uid.__getitem__)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 2000])
    return people


@pytest.mark.parametrize("key", ["alice", 1001])
def test_an_account_is_found_by_login_and_by_uid_with_all_its_groups(key: str | int) -> None:
    assert read_account(key) == ALICE


@pytest.mark.parametrize("key", ["carol", 1003])
def test_an_account_that_nss_does_not_know_is_none(key: str | int) -> None:
    with pytest.raises(NoAccount, match=f"no account {key!r}"):
        read_account(key)


def test_a_directory_that_folds_case_does_not_make_two_logins_one() -> None:
    with pytest.raises(NoAccount, match="'ALICE' is called 'alice' here"):
        read_account("ALICE")


def test_an_account_with_a_name_that_no_account_may_have_is_none() -> None:
    with pytest.raises(NoAccount, match="'odd;' is not a POSIX account name"):
        read_account(1005)


def test_an_account_is_read_afresh_each_time(database: dict[str, pwd.struct_passwd]) -> None:
    accounts = Accounts(FakeOffload())
    assert run(accounts.find("alice")) == ALICE
    del database["alice"]
    with pytest.raises(NoAccount):
        run(accounts.find("alice"))


@pytest.mark.parametrize(("lowest", "is_let_in"), [(1001, True), (1002, False)])
def test_accounts_below_the_lowest_uid_are_not_let_in(lowest: int, is_let_in: bool) -> None:
    accounts = Accounts(FakeOffload(), min_uid=lowest)
    if is_let_in:
        assert run(accounts.find(1001)) == ALICE
    else:
        with pytest.raises(NoAccount, match="alice has uid 1001, below 1002"):
            run(accounts.find(1001))


@pytest.mark.parametrize("key", ["root", 0])
def test_root_is_never_let_in_whatever_the_lowest_uid(key: str | int) -> None:
    with pytest.raises(NoAccount, match="root has uid 0"):
        run(Accounts(FakeOffload(), min_uid=0).find(key))


def test_an_embedded_portal_lets_in_its_own_account_and_nobody_else() -> None:
    accounts = Accounts(FakeOffload(), only=999)
    assert run(accounts.find(999)).login == "daemon"
    with pytest.raises(NoAccount, match="alice is not the account that runs this portal"):
        run(accounts.find("alice"))
