"""The front's rules for ``/dav/`` before a real worker's server: TLS, one request a connection, nobody signs in.

usage: files_front.py CERTIFICATE KEY FOLDER

Says its port. The worker's socket lies beside the folder. Whoever has a portal with workers needs none of this.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from supercloud.authn import provenance
from supercloud.dav.app import make_app
from supercloud.errors import PortalError
from supercloud.front.site import STATIC
from supercloud.message.head import parse_request, parse_response
from supercloud.routing.hosts import Hosts
from supercloud.routing.own_worker import check_use, inward, outward
from supercloud.workers.server import Server

_END = b"\r\n\r\n"


def main() -> None:
    certificate, key, folder = sys.argv[1:]
    path = Path(folder).with_name("worker.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    dav = make_app({"/": folder}, folder, None)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        below = environ["PATH_INFO"].removeprefix("/dav")
        return dav({**environ, "SCRIPT_NAME": "/dav", "PATH_INFO": below}, start_response)

    server = Server(listening, application, login="alice", front_uid=os.getuid())
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    outside = socket.create_server(("127.0.0.1", 0))
    hosts = Hosts("localhost", ports=(outside.getsockname()[1],))
    print(outside.getsockname()[1], flush=True)
    while True:
        connected, _ = outside.accept()
        threading.Thread(target=_serve, args=(context, connected, str(path), hosts), daemon=True).start()


def _serve(context: ssl.SSLContext, connected: socket.socket, worker: str, hosts: Hosts) -> None:
    try:
        with context.wrap_socket(connected, server_side=True) as browser:
            _exchange(browser, worker, hosts)
            browser.settimeout(2)
            browser.unwrap()  # else what the browser still sends would reset the connection, and its answer with it
    except OSError:
        connected.close()


def _exchange(browser: socket.socket, worker: str, hosts: Hosts) -> None:
    raw, body = _head(browser)
    if not raw:
        return
    request = parse_request(raw)
    if request.path in STATIC:
        kind, content = STATIC[request.path]
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(content)
        browser.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % kind + length + content)
        return
    try:
        provenance.check(request, hosts.of(request.host))
        check_use(request)
    except PortalError as error:
        browser.sendall(b"HTTP/1.1 %d No\r\nConnection: close\r\n\r\n" % error.status.value)
        return
    with socket.socket(socket.AF_UNIX) as inside:
        inside.connect(worker)
        # As HTTP/1.0 asks: its end is the end of the connection.
        inside.sendall(inward(request, address="127.0.0.1").replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
        left = request.length - len(body)
        if body:
            inside.sendall(body)
        while left > 0 and (block := browser.recv(min(left, 65536))):
            inside.sendall(block)
            left -= len(block)
        raw, body = _head(inside)
        response = parse_response(raw, method=request.method)
        fields = outward(response, path=request.path, host=request.host)
        blocks = iter(lambda: inside.recv(65536), b"")
        if response.get(b"content-length") is None and response.status not in (204, 304):
            body += b"".join(blocks)
            fields += b"Content-Length: %d\r\n" % len(body)
        status = b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason)
        browser.sendall(status + fields + b"Connection: close\r\n\r\n" + body)
        for block in blocks:
            browser.sendall(block)


def _head(connected: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while _END not in received:
        block = connected.recv(65536)
        if not block:
            return b"", b""
        received += block
    head, _, body = received.partition(_END)
    return head + _END, body


main()
