"""What goes with each answer of an origin, a refusal's and a redirect's too: the fields that speak for all of it."""

from __future__ import annotations

from typing import Final

from supercloud.message.fields import line
from supercloud.target import Origin

# A window that another site opened is no longer that site's once anything of the portal's is in it (HTML section
# 7.1.3): what came, how many frames it has, and where it went then stays here.
APART: Final = line(b"Cross-Origin-Opener-Policy", b"same-origin")


class Always:
    """Those lines by origin. An application's window policy is its own.

    :param hostname: of the portal.
    :param hsts: seconds for which browsers come by HTTPS only (RFC 6797); 0 for not at all. Never said of localhost,
        nor of a host that applications share in another domain: it may serve others too. Subdomains are not included:
        below the portal's name there may be hosts that have nothing to do with it, such as nodes with their own pages.
    """

    def __init__(self, hostname: str, *, hsts: float = 0.0) -> None:
        is_local = hostname == "localhost" or hostname.endswith(".localhost")
        self._secure = line(b"Strict-Transport-Security", b"max-age=%d" % hsts) if hsts and not is_local else b""
        self._portal = APART + self._secure
        self._hostname = hostname

    def of(self, origin: Origin) -> bytes:
        """The lines for one origin."""
        if origin.is_portal:
            return self._portal
        name = origin.host.partition(":")[0]
        is_ours = not origin.is_shared or name == self._hostname or name.endswith(f".{self._hostname}")
        return self._secure if is_ours else b""
