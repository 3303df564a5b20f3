"""A zygote whose session holders do as they are told, without PAM and without becoming anybody: a program.

``python zygote.py HABIT FD TASKJSON``; what a holder does after it was forked is its habit. Each writes its process id
into the task's folder ``run``, as ``holder-NUMBER``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from supercloud.monitor.wire import Task
from supercloud.packets import Gone, Packets
from supercloud.workers.wire import Born, Ended, Fork, Ready, Refused, Stop


def main(habit: str, fd: str, task: str) -> None:
    run = Path(msgspec.json.decode(task, type=Task).run)
    (run / "zygote").write_text(f"{os.getpid()} {os.getcwd()} {sorted(os.environ)}")
    link: Packets[Fork] = Packets(socket.socket(fileno=int(fd)), Fork)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        try:
            asked, [listening, status] = link.receive()
        except Gone:
            return
        if habit == "zygote-dies":
            os._exit(1)
        if os.fork() == 0:
            link.close()
            hold(habit, asked, run, socket.socket(fileno=listening), socket.socket(fileno=status))
            os._exit(0)
        os.close(listening)
        os.close(status)


def hold(habit: str, asked: Fork, run: Path, listening: socket.socket, connected: socket.socket) -> None:
    status: Packets[Stop] = Packets(connected, Stop)
    (run / f"holder-{asked.worker}").write_text(str(os.getpid()))
    pidfd = os.pidfd_open(os.getpid())
    status.send(Born(os.getpid()), [pidfd])
    os.close(pidfd)
    if habit == "hangs":
        time.sleep(60)
    if habit == "refuses":
        status.send(Refused("locked", "the session says no"))
    if habit == "sends-garbage":
        connected.send(b"\xc1garbage")
    if habit in ("ends-at-once", "refuses", "sends-garbage"):
        return
    listening.listen()
    status.send(Ready(os.getpid()))
    if habit == "is-ready-twice":
        status.send(Ready(os.getpid()))
    if habit == "crashes":
        status.send(Ended("signal 9"))
    if habit == "does-not-stop":
        time.sleep(60)
    wait_for_end(status)


def wait_for_end(status: Packets[Any]) -> None:
    try:
        status.receive()
        status.send(Ended("stopped"))
    except Gone:
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
