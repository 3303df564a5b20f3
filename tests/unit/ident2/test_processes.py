from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from supercloud.ident2 import processes as module
from supercloud.ident2.processes import Process, Processes, SearchTooLong

ME = os.geteuid() or 20001
SOCKET = 4026  # an inode
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for accounts of their own")


class Proc:
    """A procfs of plain files; who owns its folders can be chosen by root only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0

    def add(self, pid: int, *, uid: int = ME, gid: int = 7, started: int = 100, **fds: int) -> None:
        process = self.folder / str(pid)
        (process / "fd").mkdir(parents=True)
        (process / "status").write_text(f"Name:\tx\nUid:\t1\t{uid}\t1\t1\nGid:\t1\t{gid}\t1\t1\nGroups:\t5 {gid} \n")
        after = " ".join(str(number) for number in range(4, 22))
        (process / "stat").write_text(f"{pid} (a (b) c) S {after} {started} 23 24\n")
        for name, inode in fds.items():
            (process / "fd" / name.strip("_")).symlink_to(f"socket:[{inode}]")
        if os.geteuid() == 0:
            os.chown(process, uid, gid)

    def end(self, pid: int) -> None:
        shutil.rmtree(self.folder / str(pid))

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Proc]:
    (tmp_path / "self").mkdir()
    return Proc(tmp_path)


@pytest.fixture
def processes(proc: Proc) -> Processes:
    return Processes(str(proc.folder), monotonic=proc.monotonic)


def pids(found: list[Process]) -> list[int]:
    return sorted(process.pid for process in found)


@root
def test_the_holder_is_told_with_effective_ids_groups_and_start(proc: Proc, processes: Processes) -> None:
    proc.add(41, _3=1)
    proc.add(42, gid=8, started=77, _3=1, _4=SOCKET)
    assert processes.search(SOCKET, ME, groups=True) == [Process(42, ME, 8, frozenset({5, 8}), 77)]
    assert processes.search(SOCKET, ME) == [Process(42, ME, 8, frozenset(), 77)]


def test_all_holders_of_the_account_are_told(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    proc.add(43, _9=SOCKET)
    assert pids(processes.search(SOCKET, os.geteuid())) == [42, 43]


def test_nothing_is_remembered_before_a_search(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    assert processes.remembered(SOCKET, ME) == []


def test_what_was_found_is_remembered_for_a_moment(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    processes.search(SOCKET, 0)
    assert pids(processes.remembered(SOCKET, 0)) == [42]
    proc.now = module.FRESH_ANY
    assert processes.remembered(SOCKET, 0) == []


def test_a_remembered_holder_that_closed_the_socket_holds_it_no_more(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    processes.search(SOCKET, 0)
    (proc.folder / "42/fd/4").unlink()
    assert processes.remembered(SOCKET, 0) == []


def test_a_descriptor_that_became_another_socket_is_not_believed(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    processes.search(SOCKET, 0)
    (proc.folder / "42/fd/4").unlink()
    (proc.folder / "42/fd/4").symlink_to("socket:[1]")
    assert processes.remembered(SOCKET, 0) == []


def test_a_pid_that_was_used_again_is_not_the_holder_although_its_descriptor_looks_alike(
    proc: Proc, processes: Processes
) -> None:
    proc.add(42, started=100, _4=SOCKET)
    processes.search(SOCKET, 0)
    proc.end(42)
    proc.add(42, started=101, _4=SOCKET)
    assert processes.remembered(SOCKET, 0) == []


def test_one_of_several_holders_that_changed_needs_a_new_search(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    proc.add(43, _4=SOCKET)
    processes.search(SOCKET, 0)
    proc.end(42)
    assert processes.remembered(SOCKET, 0) == []
    assert pids(processes.search(SOCKET, 0)) == [43]


@root
def test_processes_of_others_are_not_holders_while_the_account_has_one(proc: Proc, processes: Processes) -> None:
    proc.add(42, uid=ME, _4=SOCKET)
    proc.add(43, uid=ME + 1, _4=SOCKET)
    assert pids(processes.search(SOCKET, ME)) == [42]


@root
def test_a_socket_that_its_account_gave_away_is_held_by_whoever_has_it(proc: Proc, processes: Processes) -> None:
    proc.add(42, uid=ME)
    proc.add(43, uid=ME + 1, _4=SOCKET)
    assert [process.uid for process in processes.search(SOCKET, ME)] == [ME + 1]


@root
def test_all_accounts_are_searched_for_a_socket_that_root_opened(proc: Proc, processes: Processes) -> None:
    proc.add(42, uid=0, _4=SOCKET)
    proc.add(43, uid=ME + 1, _4=SOCKET)
    assert sorted(process.uid for process in processes.search(SOCKET, 0)) == [0, ME + 1]


@root
def test_a_connection_is_looked_for_in_the_process_that_listens(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET, _5=1, _6=2)
    processes.search(SOCKET, ME)
    assert pids(processes.remembered(1, ME, accepted_from=(SOCKET, ME))) == [42]
    assert pids(processes.remembered(2, ME, accepted_from=(SOCKET, ME))) == [42]
    assert processes.remembered(3, ME, accepted_from=(SOCKET, ME)) == []


@root
def test_the_process_that_listens_is_no_hint_when_it_is_of_another_account(proc: Proc, processes: Processes) -> None:
    proc.add(42, uid=ME + 1, _4=SOCKET, _5=1)
    processes.search(SOCKET, ME + 1)
    assert processes.remembered(1, ME, accepted_from=(SOCKET, ME + 1)) == []


def test_a_connection_of_uid_0_is_never_answered_from_one_process_alone(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET, _5=1)
    processes.search(SOCKET, 0)
    assert processes.remembered(1, 0, accepted_from=(SOCKET, 0)) == []


def test_a_process_without_status_or_start_is_passed_over(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    (proc.folder / "42/stat").write_text("42 (x")
    proc.add(43, _4=SOCKET)
    assert pids(processes.search(SOCKET, 0)) == [43]


def test_a_search_that_takes_too_long_says_nothing(proc: Proc) -> None:
    proc.add(42, _4=SOCKET)
    times = iter([0.0, module.SEARCH + 0.1])
    with pytest.raises(SearchTooLong):
        Processes(str(proc.folder), worked=lambda: next(times)).search(SOCKET, 0)


def test_a_search_that_a_busy_machine_makes_long_tells_all_the_same(proc: Proc) -> None:
    proc.add(42, _4=SOCKET)
    hours = itertools.count(step=3600.0)
    assert pids(Processes(str(proc.folder), monotonic=lambda: next(hours), worked=lambda: 0.0).search(SOCKET, 0)) == [
        42
    ]


def test_a_process_with_very_many_descriptors_does_not_make_a_search_longer(
    proc: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    looks = 0

    def worked() -> float:
        nonlocal looks
        looks += 1
        return looks * module.SEARCH / 3

    proc.add(42, **{f"_{number}": 1 for number in range(100)})
    with pytest.raises(SearchTooLong):
        Processes(str(proc.folder), worked=worked).search(SOCKET, 0)
    assert looks < 8


def test_an_account_whose_search_took_too_long_is_not_searched_for_at_once(
    proc: Proc, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.add(42, _4=SOCKET)
    monkeypatch.setattr(module, "SEARCH", -0.5)
    with pytest.raises(SearchTooLong):
        processes.search(SOCKET, 0)
    with pytest.raises(SearchTooLong):
        processes.search(SOCKET, 7)
    monkeypatch.undo()

    with pytest.raises(SearchTooLong):
        processes.search(SOCKET, 0)
    assert pids(processes.search(SOCKET, 8)) == [42]
    proc.now += module.SEARCH + module.AGAIN
    assert pids(processes.search(SOCKET, 0)) == [42]


def test_accounts_whose_search_took_too_long_are_bounded(
    processes: Processes, proc: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.add(42, _4=SOCKET)
    monkeypatch.setattr(module, "SEARCH", -0.5)
    monkeypatch.setattr(module, "CACHED", 3)
    for uid in range(9):
        with pytest.raises(SearchTooLong):
            processes.search(SOCKET, uid)

    assert len(processes._too_long) == 3


def test_no_more_than_the_limit_is_remembered(
    proc: Proc, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED", 2)
    proc.add(42, _4=1, _5=2, _6=3)
    for inode in (1, 2, 3):
        processes.search(inode, 0)
    assert [bool(processes.remembered(inode, 0)) for inode in (1, 2, 3)] == [False, True, True]


def test_a_status_with_very_many_groups_is_read_to_its_end(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    status = proc.folder / "42/status"
    many = " ".join(str(number) for number in range(20_000))
    status.write_text(status.read_text().replace("Groups:\t5 7 ", f"Groups:\t{many}"))
    assert len(processes.search(SOCKET, 0, groups=True)[0].groups) == 20_000


def test_this_process_is_found_by_the_kernels_own_proc() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Processes().search(os.fstat(listener.fileno()).st_ino, os.geteuid(), groups=True)
    mine = [process for process in found if process.pid == os.getpid()]
    assert [(process.uid, process.gid) for process in mine] == [(os.geteuid(), os.getegid())]
    assert mine[0].groups == frozenset(os.getgroups())


@root
def test_the_effective_ids_of_a_process_that_dropped_its_rights_are_told() -> None:
    script = (
        "import os, socket; s = socket.create_server(('127.0.0.1', 0)); os.setgroups([20100]); os.setgid(20003);"
        "os.setuid(20002); print(os.fstat(s.fileno()).st_ino, flush=True); input()"
    )
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        inode = int(child.stdout.readline())
        processes = Processes()
        found = processes.search(inode, 0, groups=True)
        quick = processes.remembered(inode, 0)
        child.communicate("\n")
    assert [(each.pid, each.uid, each.gid, each.groups) for each in found] == [(child.pid, 20002, 20003, {20100})]
    assert [(each.pid, each.uid, each.gid) for each in quick] == [(child.pid, 20002, 20003)]
    assert processes.remembered(inode, 0) == []


def test_a_holder_that_lets_go_during_a_search_is_searched_for_again(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET)
    proc.add(43, _5=SOCKET)
    confirm, seen = processes._confirm, list[int]()

    def confirm_while_42_ends(holding: module._Holding, inode: int, *, groups: bool) -> Process:
        seen.append(holding.pid)
        if holding.pid == 42:
            proc.end(42)
        return confirm(holding, inode, groups=groups)

    processes._confirm = confirm_while_42_ends  # type: ignore[method-assign]
    assert pids(processes.search(SOCKET, 0)) == [43]
    assert 42 in seen


@root
def test_a_process_that_listened_and_ended_is_no_hint(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET, _5=1)
    processes.search(SOCKET, ME)
    proc.end(42)
    assert processes.remembered(1, ME, accepted_from=(SOCKET, ME)) == []


@root
def test_a_guessed_descriptor_that_is_gone_is_looked_for_anew(proc: Proc, processes: Processes) -> None:
    proc.add(42, _4=SOCKET, _5=1)
    processes.search(SOCKET, ME)
    processes.remembered(1, ME, accepted_from=(SOCKET, ME))
    (proc.folder / "42/fd/5").rename(proc.folder / "42/fd/6")
    assert pids(processes.remembered(1, ME, accepted_from=(SOCKET, ME))) == [42]


def test_what_is_no_status_says_nothing(proc: Proc) -> None:
    proc.add(42, _4=SOCKET)
    (proc.folder / "42/status").write_text("Name: x\n")
    times = iter([0.0, 0.0, 0.0, 0.0, 0.0, module.SEARCH + 0.1])
    with pytest.raises(SearchTooLong):
        Processes(str(proc.folder), worked=lambda: next(times)).search(SOCKET, 0, groups=True)


@root
def test_a_process_with_very_many_descriptors_is_left_to_a_search(
    proc: Proc, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.add(42, _3=SOCKET, _4=1, _5=2, _6=3)
    processes.search(SOCKET, ME)
    listed = [SimpleNamespace(name=name) for name in ("3", "4", "5", "6")]
    monkeypatch.setattr(module.os, "scandir", lambda folder: nullcontext(iter(listed)))
    monkeypatch.setattr(module, "QUICK", 3)
    assert pids(processes.remembered(3, ME, accepted_from=(SOCKET, ME))) == [42]
    monkeypatch.setattr(module, "LISTED", 3)
    assert processes.remembered(1, ME, accepted_from=(SOCKET, ME)) == []
    monkeypatch.setattr(module, "LISTED", 4)
    monkeypatch.setattr(module, "QUICK", 1)
    assert processes.remembered(2, ME, accepted_from=(SOCKET, ME)) == []


@root
def test_a_pid_that_the_kernel_gave_away_again_is_not_the_holder() -> None:
    """The same number, account, descriptor number and socket: only the process is another one."""
    script = "import sys; sys.stdin.read()"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        inode, processes = os.fstat(listener.fileno()).st_ino, Processes()

        def start() -> subprocess.Popen[bytes]:
            argv = ["/usr/bin/python3", "-c", script]
            return subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], user=ME, group=ME)

        with start() as first:
            assert first.pid in pids(processes.search(inode, ME))
            first.kill()
        for _ in range(50):
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
            with start() as second:
                is_again = second.pid == first.pid
                found = processes.remembered(inode, ME)
                second.kill()
            if is_again:
                break
        else:
            pytest.skip("the kernel gave the number to others")
    assert found == []


@root
def test_a_connection_that_was_seen_while_another_was_looked_for_is_found_by_one_look(
    proc: Proc, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.add(42, _3=SOCKET, _4=1, _5=2, _6=3)
    processes.search(SOCKET, ME)
    monkeypatch.setattr(module.os, "listdir", lambda folder: ["4", "5", "6", "3"])
    assert pids(processes.remembered(1, ME, accepted_from=(SOCKET, ME))) == [42]
    monkeypatch.setattr(module.os, "listdir", lambda folder: pytest.fail("listed"))
    for inode in (3, 2, 1):
        assert pids(processes.remembered(inode, ME, accepted_from=(SOCKET, ME))) == [42]


@root
def test_a_number_that_is_used_again_is_tried_first(
    proc: Proc, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.add(42, _3=SOCKET, _4=1)
    processes.search(SOCKET, ME)
    processes.remembered(1, ME, accepted_from=(SOCKET, ME))
    (proc.folder / "42/fd/4").unlink()
    (proc.folder / "42/fd/4").symlink_to("socket:[2]")
    monkeypatch.setattr(module.os, "listdir", lambda folder: pytest.fail("listed"))
    assert pids(processes.remembered(2, ME, accepted_from=(SOCKET, ME))) == [42]


@root
def test_what_was_seen_in_passing_is_bounded_and_only_a_hint(
    proc: Proc, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEEN", 2)
    monkeypatch.setattr(module, "LIKELY", 1)
    proc.add(42, _3=SOCKET, _4=1, _5=2, _6=3, _7=4)
    processes.search(SOCKET, ME)
    for inode in (1, 2, 3, 4, 1, 2):
        assert pids(processes.remembered(inode, ME, accepted_from=(SOCKET, ME))) == [42]
    assert processes.remembered(5, ME, accepted_from=(SOCKET, ME)) == []


def test_folders_are_kept_open_for_so_many_processes_only(
    proc: Proc, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN", 2)
    for pid in range(42, 47):
        proc.add(pid, _4=pid)
    for _ in range(2):
        for pid in range(42, 47):
            assert pids(processes.search(pid, 0)) == [pid]
            assert pids(processes.remembered(pid, 0)) == [pid]
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert len([path for path in opened if path.startswith(f"{proc.folder.resolve()}/")]) == 2
