"""Applications addressed by a path prefix: /fw/, /fw2/, /node/, /rnode/ (paper section II.D; Open OnDemand's)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from supercloud.errors import BadAddress
from supercloud.target import Application, is_forward_name

# The routing part is read literally: no percent-encoding, no dot segment, no leading zero, no doubled slash.
_NODE = rb"(?P<node>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?)"
_PORT = rb"(?P<port>[1-9][0-9]{0,4})"
_FW2 = re.compile(rb"/fw2/(?:" + _NODE + rb"|\[(?P<literal>[0-9A-Fa-f:.]{2,45})\]):" + _PORT + rb"(?=/|\Z)")
_NODES = re.compile(
    rb"/(?P<kind>r?node)/(?:" + _NODE + rb"|\[(?P<literal>[0-9A-Fa-f:.]{2,45})\])/" + _PORT + rb"(?=/|\Z)"
)
_FW = re.compile(rb"/fw/(?P<name>[A-Za-z0-9._-]{1,255})(?=/|\Z)")
_OURS = (b"/fw", b"/fw2", b"/node", b"/rnode")


@dataclass(frozen=True, slots=True)
class PathRoute:
    """An application addressed by a path prefix.

    :ivar where: node and port, or the name of a forward.
    :ivar prefix: as the browser wrote it, without a slash at its end.
    :ivar is_cut: whether the application sees the path after the prefix only.
    """

    where: Application | str
    prefix: bytes
    is_cut: bool


def read_prefix(path: bytes) -> PathRoute | None:
    """The application that a path leads to; None for a path that is not under one of the prefixes.

    :param path: without its query.
    :raises BadAddress: under a prefix, but unreadable.
    """
    if not path.startswith(_OURS):
        return None
    if (named := _FW.match(path)) and is_forward_name(name := named["name"].decode("ascii")):
        return PathRoute(name, named[0], is_cut=True)
    found = _FW2.match(path) or _NODES.match(path)
    if found is None:
        first = path.split(b"/", 2)[1]
        if b"/" + first in _OURS:
            raise BadAddress(f"path {path[:100]!r}")
        return None
    port = int(found["port"])
    if port > 65535:
        raise BadAddress(f"port {port}")
    node = (found["node"] or found["literal"]).decode("ascii").lower()
    is_cut = found.re is _FW2 or found["kind"] == b"rnode"
    return PathRoute(Application(node, port), found[0], is_cut)
