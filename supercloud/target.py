"""Where a request leads: an application's node and port, with the addresses that its name stands for."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Application:
    """A node and port as the viewer wrote them, read but not yet looked up.

    :ivar node: host name or address literal, without brackets.
    :ivar port: 1 to 65535.
    """

    node: str
    port: int

    def __str__(self) -> str:
        return f"[{self.node}]:{self.port}" if ":" in self.node else f"{self.node}:{self.port}"


class Target(msgspec.Struct, frozen=True):
    """An application whose node the site allows and whose name was resolved.

    :ivar addresses: address literals, in the order in which they are tried; what is checked is what is connected.
    """

    application: Application
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.application)


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin that this portal serves.

    :ivar host: as in ``Host``: name and, unless it is 443, port.
    :ivar application: node and port that live here; None on the portal's own origin.
    :ivar owner: uid in the label; None for the viewer's own application.
    """

    host: str
    application: Application | None = None
    owner: int | None = None

    @property
    def url(self) -> str:
        """Scheme and authority, as browsers write an Origin."""
        return f"https://{self.host}"

    @property
    def is_portal(self) -> bool:
        """Whether the portal's own pages live here."""
        return self.application is None
