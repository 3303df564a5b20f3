"""Which scopes of tokens each address of the API takes. What is not in this table is closed to tokens."""

from __future__ import annotations

import re
from typing import Final

# The first that is named is the least that would do; it is the one that a refused program is told to get.
_TELLS: Final = ("read",)
_TELLS_JOBS: Final = ("read", "jobs")
_JOBS: Final = ("jobs",)
_KEYS: Final = ("keys",)
_FORWARDS: Final = ("forwards",)

SCOPES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "/api/openapi.json": {"GET": ("read", "jobs", "keys", "forwards")},
    "/api/token": {"GET": ("read", "jobs", "keys", "forwards", "dav")},
    "/api/workspace": {"GET": _TELLS_JOBS},
    "/api/apps": {"GET": _TELLS_JOBS},
    "/api/apps/{app_id}": {"GET": _TELLS_JOBS},
    "/api/jobs": {"GET": _TELLS_JOBS, "POST": _JOBS},
    "/api/jobs/{job_id}": {"GET": _TELLS_JOBS, "DELETE": _JOBS},
    "/api/jobs/{job_id}/renew": {"POST": _JOBS},
    "/api/jobs/{job_id}/log": {"GET": _TELLS_JOBS},
    "/api/listeners": {"GET": _TELLS},
    "/api/quota": {"GET": _TELLS},
    "/api/keys": {"GET": ("read", "keys"), "POST": _KEYS, "DELETE": _KEYS},
    "/api/forwards": {"GET": ("read", "forwards")},
    "/api/forwards/{name}": {"PUT": _FORWARDS, "DELETE": _FORWARDS},
    "/api/forwards/{name}/disable": {"POST": _FORWARDS},
    "/api/forwards/{name}/share": {"POST": _FORWARDS},
    "/api/forwards/{name}/unshare": {"POST": _FORWARDS},
}
# A name is read literally: what is written with percent signs would be another address to whoever undoes them.
_NAME: Final = "[A-Za-z0-9._-]{1,255}"
_PATTERNS: Final = [(re.compile(re.sub(r"\{\w+\}", _NAME, path)), methods) for path, methods in SCOPES.items()]


def methods_of(path: str) -> dict[str, tuple[str, ...]]:
    """Method → the scopes of which a token must have one, the least first; empty where no token is taken."""
    return next((methods for pattern, methods in _PATTERNS if pattern.fullmatch(path)), {})
