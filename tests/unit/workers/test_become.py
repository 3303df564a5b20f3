"""Becoming an account; for real where the test runs as root, in a child of its own."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from supercloud.identity import Principal
from supercloud.workers import become as module
from supercloud.workers.become import StillPrivileged, become, enter_groups, failure_as

NOBODY = Principal("nobody", 65534, 65534, frozenset({65534, 2000, 3000}))
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def in_child(task: Callable[[], str]) -> str:
    """What a forked child's task returns, or its traceback."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = task()
        except BaseException:
            said = traceback.format_exc()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def ids() -> tuple[object, ...]:
    return os.getresuid(), os.getresgid(), sorted(os.getgroups())


@root
def test_an_account_is_taken_with_all_its_ids_and_groups_and_none_of_roots() -> None:
    def task() -> str:
        os.setgroups([0, 4])
        become(NOBODY)
        return repr(ids())

    assert in_child(task) == repr(((65534,) * 3, (65534,) * 3, [2000, 3000, 65534]))


@root
@pytest.mark.parametrize(
    "attempt",
    [
        "os.setresuid(0, 0, 0)",
        "os.setresuid(-1, 0, -1)",
        "os.setuid(0)",
        "os.seteuid(0)",
        "os.setresgid(0, 0, 0)",
        "os.setegid(0)",
        "os.setgroups([0])",
        "os.kill(1, 0)",
    ],
)
def test_there_is_no_way_back_to_root(attempt: str) -> None:
    def task() -> str:
        become(NOBODY)
        try:
            exec(attempt)
        except PermissionError:
            return "refused"
        return f"{attempt} worked: {ids()}"

    assert in_child(task) == "refused"


@root
def test_the_process_of_another_account_cannot_become_anybody() -> None:
    def task() -> str:
        become(NOBODY)
        try:
            become(Principal("alice", 1001, 1001, frozenset({1001})))
        except PermissionError:
            return "refused"
        return repr(ids())

    assert in_child(task) == "refused"


class Calls:
    """An operating system that writes down what is changed, and tells what a test wants it to tell."""

    def __init__(self) -> None:
        self.made: list[tuple[object, ...]] = []
        self.resuid = self.resgid = (65534,) * 3
        self.groups = [2000, 3000]
        self.lets_back = False

    def setgroups(self, groups: list[int]) -> None:
        self.made.append(("setgroups", *groups))

    def setresgid(self, *gids: int) -> None:
        self.made.append(("setresgid", *gids))

    def setresuid(self, *uids: int) -> None:
        self.made.append(("setresuid", *uids))
        if uids == (0, 0, 0) and not self.lets_back:
            raise PermissionError

    def getresuid(self) -> tuple[int, ...]:
        return self.resuid

    def getresgid(self) -> tuple[int, ...]:
        return self.resgid

    def getgroups(self) -> list[int]:
        return self.groups


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_groups_go_before_the_gid_and_the_gid_before_the_uid(calls: Calls) -> None:
    with mock.patch.object(module, "os", calls):
        become(NOBODY)
    assert calls.made == [
        ("setgroups", 2000, 3000, 65534),
        ("setresgid", 65534, 65534, 65534),
        ("setresuid", 65534, 65534, 65534),
        ("setresuid", 0, 0, 0),
    ]


def test_uid_0_is_refused_before_anything_is_changed(calls: Calls) -> None:
    with mock.patch.object(module, "os", calls), pytest.raises(StillPrivileged, match="root is root"):
        become(Principal("root", 0, 0, frozenset({0})))
    assert calls.made == []


@pytest.mark.parametrize(
    ("wrong", "value", "said"),
    [
        ("resuid", (65534, 65534, 0), "ids are"),
        ("resuid", (0, 65534, 65534), "ids are"),
        ("resgid", (65534, 65534, 0), "ids are"),
        ("groups", [0, 2000, 3000], "groups are"),
        ("groups", [2000], "groups are"),
        ("lets_back", True, "became root again"),
    ],
)
def test_rights_that_stayed_behind_end_the_process(calls: Calls, wrong: str, value: object, said: str) -> None:
    setattr(calls, wrong, value)
    with mock.patch.object(module, "os", calls), pytest.raises(StillPrivileged, match=said):
        become(NOBODY)


def test_the_kernel_may_leave_the_gid_out_of_the_groups_or_in(calls: Calls) -> None:
    for groups in ([2000, 3000], [2000, 3000, 65534]):
        calls.groups = groups
        with mock.patch.object(module, "os", calls):
            become(NOBODY)


@root
def test_the_groups_of_an_account_take_the_place_of_roots() -> None:
    """Whoever leaves root's gives everybody what root's group may read."""
    login, gid = "daemon", 3000

    def task() -> str:
        os.setgroups([0, 4, 1234])
        enter_groups(login, gid)
        return repr((os.getuid(), sorted(os.getgroups())))

    assert in_child(task) == repr((0, sorted(os.getgrouplist(login, gid))))
    assert not {0, 4, 1234} & set(os.getgrouplist(login, gid))


@root
def test_an_account_that_nobody_knows_has_its_own_group_only() -> None:
    def task() -> str:
        os.setgroups([0, 4])
        enter_groups("nobody-is-called-so", 3000)
        return repr(os.getgroups())

    assert in_child(task) == "[3000]"


@root
def test_who_is_not_root_takes_no_groups() -> None:
    def task() -> str:
        become(NOBODY)
        try:
            enter_groups("root", 0)
        except PermissionError:
            return "refused"
        return repr(ids())

    assert in_child(task) == "refused"


@root
def test_what_an_account_cannot_do_is_told_and_this_process_stays_who_it_is(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("only root's")
    secret.chmod(0o600)
    said = failure_as(NOBODY, secret.read_text)
    assert said is not None
    assert "Permission denied" in said
    assert os.geteuid() == 0


@root
def test_what_an_account_can_do_leaves_nothing_to_tell() -> None:
    assert failure_as(NOBODY, lambda: None) is None


@root
def test_an_account_that_cannot_be_taken_does_not_try_as_root() -> None:
    said = failure_as(replace(NOBODY, uid=0), lambda: None)
    assert said == "nobody is root"
