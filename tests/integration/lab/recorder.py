#!/usr/bin/env python3
"""An application that says how many bytes it was ever sent: ``recorder ADDRESS``; prints its port.

GET /count   the number, without this connection's
GET /last    the last other request; anything else answers "ok"
"""

import socket
import sys
import threading

total = 0
last = b""
lock = threading.Lock()


def serve(connection):
    global total, last
    with connection:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                break
            data += more
            if not data.startswith((b"GET /count ", b"GET /last ")):
                with lock:
                    total += len(more)
        if data:
            if data.startswith(b"GET /count "):
                body = str(total).encode()
            elif data.startswith(b"GET /last "):
                body = last
            else:
                last, body = data, b"ok"
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            connection.sendall(head % len(body) + body)


listener = socket.create_server((sys.argv[1], 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
