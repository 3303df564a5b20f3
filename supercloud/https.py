"""One HTTPS request from a workstation to a portal: to the portal's own origin, by a certificate that was checked.

No redirect is followed, and no proxy asked, so nobody else is ever shown the token.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection, IncompleteRead
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from supercloud.entry import Entry, Failed

MOST_BODY: Final = 16 * 1024 * 1024  # bytes of an answer; ten thousand jobs take five of them
CONNECTS: Final = 10.0  # seconds
ANSWERS: Final = 60.0  # seconds of silence; a worker that starts may have to ask a scheduler that is busy
# What OpenSSL says of a chain that ends at nobody it trusts (x509_vfy.h), where another authority would help.
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})


class NoAnswer(Failed):
    """Nobody answered, or nobody could now; the same question may go well in a moment.

    :ivar is_unsure: it may have been done all the same.
    """

    def __init__(self, text: str, *, is_unsure: bool = False) -> None:
        super().__init__(text)
        self.is_unsure = is_unsure


@dataclass(frozen=True, slots=True)
class Answer:
    """:ivar kind: media type, in lower case, without parameters.
    :ivar location: where it would send on to; "" for nowhere.
    """

    status: int
    kind: str
    body: bytes
    location: str = ""


class Https:
    """Sends requests to one portal, each on a connection of its own.

    :raises Failed: the authority's file cannot be used.
    """

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        try:
            self._context = ssl.create_default_context(cafile=entry.ca or None)
        except OSError as error:
            why = "it holds no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
            raise Failed(f"{entry.ca}: cannot be used as an authority: {why}") from None

    def send(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Send a request, with the token, and read its whole answer.

        :param body: JSON.
        :raises NoAnswer: there was none, or it broke off.
        :raises Failed: the portal is not to be trusted, or answers too much.
        """
        connection = self._connect()
        try:
            connection.request(method, path, body, self._fields(body))
            response = connection.getresponse()
            content = response.read(MOST_BODY + 1)
            if response.length and len(content) <= MOST_BODY:  # http.client itself says nothing of a part
                raise IncompleteRead(content)
        except (OSError, HTTPException) as error:
            why = "it takes too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise NoAnswer(f"{self._entry.url}: no whole answer: {why}", is_unsure=True) from None
        finally:
            connection.close()
        if len(content) > MOST_BODY:
            raise Failed(f"{self._entry.url}: the answer is longer than {MOST_BODY >> 20} MiB")
        kind = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
        return Answer(response.status, kind, content, response.getheader("Location", ""))

    def _connect(self) -> HTTPSConnection:
        url = urlsplit(self._entry.url)
        connection = HTTPSConnection(url.hostname or "", url.port, timeout=CONNECTS, context=self._context)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise NoAnswer(self._distrust(error)) from None
        except ssl.SSLError as error:
            raise NoAnswer(
                f"{self._entry.url}: no TLS there ({error.strerror or error}); is the address right?"
            ) from None
        except OSError as error:
            why = "it takes too long" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise NoAnswer(f"{self._entry.url}: not reachable: {why}") from None
        connection.sock.settimeout(ANSWERS)
        return connection

    def _distrust(self, error: ssl.SSLCertVerificationError) -> str:
        entry = self._entry
        told = f"{entry.url}: its certificate is not trusted{f' by {entry.ca}' if entry.ca else ''}"
        told = f"{told} ({error.verify_message.rstrip('.')}), so nothing was sent."
        if error.verify_code in _UNKNOWN_AUTHORITY:
            told += f" A site's own authority is named by: supercloud login {entry.url} --ca FILE"
        return told

    def _fields(self, body: bytes | None) -> dict[str, str]:
        fields = {"Accept": "application/json", "User-Agent": f"supercloud/{version('supercloud-portal')}"}
        if self._entry.token:
            fields["Authorization"] = f"Bearer {self._entry.token}"
        if body is not None:
            fields["Content-Type"] = "application/json"
        return fields


def is_transient(status: int) -> bool:
    """Whether the same request may go well in a moment."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
