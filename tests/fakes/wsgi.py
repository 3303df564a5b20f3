"""Calls a WSGI application as a server would, in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

PREFIX = "/dav"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; field names in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


class Caller:
    """Asks the application behind ``/dav``."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Any = b"",
        *,
        length: int | None = None,
        query: str = "",
        **fields: str,
    ) -> Answer:
        """One request.

        :param path: quoted, below the prefix.
        :param body: bytes, or something to read from.
        :param length: when the Content-Length is not that of the body.
        :param fields: as ``if_match``.
        """
        source = io.BytesIO(body) if isinstance(body, bytes) else body
        if isinstance(source, io.RawIOBase):
            source = io.BufferedReader(source)
        announced = len(body) if length is None and isinstance(body, bytes) else length
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": PREFIX,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "HTTP_HOST": "portal.test",
            "wsgi.url_scheme": "https",
            "wsgi.input": source,
            **{f"HTTP_{name.upper()}": value for name, value in fields.items()},
        }
        if announced is not None:
            environ["CONTENT_LENGTH"] = str(announced)
        told: list[Any] = []
        answer = self._app(environ, lambda status, head, exc_info=None: told.append((status, head)))
        try:
            content = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        (status, head) = told[-1]
        return Answer(int(status.split()[0]), {name.lower(): value for name, value in head}, content)

    def put(self, path: str, body: bytes = b"content", **fields: str) -> Answer:
        """PUT, which is asked for most."""
        return self.ask("PUT", path, body, **fields)


class Broken(io.RawIOBase):
    """A body of which only the first bytes come."""

    def __init__(self, first: bytes, error: type[OSError] | None = None) -> None:
        self._first = io.BytesIO(first)
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._first.readinto(buffer)
        if not count and self._error:
            raise self._error
        return count
