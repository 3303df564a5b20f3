#!/usr/bin/env python3
"""A web application that writes down every request that reaches it, as JSON lines; opens WebSockets too.

usage: witness.py PORT NAME LOG

It says "NAME" in every form that a page can load: text, image, script, frame, worker. PORT 0 takes a free one; the
port is printed.
"""

import base64
import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, NAME, LOG = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "a", buffering=1)  # noqa: SIM115
_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_WORKER = f"self.addEventListener('fetch', event => event.respondWith(new Response('{NAME} by worker')))"
PAGES = {
    "/secret": ("text/plain", "secret of " + NAME),
    "/page": ("text/html", f"<!doctype html><title>{NAME}</title><body>page of {NAME}</body>"),
    "/script.js": ("text/javascript", f"self.loaded = '{NAME}'"),
    "/sw.js": ("text/javascript", _WORKER),
    "/events": ("text/event-stream", "data: " + NAME + "\n\n"),
    "/": ("text/html", f"<!doctype html><title>{NAME}</title><body>front of {NAME}</body>"),
}


class Witness(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("latin-1")
        told = {"method": self.command, "path": self.path, "cookie": self.headers.get("Cookie", ""), "body": body}
        LOG.write(json.dumps(told) + "\n")
        path = self.path.partition("?")[0]
        if self.headers.get("Upgrade", "").lower() == "websocket":
            key = self.headers["Sec-WebSocket-Key"].encode()
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode())
            self.end_headers()
            self.rfile.read(1)
            self.close_connection = True
            return
        kind, text = ("image/gif", _GIF) if path == "/pixel.gif" else PAGES.get(path, ("text/plain", NAME))
        body = text if isinstance(text, bytes) else text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "public, max-age=3600, immutable")
        self.send_header("Service-Worker-Allowed", "/")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Set-Cookie", f"of_{NAME}=1; Path=/; SameSite=None; Secure")
        self.send_header("Set-Cookie", f"tossed_by_{NAME}=1; Path=/; Domain=.portal.test; Secure")
        self.send_header("Set-Cookie", "__Host-Http-supercloud=tossed; Path=/; Secure; HttpOnly")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_OPTIONS = do_HEAD = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Witness)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
