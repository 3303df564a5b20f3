"""Which accounts may be used, as a table."""

from __future__ import annotations

from supercloud.errors import PortalError
from supercloud.identity import Principal


class FakeStanding:
    """Implements `authn.authenticate.AccountStanding`.

    :ivar refused: by uid.
    :ivar let_in: logins, in order.
    """

    def __init__(self) -> None:
        self.refused: dict[int, PortalError] = {}
        self.let_in: list[str] = []

    def refusal(self, uid: int) -> PortalError | None:
        return self.refused.get(uid)

    def seen(self, principal: Principal) -> None:
        self.let_in.append(principal.login)
