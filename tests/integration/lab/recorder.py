#!/usr/bin/env python3
"""An application that says how many bytes it was ever sent: ``recorder ADDRESS``; prints its port.

GET /count   the number, without this connection's; anything else answers "ok"
"""

import socket
import sys
import threading

total = 0
lock = threading.Lock()


def serve(connection):
    global total
    with connection:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                break
            data += more
            if not data.startswith(b"GET /count "):
                with lock:
                    total += len(more)
        if data:
            body = str(total).encode() if data.startswith(b"GET /count ") else b"ok"
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            connection.sendall(head % len(body) + body)


listener = socket.create_server((sys.argv[1], 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
