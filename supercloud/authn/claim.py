"""What the log says of a name that somebody gave who was not let in.

People type their password into the field of the login, and scripts mix the two up. So only what an account of this host
is called is written out. Of anything else there are eight digits of a digest under a key of this process: the same text
has the same ones while the portal runs, so that it shows when somebody tries one thing again and again; and nobody can
try texts on them, as the key is kept nowhere.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from supercloud import events
from supercloud.errors import PortalError
from supercloud.identity import is_login


@dataclass(slots=True)
class Claim:
    """A name that was given.

    :ivar shown: of an account's name the name, once it is known that there is one; else ``?`` and digits, which no
        account's name begins with.
    """

    shown: str


class Claims:
    """Makes them.

    :param exists: whether an account is called so.
    """

    def __init__(self, exists: Callable[[str], Awaitable[bool]]) -> None:
        self._exists = exists
        self._key = secrets.token_bytes(32)

    def of(self, text: str) -> Claim:
        """Of what was typed; not looked up yet."""
        return Claim(f"?{hashlib.blake2b(text.encode(errors='replace'), key=self._key, digest_size=4).hexdigest()}")

    def look_up(self, claim: Claim, text: str) -> None:
        """Find out whether it is an account's name. Nobody waits for that: by how long an answer took it could be told
        which accounts there are. Whoever calls this has bounded how many may ask.
        """
        if is_login(text):
            events.watch(Deferred.fromCoroutine(self._look_up(claim, text)), "looking for an account that was named")

    async def _look_up(self, claim: Claim, text: str) -> None:
        try:
            if await self._exists(text):
                claim.shown = text
        except PortalError:
            pass  # too much is looked up: it stays a digest
