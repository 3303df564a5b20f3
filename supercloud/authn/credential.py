"""What somebody showed, once it was verified: a session, a token or a password; whatever it is, it ends once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from supercloud import events

Farewell: TypeAlias = Callable[[str], object]
"""Is told the reason for which a credential ended."""


@dataclass(slots=True, eq=False)
class Credential:
    """Ends once, and tells whatever depends on it. Whoever verified it is its `Keeper`.

    :ivar ended: the reason, None while it lives; whether it may be used now only its keeper can say.
    """

    ended: str | None = field(default=None, init=False)
    _farewells: dict[Farewell, None] = field(default_factory=dict, init=False, repr=False)

    @property
    def told(self) -> str:
        """What it is, for the audit; it opens nothing."""
        return ""

    def on_end(self, farewell: Farewell) -> None:
        """Call ``farewell(reason)`` once when it ends; at once if it has.

        What depends on a credential (a stream, a WebSocket) ends by this. It costs one entry of a dict.
        """
        if self.ended is not None:
            farewell(self.ended)
        else:
            self._farewells[farewell] = None

    def no_longer(self, farewell: Farewell) -> None:
        """Take back `on_end`; does nothing when it was called or never registered."""
        self._farewells.pop(farewell, None)

    def end(self, reason: str) -> None:
        """Be over; its keeper calls this, everybody else asks it to. A farewell that fails does not stop the others."""
        if self.ended is not None:
            return
        self.ended = reason
        while self._farewells:
            farewell, _ = self._farewells.popitem()
            try:
                farewell(reason)
            except Exception:
                events.unexpected(doing="ending what depends on a credential", failure=None)


C_contra = TypeVar("C_contra", bound=Credential, contravariant=True)


class Keeper(Protocol[C_contra]):
    """Verified credentials of one kind, and knows what became of them."""

    def is_live(self, credential: C_contra, /) -> bool:
        """Whether it may still be used; plain and fast, for every request."""
        ...

    def touch(self, credential: C_contra, /) -> None:
        """It is being used now."""
        ...
