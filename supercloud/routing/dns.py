"""Names of nodes as this host's C library would find them, by DNS without a thread where that is all it would ask.

A thread that asks the C library waits for as long as DNS does not answer. Where nsswitch.conf(5) names files and DNS
for hosts, and resolv.conf(5) has nothing that we do not know, /etc/hosts is read and DNS asked by Twisted's resolver.
Anywhere else (sssd, NIS, systemd's own protocol, rules in brackets) only the C library knows, and is asked.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.names import client, dns
from twisted.names.error import DomainError
from twisted.python.failure import Failure

from supercloud.accounts import Offloaded
from supercloud.routing.names import Addresses

_SOURCES: Final = {"files", "dns", "myhostname"}
# What changes how DNS is asked but not what it says, and ndots.
_OPTIONS: Final = {"timeout", "attempts", "edns0", "trust-ad", "rotate", "single-request", "single-request-reopen"}
_ENVIRONMENT: Final = ("LOCALDOMAIN", "RES_OPTIONS")  # resolv.conf(5): they change it for one process
_MOST_SERVERS: Final = 3  # MAXNS of resolv.conf(5)
_MOST_NDOTS: Final = 15
TRIES: Final = (2.0, 3.0)  # seconds that each server has, in turn; resolv.conf's own are 5 and 5
_PORT: Final = 53


@dataclass(frozen=True, slots=True)
class Files:
    """Where this host says how names are found."""

    nsswitch: Path = Path("/etc/nsswitch.conf")
    resolv: Path = Path("/etc/resolv.conf")
    hosts: Path = Path("/etc/hosts")


@dataclass(frozen=True, slots=True)
class Settings:
    """How DNS is asked here.

    :ivar search: domains that are put behind a name.
    :ivar ndots: dots from which on a name is tried as it is before them.
    """

    servers: tuple[tuple[str, int], ...]
    search: tuple[str, ...] = ()
    ndots: int = 1

    def candidates(self, name: str) -> list[str]:
        """The names that are asked for, in this order."""
        longer = [f"{name}.{domain}" for domain in self.search]
        return [name, *longer] if name.count(".") >= self.ndots else [*longer, name]


class NodeNames:
    """Finds what names stand for.

    :param offload: where files are read, and the C library is asked.
    """

    def __init__(self, offload: Offloaded, reactor: Any, files: Files | None = None, *, port: int = _PORT) -> None:
        self._offload = offload
        self._reactor = reactor
        self._files = files or Files()
        self._port = port
        self._resolver: tuple[Settings, Any] | None = None

    async def addresses(self, name: str) -> Addresses:
        """Its addresses, IPv4 first: it is what cluster tables have had for longest. No address: nobody knows it."""
        found: Addresses | Settings = await self._offload.run_for(name, read, name, self._files, self._port)
        if not isinstance(found, Settings):
            return found
        if self._resolver is None or self._resolver[0] != found:
            self._resolver = found, _made(found, self._reactor)
        return await _ask(self._resolver[1], found.candidates(name))


class _Resolver(client.Resolver):
    """Each question has a socket of its own, on a port that the kernel picks by chance."""

    def _connectedProtocol(self, interface: str = "") -> dns.DNSDatagramProtocol:
        protocol = dns.DNSDatagramProtocol(self, reactor=self._reactor)  # type: ignore[no-untyped-call]
        protocol.noisy = False
        self._reactor.listenUDP(0, protocol, interface=interface)
        return protocol


def _made(settings: Settings, reactor: Any) -> Any:
    return _Resolver(servers=list(settings.servers), timeout=TRIES, reactor=reactor)  # type: ignore[no-untyped-call]


async def _ask(resolver: Any, names: Iterable[str]) -> Addresses:
    for name in names:
        try:
            asked = [
                one.addErrback(_unknown) for one in (resolver.lookupAddress(name), resolver.lookupIPV6Address(name))
            ]
            both: Deferred[list[Any]] = gatherResults(asked, consumeErrors=True)
            answers = [record for one in await both for record in one[0]]
        except Exception:  # it cannot be a name of DNS, or no server answers: then no other candidate is asked for
            return ()
        found = _addresses_in(name, answers)
        if found:
            return found
    return ()


def _unknown(failure: Failure) -> tuple[list[Any], list[Any], list[Any]]:
    """No such name, or a server that cannot say: the next candidate may be one."""
    failure.trap(DomainError)  # type: ignore[no-untyped-call]
    return [], [], []


def _addresses_in(name: str, answers: list[Any]) -> Addresses:
    """Of the name, and of what it is another name for."""
    names, known = {name.lower().encode().rstrip(b".")}, 0
    while known != len(names):
        known = len(names)
        names |= {
            record.payload.name.name.lower()
            for record in answers
            if record.type == dns.CNAME and record.name.name.lower() in names
        }
    return _ordered(
        socket.inet_ntop(socket.AF_INET if record.type == dns.A else socket.AF_INET6, record.payload.address)
        for record in answers
        if record.type in (dns.A, dns.AAAA) and record.name.name.lower() in names
    )


def read(name: str, files: Files, port: int = _PORT) -> Addresses | Settings:
    """What files say of a name, or how DNS is asked for it; where only the C library knows, what it says. Blocks."""
    try:
        settings = read_settings(files.nsswitch.read_text(), files.resolv.read_text(), socket.gethostname(), port)
        listed = in_hosts(name, files.hosts.read_text())
    except (OSError, ValueError):
        settings = None
    if settings is None or _is_own(name):
        return by_library(name)
    return listed or settings


def read_settings(nsswitch: str, resolv: str, hostname: str, port: int = _PORT) -> Settings | None:
    """How DNS is asked; None where that is not all that the C library would do.

    :param nsswitch, resolv: texts of these files.
    """
    sources = next((line.split()[1:] for line in _lines(nsswitch) if line.startswith("hosts:")), [])
    if not {"files", "dns"} <= set(sources) <= _SOURCES or sources.index("dns") < sources.index("files"):
        return None
    if any(name in os.environ for name in _ENVIRONMENT):
        return None
    servers: list[tuple[str, int]] = []
    search, ndots = tuple(filter(None, (hostname.partition(".")[2],))), 1
    for line in _lines(resolv):
        word, *rest = line.split()
        if word == "nameserver" and len(rest) == 1:
            servers.append((str(ipaddress.ip_address(rest[0])), port))
        elif word in ("search", "domain"):
            search = tuple(domain.strip(".") for domain in rest if domain != ".")
        elif word == "options":
            for option in rest:
                name, _, value = option.partition(":")
                if name == "ndots":
                    ndots = min(int(value), _MOST_NDOTS)
                elif name not in _OPTIONS:
                    return None
        else:
            return None
    return Settings(tuple(servers[:_MOST_SERVERS]) or (("127.0.0.1", port),), search, ndots)


def in_hosts(name: str, hosts: str) -> Addresses:
    """What hosts(5) lists for a name, in all of its lines."""
    wanted = name.lower()
    lines = [line.lower().split() for line in _lines(hosts)]
    return _ordered(address for address, *names in lines if wanted in names and _is_address(address))


def by_library(name: str) -> Addresses:
    """Ask the C library; blocks for as long as whoever it asks."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return _ordered(str(entry[4][0]) for entry in found if "%" not in str(entry[4][0]))


def _is_own(name: str) -> bool:
    """Names that nss-myhostname(8) knows and DNS may not."""
    name = name.lower()
    return name in (socket.gethostname().lower(), "localhost", "_gateway", "_outbound") or name.endswith(".localhost")


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text)) and "%" not in text
    except ValueError:
        return False


def _ordered(addresses: Iterable[str]) -> Addresses:
    return tuple(sorted(dict.fromkeys(addresses), key=lambda literal: ":" in literal))


def _lines(text: str) -> list[str]:
    """Without what is said beside, and without the empty ones."""
    return [line for whole in text.splitlines() if (line := whole.partition("#")[0].partition(";")[0].strip())]
