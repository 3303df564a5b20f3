"""One-time sign-in links of the embedded portal: whoever reads its output is the account that started it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

LIFE: Final = 86400.0  # seconds; long enough for a terminal that is looked at the next morning


class Links:
    """At most one link is good at a time; making another ends the one before.

    The secret is in memory only: no other process knows it, and a restart prints a new one.

    :ivar uid: the account that a link signs in.
    :param now: Unix seconds.
    """

    def __init__(self, principal_uid: int, *, now: Callable[[], float]) -> None:
        self.uid = principal_uid
        self._now = now
        self._digest: bytes | None = None
        self._ends = 0.0

    def make(self) -> str:
        """The secret of the next link: 256 random bits, safe in a URL."""
        secret = secrets.token_urlsafe(32)
        self._digest = _digest(secret)
        self._ends = self._now() + LIFE
        return secret

    def redeem(self, secret: str) -> bool:
        """Whether this is the link that is good now; then it is no longer. Takes any text, in constant time."""
        fits = hmac.compare_digest(_digest(secret), self._digest or _NOBODYS)
        if not fits or self._digest is None or self._now() >= self._ends:
            return False
        self._digest = None
        return True


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


_NOBODYS = bytes(32)
