"""What scripts of an application under a path prefix ask for beside it, which their Referer brings home."""

from __future__ import annotations

from typing import Final

from supercloud.errors import BadAddress
from supercloud.message.head import RequestHead
from supercloud.routing.locate import is_own
from supercloud.routing.place import REWRITING
from supercloud.routing.prefixes import read_prefix
from supercloud.target import Origin

_READING: Final = (b"GET", b"HEAD")


def home_of(head: RequestHead, origin: Origin) -> str | None:
    """The address under the prefix of the page that asked; None when no page under a prefix did.

    Only whoever is on the origin already is believed, and led to nowhere but that origin: what is there is then judged
    like any other request.
    """
    referer, site = head.get(b"referer"), head.get(b"sec-fetch-site")
    if not origin.has_prefixes or head.method not in _READING or head.upgrade or referer is None or is_own(head.target):
        return None
    if site not in (None, b"same-origin") or len(head.get_all(b"referer")) > 1:
        return None
    own = origin.url.encode("ascii")
    if not referer.startswith(own + b"/"):
        return None
    path = referer[len(own) :].partition(b"?")[0]
    if not path.startswith(REWRITING):
        return None
    try:
        route = read_prefix(path)
    except BadAddress:
        return None
    return None if route is None else origin.url + (route.prefix + head.target).decode("ascii")
