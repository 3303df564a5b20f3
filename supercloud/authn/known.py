"""Browsers in which somebody has signed in before: a sealed cookie, worth nothing but a better place in the throttle.

It names a login, and counts for sign-ins of that account only; it lets nobody in. A stolen one gives its thief a place
like an address of their own: what fails with it counts against it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from supercloud.authn.seal import SealBroken, Sealer

KNOWN_COOKIE: Final = b"__Host-Http-supercloud-known"  # of the names that reach no application
LIFE: Final = 90 * 86400.0  # seconds since that sign-in

_PURPOSE = "known browser/1"


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What the cookie holds.

    :ivar id: another one with each sign-in.
    :ivar ends: Unix seconds.
    """

    id: bytes
    login: str
    origin: str
    ends: float


class KnownBrowsers:
    """Makes and reads the cookies.

    :param now: Unix seconds.
    """

    def __init__(self, sealer: Sealer, now: Callable[[], float]) -> None:
        self._sealer = sealer
        self._now = now

    def cookie(self, login: str, *, origin: str) -> str:
        """Its value for a browser in which that account has just signed in."""
        return self._sealer.seal(Known(secrets.token_bytes(16), login, origin, self._now() + LIFE), _PURPOSE)

    def read(self, cookie: bytes | None, login: str, *, origin: str) -> bytes:
        """By what the browser is known to that account; empty when it is not."""
        if not cookie:
            return b""
        try:
            known = self._sealer.open(cookie.decode("latin-1"), Known, _PURPOSE)
        except SealBroken:
            return b""
        is_good = (known.login, known.origin) == (login, origin) and self._now() < known.ends
        return known.id if is_good else b""
