"""Listening sockets that the service manager bound and holds while the portal starts anew: whoever connects waits."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from itertools import count
from typing import Any

from twisted.internet.endpoints import serverFromString


def given_sockets(reactor: Any) -> dict[tuple[str, int], socket.socket]:
    """Those that this process was started with (sd_listen_fds(3)), by address and port; given once, and the caller's.

    What is no TCP socket is there too, under a place that nothing can listen at.
    """
    found = {}
    for descriptor in _descriptors(reactor):
        os.set_inheritable(descriptor, False)
        one = socket.socket(fileno=descriptor)
        one.setblocking(False)
        place = ("no TCP socket, descriptor", descriptor)
        if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
            address, port = one.getsockname()[:2]
            place = str(ip_address(address)), port
        found[place] = one
    return found


def _descriptors(reactor: Any) -> Iterator[int]:
    """As Twisted took them from the environment when it loaded its plugins."""
    with suppress(IndexError):
        for index in count():
            endpoint: Any = serverFromString(reactor, f"systemd:domain=INET:index={index}")  # type: ignore[no-untyped-call]
            yield endpoint.fileno
