"""What listens on a job's nodes, as a step of the job prints it."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from supercloud.scheduler.interface import Listener
from supercloud.scheduler.listening import SCRIPT, program_name, read_listeners

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"


def row(address: str, port: int, inode: int, *, state: str = "0A", uid: int = 1001) -> str:
    far, rest = "0" * len(address), "00000000:00000000 00:00000000 00000000"
    return f"   0: {address}:{port:04X} {far}:0000 {state} {rest} {uid:5}        0 {inode} 1 0 100"


def printed(node: str, rows: list[str], held: dict[int, list[int]], called: dict[int, str]) -> str:
    lines = [f"= {node} 1001", HEADER, *rows]
    for pid, inodes in held.items():
        lines += [f"/proc/{pid}/fd:", "total 0", "lrwx------ 1 a a 64 Nov 28 19:00 0 -> /dev/null"]
        lines += [f"lrwx------ 1 a a 64 Nov 28 19:00 {n} -> 'socket:[{inode}]'" for n, inode in enumerate(inodes, 3)]
    return "\n".join([*lines, "=ps", *(f"{pid:5} {words}" for pid, words in called.items()), ""])


def test_each_node_says_what_listens_there() -> None:
    first = printed("node1", [row("00000000", 12001, 7)], {50: [6, 7]}, {50: "python3 -m http.server 12001"})
    second = printed("node2", [row("0" * 32, 9000, 8)], {60: [8]}, {60: "/opt/bin/dash --x"})
    assert read_listeners(second + first) == [
        Listener(node="node1", port=12001, name="http.server"),
        Listener(node="node2", port=9000, name="dash"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        row("0100007F", 12001, 7),
        row("0A00007F", 12001, 7),
        row("00000000000000000000000001000000", 12001, 7),
        row("0000000000000000FFFF00000100007F", 12001, 7),
        row("00000000", 12001, 7, state="01"),
        row("00000000", 12001, 7, uid=1002),
        row("00000000", 80, 7),
        "nonsense",
        row("00000000", 12001, 7)[:40],
    ],
)
def test_what_cannot_be_reached_or_is_somebody_elses_is_not_told(line: str) -> None:
    assert read_listeners(printed("node1", [line], {50: [7]}, {50: "x"})) == []


def test_slurms_own_programs_and_kernels_are_no_applications() -> None:
    rows = [row("00000000", port, port) for port in (33000, 33001, 33002)]
    called = {50: "srun --overlap x", 51: "python3 -m ipykernel_launcher -f k.json", 52: "dash"}
    said = printed("node1", rows, {50: [33000], 51: [33001], 52: [33002]}, called)
    assert [one.name for one in read_listeners(said)] == ["dash"]


def test_one_whose_program_is_not_told_is_a_program() -> None:
    assert read_listeners(printed("node1", [row("00000000", 12001, 7)], {}, {}))[0].name == "a program"


@pytest.mark.parametrize("text", ["", "=ps\n", "= \n", "= a/../b 1\n" + row("00000000", 12001, 7), "\0", "= node1 x"])
def test_what_makes_no_sense_tells_nothing(text: str) -> None:
    assert read_listeners(text) == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["nginx:", "master"], "nginx"),
        (["/usr/bin/python3.11", "-u", "/home/a/serve.py", "1"], "serve.py"),
        (["python3"], "python3"),
        ([], "a program"),
    ],
)
def test_programs_are_called_as_people_call_them(words: list[str], name: str) -> None:
    assert program_name(words) == name


def test_what_this_host_prints_can_be_read() -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as inner:
        environment = {**os.environ, "SLURMD_NODENAME": "node7"}
        said = subprocess.run(["/bin/sh", "-c", SCRIPT], capture_output=True, text=True, env=environment).stdout
        found = {one.port: one for one in read_listeners(said)}
        assert found[listening.getsockname()[1]].node == "node7"
        assert inner.getsockname()[1] not in found
