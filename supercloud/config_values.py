"""Values that settings write as text: durations, addresses, networks, names of nodes. Each says what would be right."""

from __future__ import annotations

import ipaddress
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)")


class Duration(float):
    """Seconds, written as text with a unit: ``"500ms"``, ``"8h"``."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """:raises ValueError: says what would be right."""
        found = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if not found:
            raise ValueError(f'{text!r} is not a duration; write a number with a unit, as "500ms", "15s" or "8h"')
        return cls(float(found[1]) * _UNITS[found[2]])


class Listen(str):
    """One listener: ``tls:ADDRESS:PORT``, ``tls-cert:ADDRESS:PORT`` or ``apps:ADDRESS:PORT``.

    :ivar asks_certificate: browsers are asked for a client certificate.
    :ivar is_shared: the portal's own name at this port is the origin that all applications of a viewer share.
    """

    __slots__ = ("address", "asks_certificate", "is_shared", "port")
    address: str
    port: int
    asks_certificate: bool
    is_shared: bool

    @classmethod
    def parse(cls, text: object) -> Listen:
        """:raises ValueError: says what would be right."""
        kind, _, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        try:
            if kind not in ("tls", "tls-cert", "apps"):
                raise ValueError
            made = cls(text)
            made.address, made.port = _address_and_port(rest, lowest=0)
        except ValueError:
            raise ValueError(
                f'{text!r} is not a listener; write "tls:ADDRESS:PORT", "tls-cert:ADDRESS:PORT" or '
                '"apps:ADDRESS:PORT", as "tls:0.0.0.0:443"'
            ) from None
        made.asks_certificate = kind == "tls-cert"
        made.is_shared = kind == "apps"
        return made


class TcpAddress(str):
    """``ADDRESS:PORT``; ``""`` switches it off.

    :ivar port: 0 when it is off.
    """

    __slots__ = ("address", "port")
    address: str
    port: int

    @classmethod
    def parse(cls, text: object) -> TcpAddress:
        """:raises ValueError: says what would be right."""
        try:
            made = cls(text)
            made.address, made.port = _address_and_port(text, lowest=1) if text != "" else ("", 0)
        except ValueError:
            raise ValueError(f'{text!r} is not an address; write "ADDRESS:PORT", as "127.0.0.1:9446"') from None
        return made


class UdpAddresses(tuple[tuple[str, int], ...]):
    """Addresses and ports for ident2's questions between nodes, one an address family; ``""`` switches them off."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> UdpAddresses:
        """:raises ValueError: says what would be right."""
        texts = value if isinstance(value, list) else [value]
        try:
            return cls(_address_and_port(text, lowest=1) for text in texts if text != "")
        except ValueError:
            raise ValueError(
                f'{value!r} is not an address; write "ADDRESS:PORT", as "0.0.0.0:99", or ["0.0.0.0:99", "[::]:99"]'
            ) from None


class Network(str):
    """A network of the cluster, as ``10.77.0.0/24``."""

    __slots__ = ("network",)
    network: ipaddress.IPv4Network | ipaddress.IPv6Network

    @classmethod
    def parse(cls, text: object) -> Network:
        """:raises ValueError: says what would be right."""
        try:
            made = cls(text)
            made.network = ipaddress.ip_network(made)
        except ValueError as error:
            raise ValueError(f'{text!r} is not a network ({error}); write "10.77.0.0/24" or "fd77::/64"') from None
        return made


def _address_and_port(text: object, *, lowest: int) -> tuple[str, int]:
    address, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not port.isdecimal() or not lowest <= int(port) < 65536:
        raise ValueError(text)
    return str(ipaddress.ip_address(address.strip("[]"))), int(port)


_RANGE = re.compile(r"([A-Za-z0-9._-]*)\[([0-9,-]+)\]([A-Za-z0-9._-]*)")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# A list in a settings file is read by people; a pattern that stands for more names is a slip of the pen.
_MOST_NAMES = 100_000


def parse_nodes(pattern: str) -> frozenset[str] | ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read one entry of ``nodes.allow``: a network, or the names that it stands for, in lower case.

    ``node[1-3,7]`` and ``node[01-16]`` are bracket ranges as in SLURM's host lists; leading zeros are kept.

    :raises ValueError: says what would be right.
    """
    try:
        return ipaddress.ip_network(pattern)
    except ValueError:
        pass
    if found := _RANGE.fullmatch(pattern):
        names: set[str] = set()
        for part in found[2].split(","):
            first, dash, last = part.partition("-")
            last = last if dash else first
            if not (first.isdecimal() and last.isdecimal()) or int(first) > int(last):
                break
            if len(names) + int(last) - int(first) >= _MOST_NAMES:
                break
            names |= {f"{found[1]}{n:0{len(first)}d}{found[3]}".lower() for n in range(int(first), int(last) + 1)}
        else:
            return frozenset(names)
    elif _NAME.fullmatch(pattern):
        return frozenset({pattern.lower()})
    raise ValueError(f'{pattern!r} is neither a name, nor a range as "node[1-4]", nor a network as "10.77.0.0/24"')
