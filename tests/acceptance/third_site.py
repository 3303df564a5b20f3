"""A site that has nothing to do with the portal, and what its pages try on whoever looks at them while signed in."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from lab.certificates import THIRD, Certificates


class ThirdSite:
    """It runs until the process ends.

    :param certificates: of its authority; None: without TLS.
    :ivar pages: HTML by path.
    :ivar loot: what its pages sent home.
    """

    def __init__(self, certificates: Certificates | None) -> None:
        self.pages: dict[str, str] = {}
        self.loot: list[str] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.third.certificate, certificates.third.private_key)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if certificates else 'http'}://{THIRD}:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                to = parse_qs(url.query).get("to")
                if to:
                    self.send_response(302)
                    self.send_header("Location", to[0])
                    self.end_headers()
                    return
                self._say(site.pages.get(url.path, ""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                if self.path == "/loot":
                    site.loot.append(body)
                self._say("")

            do_PUT = do_PROPFIND = do_POST  # its script asks its own origin, too

            def _say(self, page: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler
