"""What a job has announced of itself, as its owner's worker tells the front: where it listens, and how to be let in.

It comes from a file of the user's own, so each value is of a narrow form or none at all. The question is an HTTP
request with a method that no browser can send: the front's parser (llhttp) knows a list of methods, and this is none.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

METHOD: Final = "SESSION"

# As schedulers number jobs: 42, 42_7, 42+1; and servers that were found beside them.
_JOB: Final = re.compile(r"[0-9]{1,20}(?:[_+][0-9]{1,10})?|jupyter-[0-9]{1,10}")

# As in addresses of applications; see routing.prefixes.
_NODE: Final = r"\A(?!.*\.\.)(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})\Z"
Node = Annotated[str, msgspec.Meta(pattern=_NODE)]
# One slash: a browser takes two for the beginning of another host. Nothing that would have to be quoted in a link.
Path = Annotated[str, msgspec.Meta(pattern=r"\A/(?!/)[A-Za-z0-9/._~%!$&'()*+,;=:@?-]{0,2047}\Z")]
# RFC 9110 section 11.4: a scheme and what it needs, on one line.
Authorization = Annotated[str, msgspec.Meta(pattern=r"\A(?:[A-Za-z][A-Za-z0-9-]{0,30} [!-~]{1,4096})?\Z")]


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """:ivar node: name or address literal, without brackets.
    :ivar path: where the application's first page is, with its query.
    :ivar authorization: value of the field that lets its owner in; ``""`` for none.
    """

    node: Node
    port: Annotated[int, msgspec.Meta(ge=1024, le=65535)]
    path: Path
    authorization: Authorization

    def __repr__(self) -> str:
        return f"Told({self.node!r}, {self.port})"  # no credential reaches a log


def is_job(text: str) -> bool:
    """Whether a job can be called so."""
    return _JOB.fullmatch(text) is not None
