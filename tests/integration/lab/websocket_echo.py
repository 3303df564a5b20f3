#!/usr/bin/env python3
"""A WebSocket server for tests, by the ``websockets`` package: prints its port, then serves.

/echo sends each message back; /close closes with 4000; /die drops the connection; anything else but a WebSocket is 426.
"""

from __future__ import annotations

import socket
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve


def answer(connection: ServerConnection) -> None:
    path = connection.request.path if connection.request else ""
    if path.endswith("/close"):
        connection.close(4000, "closed by the application")
    elif path.endswith("/die"):
        connection.socket.shutdown(socket.SHUT_RDWR)
    else:
        try:
            for message in connection:
                connection.send(message)
        except ConnectionClosed:
            pass


def main() -> None:
    address = sys.argv[1] if sys.argv[1:] else "127.0.0.1"
    with serve(answer, address, 0, max_size=None, compression=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
