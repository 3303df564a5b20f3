"""The ident2 side of a host as its settings ask for it: a responder, or a daemon that is there already."""

from __future__ import annotations

import grp
from typing import Any

from supercloud.config import Ident2, WrongSettings
from supercloud.ident2.responder import DaemonService, Responder

# Local clients of the original daemon are in this group; without it only root may ask.
_GROUP = "ident2"


def make_responder(settings: Ident2, reactor: Any, *, only_answers: bool = False) -> Responder | DaemonService:
    """A service with a ``client`` that the rest of the portal asks.

    :param only_answers: this process is a node's and has no front.
    :raises WrongSettings: when there is neither a responder nor a daemon's socket.
    """
    timeout = float(settings.timeout)
    if not settings.responder:
        if not settings.socket:
            raise WrongSettings("ident2.socket: must name the daemon's socket, because ident2.responder is false")
        return DaemonService(reactor, socket_path=settings.socket, timeout=timeout, tries=settings.tries)
    return Responder(
        reactor,
        udp=settings.udp,
        networks=[one.network for one in settings.peers],
        socket_path=settings.socket or None,
        socket_gid=_gid() if settings.socket else None,
        timeout=timeout,
        tries=settings.tries,
        only_answers=only_answers,
    )


def _gid() -> int | None:
    try:
        return grp.getgrnam(_GROUP).gr_gid
    except KeyError:
        return None
