"""What the portal's own pages read out of addresses."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from supercloud.errors import NotFound
from supercloud.message.head import RequestHead


def query_of(head: RequestHead) -> dict[str, str]:
    """The first value of each parameter of the query."""
    text = head.target.partition(b"?")[2].decode("ascii")
    try:
        return {name: values[0] for name, values in parse_qs(text, max_num_fields=20).items()}
    except ValueError:
        raise NotFound("query with too many parameters") from None


def local(path: str) -> str:
    """A path of this origin, for a redirect; anything that could lead elsewhere becomes ``/``."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    is_path = path.startswith("/") and not path.startswith("//") and not parts.scheme and not parts.netloc
    if not is_path or "\\" in path or not path.isascii() or not path.isprintable() or " " in path:
        return "/"
    return path
