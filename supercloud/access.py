"""Whether somebody may reach an application, by its node and port or by a forward: the same question for a request and
for the ticket to an origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from supercloud.errors import NotFound, PortalError
from supercloud.identity import Principal
from supercloud.ownership.authorize import Authorizer, Permit
from supercloud.routing.forwards import Forwards, Look
from supercloud.routing.nodes import Nodes
from supercloud.target import Application, Forward


@dataclass(frozen=True, slots=True)
class Access:
    """Asks all that have a say.

    :ivar forwards: None where the site has none.
    """

    nodes: Nodes
    authorizer: Authorizer
    forwards: Forwards | None = None

    async def find(self, principal: Principal, name: str) -> Forward:
        """Where a forward leads that the principal may use.

        :raises PortalError: see `Forwards.find`.
        """
        return await self._forwards(name).find(principal, name)

    async def look_again(self, principal: Principal, forward: Forward) -> Look:
        """See `Forwards.look_again`."""
        return await self._forwards(forward.name).look_again(principal, forward)

    async def find_again(self, principal: Principal, forward: Forward) -> Forward:
        """The same for a forward that the principal was let use before, asked anew.

        :raises PortalError: see `Forwards.find`.
        """
        return await self._forwards(forward.name).find_again(principal, forward)

    def believes(self, principal: Principal, forward: Forward | None) -> bool:
        """Whether what was found about a forward still counts."""
        return forward is None or (self.forwards is not None and self.forwards.believes(principal.uid, forward))

    async def permit(self, principal: Principal, application: Application, forward: Forward | None) -> Permit:
        """Authorize's yes.

        :param forward: by which the application is addressed, if it is.
        :raises PortalError: see `Nodes.resolve` and `Authorizer.authorize`.
        """
        reservation = None if forward is None else forward.reservation
        try:
            target = await self.nodes.resolve(application, principal.uid)
            return await self.authorizer.authorize(principal, target, reservation)
        except PortalError as error:
            if forward is None or self.forwards is None:
                raise
            raise await self.forwards.explained(error, forward, principal) from None

    def _forwards(self, name: str) -> Forwards:
        if self.forwards is None:
            raise NotFound(f"forward {name}: this site has none")
        return self.forwards
