"""A monitor's sessions, with a zygote and holders that the test plays."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from supercloud import attention
from supercloud.monitor.folder import Folder
from supercloud.monitor.loop import Loop
from supercloud.monitor.sessions import Patience, Sessions
from supercloud.monitor.wire import VERSION, Answer, StartWorker, Task
from supercloud.packets import Packets
from supercloud.workers.wire import Fork, Ready, Stop

ALICE = StartWorker(5, 1001, "alice")
MOST = 3


class Holder:
    """A session holder, as the zygote was asked to fork it."""

    def __init__(self, asked: Fork, listening: int, status: int) -> None:
        self.asked = asked
        self.listening = socket.socket(fileno=listening)
        connected = socket.socket(fileno=status)
        connected.setblocking(False)
        self.status: Packets[Stop] = Packets(connected, Stop)

    def close(self) -> None:
        self.listening.close()
        self.status.close()


class Site:
    def __init__(self, run: Path, most: int = MOST) -> None:
        self.now = 100.0
        self.loop = Loop(lambda: self.now)
        self.folder = Folder(Task(VERSION, os.geteuid(), os.geteuid(), 1000, "", str(run), "/x", {}))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        self.link: Packets[Any] = Packets(ours, Any)
        self.zygote: Packets[Fork] = Packets(theirs, Fork)
        self.answers: list[Answer] = []
        self.sessions = Sessions(
            self.loop,
            self.folder,
            self.link,
            self.answers.append,
            most=most,
            patience=Patience(start=15, stop=10),
        )
        self.holders: list[Holder] = []

    def start(self, request: StartWorker = ALICE) -> Holder:
        self.sessions.start(request)
        return self.next()

    def next(self) -> Holder:
        """The one that the zygote was asked for."""
        asked, [listening, status] = self.zygote.receive()
        self.holders.append(Holder(asked, listening, status))
        return self.holders[-1]

    def serve(self) -> Holder:
        holder = self.start()
        holder.status.send(Ready(4711))
        self.turn()
        self.answers.clear()
        return holder

    def turn(self, seconds: float = 0) -> None:
        """Let time pass in which it looks (supercloud.attention)."""
        while seconds > attention.MOST:
            self.now, seconds = self.now + attention.MOST, seconds - attention.MOST
            self.loop.turn(0)
        self.now += seconds
        self.loop.turn(0)

    @property
    def sockets(self) -> list[str]:
        return os.listdir(self.folder.path)

    def close(self) -> None:
        for holder in self.holders:
            holder.close()
        for _ in range(len(self.holders) + 1):
            self.turn()
        self.link.close()
        self.zygote.close()
        self.loop.close()
        self.folder.close()
