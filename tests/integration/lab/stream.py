#!/usr/bin/env python3
"""A web application that never finishes: prints its port; every path is an endless response, or an endless WebSocket.

Standard library only, runs as any account. Something is sent every 20 ms, so whoever reads sees an end at once.
"""

import asyncio
import base64
import hashlib
import sys

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def answer(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            fields[name.lower()] = value
        if fields.get(b"upgrade", b"").lower() == b"websocket":
            key = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + _GUID).digest())
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + key + b"\r\n\r\n"
            )
            piece = b"\x82\x7e\x04\x00" + bytes(1024)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = b"400\r\n" + b"x" * 1024 + b"\r\n"
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(answer, sys.argv[1] if sys.argv[1:] else "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
