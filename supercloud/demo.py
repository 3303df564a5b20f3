"""A small web application of the viewer's own, so that a new portal has something to show."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "td{padding:.1rem 1rem .1rem 0;vertical-align:top;overflow-wrap:anywhere}"
)


class Demonstration(BaseHTTPRequestHandler):
    """Shows what an application sees of a request, and a clock that is sent second by second."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """``/``: the page; ``clock``: server-sent events; ``who``: JSON."""
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer("text/html; charset=utf-8", self._page())
        elif path == "/who":
            self._answer("application/json", json.dumps({"user": getpass.getuser(), "uid": os.getuid()}).encode())
        elif path == "/clock":
            self._clock()
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to the portal."""

    def _page(self) -> bytes:
        rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in self.headers.items())
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>Demonstration</title><style>{_STYLE}</style>"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<h1>It works</h1><p>This page comes from process {os.getpid()}, which runs as "
            f"<b>{escape(getpass.getuser())}</b>. Nobody else can open it.</p>"
            "<p>Its clock says <output id=clock>…</output>, sent as it ticks.</p>"
            f"<h2>What the application was told</h2><table>{rows}</table>"
            "<script>new EventSource('clock').onmessage=e=>clock.textContent=e.data</script></html>"
        ).encode()

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _clock(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(time.strftime("data: %H:%M:%S\n\n").encode())
                self.wfile.flush()
                time.sleep(1)
        except OSError:
            self.close_connection = True


def main() -> None:
    """Listen on a free port of loopback, say which, and end with whoever started it: its standard input closes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Demonstration)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
