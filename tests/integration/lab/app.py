#!/usr/bin/env python3
"""A web application for tests: HTTP/1.1 with keep-alive, standard library only, runs as any account.

usage: app.py [--address 127.0.0.1] [--port 0] [--log FILE] [--once]

Says one JSON line on standard output once it listens: {"port": ..., "pid": ...}.

    /who             JSON: uid, gid, groups, pid, node, peer, method, path, version, headers as pairs, bytes of body
    /echo            the request's body, as it comes (Content-Length if it had one, else chunked)
    /bytes/N         N bytes with Content-Length
    /chunks/N/M      N chunks of M bytes; ?trailers adds X-Chunks: N after them
    /slow/S          answers after S seconds
    /events/N        N server-sent events, 0.05 s apart
    /until-close/N   N bytes, ended by closing
    /die/N           promises N bytes more than it sends, then resets
    /status/NNN      that status, with an empty body
    /redirect/KIND   path, relative, full, elsewhere, scheme-relative; refresh, link, content-location: that field
    /cookie          several Set-Cookie fields, with Path and Domain
    /upgrade         with "Upgrade: echo": 101, then every byte comes back until the end

--log writes a JSON line when a connection is accepted, for every piece received (bytes so far, first bytes), and when
it ends, so a test can say that not one byte arrived.  --once serves one connection and exits.
"""

import argparse
import base64
import io
import itertools
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

FIRST_BYTES = 256


class Log:
    """JSON lines in a file, or nowhere."""

    def __init__(self, path):
        self._stream = open(path, "a", buffering=1, encoding="ascii") if path else None  # noqa: SIM115
        self._lock = threading.Lock()

    def __call__(self, **what):
        if self._stream:
            with self._lock:
                self._stream.write(json.dumps(what) + "\n")


class Counted(io.RawIOBase):
    """A socket's bytes, each counted as it is received."""

    def __init__(self, connection, number, log):
        self._socket, self._number, self._log = connection, number, log
        self._count, self._first = 0, b""

    def readable(self):
        return True

    def readinto(self, buffer):
        count = self._socket.recv_into(buffer)
        self._count += count
        if len(self._first) < FIRST_BYTES:
            self._first = (self._first + bytes(buffer[:count]))[:FIRST_BYTES]
        if count:
            first = base64.b64encode(self._first).decode()
            self._log(event="received", connection=self._number, bytes=self._count, first=first)
        return count

    def close(self):
        if not self.closed:
            self._log(event="closed", connection=self._number, bytes=self._count)
        super().close()


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "lab"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        number = next(self.server.numbers)
        self.server.log(event="accepted", connection=number, peer=self.client_address[:2])
        self.rfile.close()
        self.rfile = io.BufferedReader(Counted(self.connection, number, self.server.log), 65536)

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, *_):
        pass

    def answer(self):
        url = urlsplit(self.path)
        name, *words = url.path.strip("/").split("/")
        action = getattr(self, "page_" + name.replace("-", "_"), None)
        if action is None:
            self.whole(b"no such page\n", 404)
            return
        action(*words, **({"query": url.query} if name == "chunks" else {}))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def pieces(self):
        """The request's body, as it comes."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                while size:
                    piece = self.rfile.read1(min(size, 65536))
                    if not piece:
                        raise ConnectionError("the body was cut short")
                    size -= len(piece)
                    yield piece
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read1(min(left, 65536))
            if not piece:
                raise ConnectionError("the body was cut short")
            left -= len(piece)
            yield piece

    def head(self, status=200, *fields):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()

    def whole(self, body, status=200, *fields):
        for _ in self.pieces():
            pass
        self.head(status, ("Content-Length", str(len(body))), *fields)
        self.body(body)

    def body(self, data):
        if self.command != "HEAD":
            self.wfile.write(data)

    def chunk(self, data):
        self.body(b"%x\r\n%s\r\n" % (len(data), data))

    def page_who(self):
        size = sum(map(len, self.pieces()))
        about = {
            "uid": os.getuid(),
            "gid": os.getgid(),
            "groups": os.getgroups(),
            "pid": os.getpid(),
            "node": socket.gethostname(),
            "peer": self.client_address[:2],
            "method": self.command,
            "path": self.path,
            "version": self.request_version,
            "headers": list(self.headers.items()),
            "body": size,
        }
        text = json.dumps(about).encode()
        self.head(200, ("Content-Type", "application/json"), ("Content-Length", str(len(text))))
        self.body(text)

    def page_echo(self):
        kind = ("Content-Type", self.headers.get("Content-Type", "application/octet-stream"))
        length = self.headers.get("Content-Length")
        if length is not None:
            self.head(200, kind, ("Content-Length", length))
            for piece in self.pieces():
                self.body(piece)
            return
        self.head(200, kind, ("Transfer-Encoding", "chunked"))
        for piece in self.pieces():
            self.chunk(piece)
        self.chunk(b"")

    def page_bytes(self, count):
        left = int(count)
        self.head(200, ("Content-Type", "application/octet-stream"), ("Content-Length", count))
        while left:
            self.body(b"x" * min(left, 65536))
            left -= min(left, 65536)

    def page_chunks(self, count, size, query=""):
        trailer = [("Trailer", "X-Chunks")] if query == "trailers" else []
        kind = ("Content-Type", "application/octet-stream")
        self.head(200, kind, ("Transfer-Encoding", "chunked"), *trailer)
        for _ in range(int(count)):
            self.chunk(b"y" * int(size))
        self.body(b"0\r\n%s\r\n" % (b"X-Chunks: %s\r\n" % count.encode() if trailer else b""))

    def page_slow(self, seconds):
        time.sleep(float(seconds))
        self.whole(b"done\n")

    def page_events(self, count):
        kind = ("Content-Type", "text/event-stream")
        self.head(200, kind, ("Cache-Control", "no-cache"), ("Transfer-Encoding", "chunked"))
        for number in range(int(count)):
            self.chunk(b"data: %d\n\n" % number)
            time.sleep(0.05)
        self.chunk(b"")

    def page_until_close(self, count):
        self.head(200, ("Content-Type", "application/octet-stream"), ("Connection", "close"))
        self.body(b"z" * int(count))

    def page_die(self, missing):
        self.head(200, ("Content-Length", str(1000 + int(missing))))
        self.body(b"x" * 1000)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def page_status(self, status):
        self.whole(b"", int(status))

    def page_redirect(self, kind):
        host = self.headers.get("Host", "localhost")
        field, value = {
            "path": ("Location", "/who?from=redirect"),
            "relative": ("Location", "../who"),
            "full": ("Location", f"http://{host}/who"),
            "elsewhere": ("Location", "https://example.org/who"),
            "scheme-relative": ("Location", f"//{host}/who"),
            "refresh": ("Refresh", "1; url=/who"),
            "link": ("Link", "</style.css>; rel=preload; as=style"),
            "content-location": ("Content-Location", "/who"),
        }[kind]
        self.whole(b"", 302 if field == "Location" else 200, (field, value))

    def page_cookie(self):
        host = self.headers.get("Host", "localhost").partition(":")[0]
        cookies = ("plain=1", "pathed=2; Path=/; HttpOnly", "deep=3; Path=/who", f"wide=4; Domain={host}; Path=/")
        self.whole(b"set\n", 200, *(("Set-Cookie", one) for one in cookies))

    def page_upgrade(self):
        if self.headers.get("Upgrade") != "echo":
            self.whole(b"upgrade to echo\n", 426, ("Upgrade", "echo"))
            return
        self.head(101, ("Upgrade", "echo"), ("Connection", "Upgrade"))
        while piece := self.rfile.read1(65536):
            self.wfile.write(piece)
        self.close_connection = True


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address, port, log):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.log, self.numbers = log, itertools.count(1)
        super().__init__((address, port), Application)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log")
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    server = Server(options.address, options.port, Log(options.log))
    print(json.dumps({"port": server.server_address[1], "pid": os.getpid()}), flush=True)
    if options.once:
        server.daemon_threads = False
        server.handle_request()
        server.socket.close()
        server.server_close()
    else:
        server.serve_forever()


main()
