"""What a worker is left with; the rest is shown by real workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supercloud.identity import Principal
from supercloud.workers.become import StillPrivileged
from supercloud.workers.confine import Person, check_status, environment_of, go_home, keep_only
from tests.unit.workers.test_become import in_child

ALICE = Principal("alice", 1001, 1002, frozenset({1002, 3000}))
NOTHING = "0000000000000000"
GOOD = {
    "Uid": "1001\t1001\t1001\t1001",
    "Gid": "1002\t1002\t1002\t1002",
    "Groups": "1002 3000 ",
    "CapInh": NOTHING,
    "CapPrm": NOTHING,
    "CapEff": NOTHING,
    "CapBnd": "000001ffffffffff",
    "CapAmb": NOTHING,
    "NoNewPrivs": "1",
}


def text(fields: dict[str, str]) -> str:
    return "Name:\tsc-worker\n" + "".join(f"{name}:\t{value}\n" for name, value in fields.items())


def test_a_worker_that_has_its_accounts_ids_and_nothing_more_may_serve() -> None:
    check_status(text(GOOD), ALICE)
    check_status(text({**GOOD, "Groups": "3000"}), ALICE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Uid", "1001\t1001\t1001\t0"),
        ("Uid", "0\t1001\t1001\t1001"),
        ("Gid", "1002\t1002\t0\t1002"),
        ("Groups", "0 1002 3000"),
        ("Groups", "1002"),
        ("Groups", ""),
        ("CapInh", "0000000000000001"),
        ("CapPrm", "0000000000080000"),
        ("CapEff", "0000000000000080"),
        ("CapAmb", "0000000000000400"),
        ("NoNewPrivs", "0"),
    ],
)
def test_whatever_is_left_of_root_keeps_a_worker_from_serving(name: str, value: str) -> None:
    with pytest.raises(StillPrivileged, match=f"alice: {name} is"):
        check_status(text({**GOOD, name: value}), ALICE)


@pytest.mark.parametrize("name", [name for name in GOOD if name != "CapBnd"])
def test_what_the_kernel_does_not_say_is_not_taken_for_good(name: str) -> None:
    with pytest.raises(StillPrivileged):
        check_status(text({key: value for key, value in GOOD.items() if key != name}), ALICE)


def test_pam_may_choose_the_path_but_not_who_one_is() -> None:
    said_by_pam = {"PATH": "/opt/bin", "LANG": "de_DE.UTF-8", "SITE": "1", "HOME": "/root", "USER": "root"}
    environment = environment_of(Person(ALICE, "/home/alice", "", said_by_pam))
    assert environment == {
        "PATH": "/opt/bin",
        "LANG": "de_DE.UTF-8",
        "SITE": "1",
        "HOME": "/home/alice",
        "USER": "alice",
        "LOGNAME": "alice",
        "SHELL": "/bin/sh",
    }


@pytest.mark.parametrize("home", ["", "relative", "/there/is/none"])
def test_without_a_home_the_root_is_where_one_is(home: str) -> None:
    def task() -> str:
        os.chdir("/tmp")
        go_home(home)
        return str(Path.cwd())

    assert in_child(task) == "/"


def test_a_home_is_entered(tmp_path: Path) -> None:
    def task() -> str:
        go_home(str(tmp_path))
        return str(Path.cwd())

    assert in_child(task) == str(tmp_path)


def test_descriptors_that_are_not_kept_are_closed_and_the_standard_ones_lead_nowhere() -> None:
    kept, dropped = os.open("/etc/passwd", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            keep_only([kept, writer])
            said = {int(name): os.readlink(f"/proc/self/fd/{name}") for name in ("0", "1", str(kept))}
            left = [number for number in range(3, 1024) if os.path.exists(f"/proc/self/fd/{number}")]
            os.write(writer, repr((said, sorted(left) == sorted([kept, writer]))).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    os.close(kept)
    os.close(dropped)
    assert said == repr(({0: "/dev/null", 1: "/dev/null", kept: "/etc/passwd"}, True))


def test_without_standard_error_it_leads_nowhere_too() -> None:
    def task() -> str:
        keep = next(iter({int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2}))
        told = os.dup(keep)
        os.close(2)
        keep_only(range(3, 1024))
        os.close(told)
        return os.readlink("/proc/self/fd/2")

    assert in_child(task) == "/dev/null"


@pytest.mark.parametrize("descriptors", [[], [0], [1, 5], [2]])
def test_standard_descriptors_are_not_to_be_kept(descriptors: list[int]) -> None:
    with pytest.raises(ValueError, match="are to be kept"):
        keep_only(descriptors)
