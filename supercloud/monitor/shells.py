"""Whether an account has a shell to log in with, as ssh and su want it; blocks, and runs in a child."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final, Literal

Shells = Literal["etc-shells", "any"]

LISTED_IN: Final = "/etc/shells"
_DEFAULT: Final = "/bin/sh"  # passwd(5): what an empty field means
_UNLISTED: Final = frozenset({"/bin/sh", "/bin/csh"})  # getusershell(3): where there is no list, or none can be read
# Some lists have these, for programs that ask whether an account is a person's; yet they let nobody in.
_NONE: Final = frozenset({"nologin", "false"})
_LINE: Final = re.compile(rb"[^#/]*(/[^\s#]*)")  # as glibc reads it


def has_shell(shell: str, shells: Shells, *, listed_in: str = LISTED_IN) -> bool:
    """Whether who has this shell is let in.

    :param shell: of the account database.
    :param shells: the site's setting.
    """
    if shells == "any":
        return True
    shell = shell or _DEFAULT
    return PurePosixPath(shell).name not in _NONE and shell in read_shells(listed_in)


def read_shells(file: str = LISTED_IN) -> frozenset[str]:
    """The shells of the host's list, afresh (shells(5))."""
    try:
        lines = Path(file).read_bytes().splitlines()
    except OSError:
        return _UNLISTED
    return frozenset(found[1].decode("utf-8", "surrogateescape") for line in lines if (found := _LINE.match(line)))
