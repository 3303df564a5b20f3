"""Where a request leads: an application's node and port, with the addresses that its name stands for; a forward."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

_FORWARD = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,255}")


def is_forward_name(text: str) -> bool:
    """Whether a forward can be called so."""
    return _FORWARD.fullmatch(text) is not None


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


class Reservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that holds a forward's name, in one state: whoever changes it makes another one of it.

    :ivar ctime: nanoseconds.
    :ivar mode: permission bits, sticky among them.
    """

    device: int
    inode: int
    ctime: int
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class Forward:
    """A named forward, and where its file leads.

    :ivar base: path of the application that the forward's root stands for, without a slash at its end.
    :ivar is_tls: the application speaks HTTPS.
    :ivar authorization: that the application is told; empty for none.
    :ivar lines: how many lines the file has that are not empty; the last one counts.
    """

    name: str
    reservation: Reservation
    application: Application
    base: bytes = b""
    is_tls: bool = False
    authorization: bytes = field(default=b"", repr=False)
    lines: int = 1

    def __str__(self) -> str:
        return f"forward {self.name} to {self.application}"


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin that this portal serves.

    An application's own origin has a label that names it and its owner; a label without an owner leads there. Where a
    site has few names, the applications of one viewer share an origin, each under its path prefix.

    :ivar host: as in ``Host``: name and, unless it is 443, port.
    :ivar application: node and port that live here.
    :ivar owner: uid in the label; None where it has none.
    :ivar forward: name of the forward that lives here.
    :ivar is_shared: that of all applications of whoever looks, which are under path prefixes.
    :ivar has_prefixes: applications are served under path prefixes here.
    """

    host: str
    application: Application | None = None
    owner: int | None = None
    forward: str | None = None
    is_shared: bool = False
    has_prefixes: bool = False

    @property
    def url(self) -> str:
        """Scheme and authority, as browsers write an Origin."""
        return f"https://{self.host}"

    @property
    def is_portal(self) -> bool:
        """Whether the portal's own pages live here."""
        return self.application is None and self.forward is None and not self.is_shared

    @property
    def is_unowned(self) -> bool:
        """Whether it is a label without an owner, which serves no page and leads to the owner's."""
        return self.owner is None and (self.application is not None or self.forward is not None)
