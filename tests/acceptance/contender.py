#!/usr/bin/env python3
"""Takes a port whenever it is free, holds it for a few milliseconds, and lets it go; until SIGTERM.

usage: contender.py PORT NAME answers|silent

Counts what arrives and says it as JSON at the end. One that answers says its name and closes; one that is silent
keeps what it accepted open for as long as its other end does, and counts.
"""

import json
import random
import select
import signal
import socket
import sys
import time

PORT, NAME, IS_SILENT = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3] == "silent"
counts = {"listened": 0, "accepted": 0, "bytes": 0, "answered": 0}
ended = False
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(NAME), NAME)


def end(*_):
    global ended
    ended = True


def read(connections, one):
    try:
        data = one.recv(65536)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    counts["bytes"] += len(data)
    if data and not IS_SILENT and b"\r\n\r\n" in data:
        one.send(ANSWER)
        counts["answered"] += 1
        data = b""
    if not data:
        connections.discard(one)
        one.close()


def main():
    signal.signal(signal.SIGTERM, end)
    connections = set()
    print("ready", flush=True)
    while not ended:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind(("127.0.0.1", PORT))
            listener.listen(64)
        except OSError:
            listener.close()
            time.sleep(0.0002)
            continue
        counts["listened"] += 1
        until = time.monotonic() + random.uniform(0.0005, 0.006)
        while (left := until - time.monotonic()) > 0 and not ended:
            ready, _, _ = select.select([listener, *connections], [], [], left)
            for one in ready:
                if one is listener:
                    try:
                        accepted, _ = listener.accept()
                    except OSError:
                        continue
                    accepted.setblocking(False)
                    connections.add(accepted)
                    counts["accepted"] += 1
                else:
                    read(connections, one)
        listener.close()
        if not IS_SILENT:
            # What was accepted is answered, whoever has the port now.
            give_up = time.monotonic() + 0.05
            while connections and time.monotonic() < give_up:
                ready, _, _ = select.select(list(connections), [], [], 0.01)
                for one in ready:
                    read(connections, one)
        time.sleep(random.uniform(0, 0.001))
    for one in list(connections):
        read(connections, one)
    print(json.dumps(counts), flush=True)


main()
