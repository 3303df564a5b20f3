"""Which accounts may be used, as a table."""

from __future__ import annotations

from supercloud.errors import PortalError
from supercloud.identity import Principal


class FakeStanding:
    """Implements `authn.authenticate.AccountStanding`.

    :ivar refused: by uid; ``database`` what is known once it was asked about.
    :ivar asked: uids, in order.
    :ivar let_in: logins, in order.
    """

    def __init__(self) -> None:
        self.refused: dict[int, PortalError] = {}
        self.database: dict[int, PortalError] = {}
        self.asked: list[int] = []
        self.let_in: list[str] = []

    def refusal(self, uid: int) -> PortalError | None:
        return self.refused.get(uid)

    async def learn(self, principal: Principal) -> None:
        self.asked.append(principal.uid)
        if principal.uid in self.database:
            self.refused[principal.uid] = self.database[principal.uid]

    def seen(self, principal: Principal) -> None:
        self.let_in.append(principal.login)
