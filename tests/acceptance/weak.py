#!/usr/bin/env python3
"""A web application with the faults that applications have: it serves what somebody else wrote, and echoes a query.

usage: weak.py PORT NAME SCRIPT LOG

SCRIPT is what an attacker would run in its pages. PORT 0 takes a free one; the port is printed. Each request becomes a
line of LOG, as JSON: its path and its body; the script sends what it got to "loot". Its service worker answers for it,
and tries the same on whoever looks.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT, NAME, LOG = int(sys.argv[1]), sys.argv[2], open(sys.argv[4], "a", buffering=1)  # noqa: SIM115
SCRIPT = open(sys.argv[3]).read()  # noqa: SIM115
_WORKER = f"""
self.addEventListener('fetch', (event) => {{
  if (event.request.mode !== 'navigate') return;
  event.respondWith(new Response('{NAME} by worker'));
  event.waitUntil(rob());
}});
"""
PAGES = {
    "stored": ("text/html", f'<!doctype html><title>{NAME}</title><script src="evil.js"></script>page of {NAME}'),
    "page": ("text/html", f"<!doctype html><title>{NAME}</title>page of {NAME}"),
    "evil.js": ("text/javascript", SCRIPT),
    "sw.js": ("text/javascript", SCRIPT + _WORKER),
}


class Weak(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        url = urlsplit(self.path)
        name = url.path.rpartition("/")[2]  # whatever stands before it: some prefixes are cut and some are not
        LOG.write(json.dumps([url.path, body]) + "\n")
        query = parse_qs(url.query).get("q", [""])[0]
        kind, text = PAGES.get(name, ("text/html", f"<!doctype html>nothing found for {query}"))
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Service-Worker-Allowed", "/")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Weak)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
