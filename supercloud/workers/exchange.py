"""One request and its response on a connection from the front.

The front relies on every message's end, so this makes sure of it where cheroot does not: a body that was not read to
its end, or a response that is not as long as it said, closes the connection.
"""

from __future__ import annotations

import io
import socket
import time
from contextlib import suppress
from typing import Any, Final
from wsgiref.util import FileWrapper

from cheroot import server, wsgi

from supercloud.workers.body import Body, ChunkedBody, KnownBody

# Seconds that one read or write may take in the middle of a message. How long a browser may be slow is the front's to
# judge; this only frees the thread when the front has forgotten the connection.
STALLED: Final = 600.0
# Seconds for the other side to take a response and to stop sending what nobody reads, before the connection is closed.
LINGER: Final = 2.0
_BUFFER: Final = 64 * 1024
_EXPECT: Final = b"\0expect"
# RFC 9110 section 6.4.1: these have no body, whatever the application gives.
_WITHOUT_BODY: Final = (b"204", b"304")


class Connection(server.HTTPConnection):
    """A connection from the front.

    :ivar lingers: the other side may still be sending: what comes is dropped for a while, as closing at once would take
        the response from it.
    """

    lingers = False

    def __init__(self, worker: Any, connected: socket.socket, _: Any = None) -> None:
        connected.settimeout(STALLED)
        super().__init__(worker, connected, _make_file)
        self.RequestHandlerClass = _Request

    def close(self) -> None:
        if self.lingers:
            with suppress(OSError):
                self._linger()
        super().close()

    def _linger(self) -> None:
        end = time.monotonic() + LINGER
        self.socket.shutdown(socket.SHUT_WR)
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            if not self.socket.recv(_BUFFER):
                return


class Gateway(wsgi.Gateway_10):
    """Calls the application."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        login = self.req.server.login
        environ |= {
            "REMOTE_USER": login,
            "SERVER_PORT": "443",
            "supercloud.login": login,
            # The browser's side; a Destination (RFC 4918 section 10.3) is compared with it.
            "wsgi.url_scheme": "https",
            "wsgi.file_wrapper": FileWrapper,
        }
        return environ

    def respond(self) -> None:
        response = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            if isinstance(response, FileWrapper) and self.remaining_bytes_out and self._has_body:
                self._send_file(response.filelike)
            else:
                for piece in filter(None, response):
                    self.write(piece)
            self.req.ensure_headers_sent()
        finally:
            if hasattr(response, "close"):
                response.close()
        if self.remaining_bytes_out and self._has_body:
            self.req.close_connection = True  # it was shorter than it said, and must not look whole

    def write(self, chunk: bytes) -> None:
        """:raises ValueError: the response is longer than its Content-Length."""
        self.req.ensure_headers_sent()
        if not self._has_body:
            return
        if self.remaining_bytes_out is not None:
            if len(chunk) > self.remaining_bytes_out:
                raise ValueError("the response is longer than it said")
            self.remaining_bytes_out -= len(chunk)
        self.req.write(chunk)

    @property
    def _has_body(self) -> bool:
        return self.req.method != b"HEAD" and not self.req.status.startswith(_WITHOUT_BODY)

    def _send_file(self, file: Any) -> None:
        """From where it stands, as much as was said; by sendfile(2) when it is a file of the system."""
        self.req.ensure_headers_sent()
        self.remaining_bytes_out -= self.req.conn.socket.sendfile(file, file.tell(), self.remaining_bytes_out)


class _Request(server.HTTPRequest):
    """A request, with a body that knows its end."""

    def __init__(self, worker: Any, connection: Connection) -> None:
        super().__init__(worker, connection)
        self.header_reader = _FieldReader()
        self._awaits_go = False
        self._body = Body(connection.rfile, self._go)

    def read_request_headers(self) -> bool:
        is_good = bool(super().read_request_headers())  # type: ignore[no-untyped-call]
        self._awaits_go = self.inheaders.pop(_EXPECT, b"").lower() == b"100-continue"
        return is_good

    def respond(self) -> None:
        if self.chunked_read:
            self._body = ChunkedBody(self.conn.rfile, self._go)
        elif length := int(self.inheaders.get(b"Content-Length", 0)):
            self._body = KnownBody(self.conn.rfile, self._go, length)
        self.rfile = io.BufferedReader(self._body)
        try:
            self.server.gateway(self).respond()
        finally:
            self.conn.lingers = not self._is_reusable  # after an error, too: its answer shall arrive
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")
        if self.conn.lingers:
            self.close_connection = True
        else:
            self._body.drop()

    def send_headers(self) -> None:
        self.close_connection = self.close_connection or not self._is_reusable
        super().send_headers()

    @property
    def _is_reusable(self) -> bool:
        """Whether the connection can be used again. A peer that still waits for our go may send its body or not."""
        return self._body.is_spent or (self._body.is_short and not self._awaits_go)

    def _go(self) -> None:
        """The body is wanted."""
        if self._awaits_go and not self.sent_headers:
            self.conn.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._awaits_go = False


class _FieldReader(server.HeaderReader):
    """Reads fields; none with an underscore, which would look like one with a dash to the application."""

    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        fields = super().__call__(rfile, hdict)
        # cheroot says 100 at once when it sees this field; here the body is first wanted, then asked for.
        if (expected := fields.pop(b"Expect", None)) is not None:
            fields[_EXPECT] = expected
        return fields

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name


class _Tap(socket.SocketIO):
    """Receives from a socket; shut, it gives nothing and does not wait."""

    is_shut = False

    def readinto(self, buffer: Any) -> int | None:
        return None if self.is_shut else super().readinto(buffer)


class _Incoming(io.BufferedReader):
    """What a connection receives. cheroot's own is written in Python and copies each piece three times."""

    def __init__(self, connected: socket.socket) -> None:
        self._tap = _Tap(connected, "rb")
        super().__init__(self._tap, _BUFFER)

    def has_data(self) -> bool:
        """Whether bytes are here that nobody has read yet."""
        self._tap.is_shut = True
        try:
            return bool(self.peek(1))
        finally:
            self._tap.is_shut = False


class _Outgoing:
    """Sends at once. `STALLED` is for each piece that the other side takes, however long the whole may last."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[self._socket.send(left) :]
        return len(data)


def _make_file(connected: socket.socket, mode: str, _: int) -> _Incoming | _Outgoing:
    return _Incoming(connected) if "r" in mode else _Outgoing(connected)
