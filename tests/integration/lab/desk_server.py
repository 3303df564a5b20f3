#!/usr/bin/env python3
"""The portal's own socket in a process of its own, as the front has it.

usage: desk_server.py SOCKET STATE_FOLDER LOGIN

Started as root it becomes LOGIN once the socket is bound; "" stays who it is. Says "ready" once programs are let in.
"""

import os
import pwd
import sys
import time
from pathlib import Path

from twisted.internet import reactor

from supercloud.desk.make import make_desk
from supercloud.offload import Offload


def main() -> None:
    path, state = sys.argv[1], Path(sys.argv[2])
    offload = Offload(reactor, name="looks", threads=8)
    storage = Offload(reactor, name="storage", threads=1)
    desk = make_desk(reactor, path, state, offload=offload, storage=storage, now=time.time)
    desk.bind()
    if sys.argv[3]:
        account = pwd.getpwnam(sys.argv[3])
        os.setgroups([])
        os.setresgid(*(account.pw_gid,) * 3)
        os.setresuid(*(account.pw_uid,) * 3)

    def start() -> None:
        offload.start()
        storage.start()
        desk.start()
        print("ready", flush=True)

    def stop() -> None:
        desk.stop()
        offload.stop()
        storage.stop()

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()


if __name__ == "__main__":
    main()
