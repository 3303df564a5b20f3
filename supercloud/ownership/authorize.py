"""Whether a principal may reach a target: asked of whoever listens, then again of the connection itself.

A `Permit` says that the listener's holder was permitted when it was asked. A port can change hands between that answer
and the connection, so a permit opens nothing: after connecting, the node is asked who holds *this* connection, and only
`Authorizer.verify` makes the `Grant` that a relay takes.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from supercloud.errors import NotAuthorized, NothingListens, Undecided
from supercloud.identity import Principal
from supercloud.ownership.rule import SocketOwner, Verdict, judge, judge_forward
from supercloud.target import Reservation, Target

# Seconds between questions about a connection that nobody has accepted yet: about 20 ms together.
_PATIENCE: Final = (0.001, 0.003, 0.006, 0.010)


class OwnerLookup(Protocol):
    """Asks the node who holds a socket of its.

    :raises Undecided: when nobody answers; nobody is let through then.
    """

    async def listener(self, address: str, port: int) -> SocketOwner | None:
        """Who listens at an address; None when nobody does."""

    async def connection(self, address: str, port: int, peer: str, peer_port: int) -> SocketOwner | None:
        """Who holds the node's end of an established connection; None when there is none."""

    async def with_group(self, owner: SocketOwner) -> SocketOwner:
        """The same owner, with what the account database says about the group."""


class PrincipalLookup(Protocol):
    """Reads an account afresh."""

    async def find(self, key: str | int) -> Principal: ...


class OwnListeners(Protocol):
    """Knows which listeners are the portal's own."""

    def is_own(self, address: str, port: int) -> bool: ...


class Permit(msgspec.Struct, frozen=True):
    """Authorize's yes for a principal and a target; made only there.

    :ivar address: the pinned address at which the listener is.
    :ivar reservation: of the forward that leads there; None when the target was addressed by node and port.
    """

    principal: Principal
    target: Target
    address: str
    owner: SocketOwner
    verdict: Verdict
    reservation: Reservation | None = None


class Grant(msgspec.Struct, frozen=True):
    """What was verified about one established connection.

    :ivar basis: ``connection``, or ``listener`` for a connection that its listener had not accepted in time.
    """

    permit: Permit
    owner: SocketOwner
    verdict: Verdict
    basis: str


class Authorizer:
    """Applies the firewall rule to listeners and to connections.

    :param accounts: groups are looked up afresh whenever they decide.
    :param own: the portal's own listeners are never a target.
    :param shared_gids: groups that never permit.
    """

    def __init__(
        self,
        owners: OwnerLookup,
        accounts: PrincipalLookup,
        clock: IReactorTime,
        *,
        own: OwnListeners,
        shared_gids: frozenset[int] = frozenset(),
    ) -> None:
        self._owners = owners
        self._accounts = accounts
        self._clock = clock
        self._own = own
        self._shared_gids = shared_gids

    async def authorize(self, principal: Principal, target: Target, reservation: Reservation | None = None) -> Permit:
        """Ask who listens at each of the target's addresses, in order; the first that permits is taken.

        :param reservation: of the forward that leads there, whose file the principal may execute; its rule holds then.
        :raises NotAuthorized: somebody listens, but nobody whom the principal may reach.
        :raises NothingListens: nobody listens at any address.
        :raises Undecided: a node did not answer.
        """
        refusal: NotAuthorized | None = None
        port = target.application.port
        for address in target.addresses:
            if self._own.is_own(address, port):
                refusal = NotAuthorized(f"{target} is the portal's own listener")
                continue
            found = await self.look(principal, target, address, reservation)
            if found is None:
                continue
            principal, owner, verdict = found
            if verdict.permits:
                return Permit(principal, target, address, owner, verdict, reservation)
            refusal = refusal or NotAuthorized(
                f"{principal} -> {target} at {address}: {verdict.value}, uid {owner.uid}"
            )
        if refusal is not None:
            raise refusal
        raise NothingListens(f"nothing listens at {target}")

    async def look(
        self, principal: Principal, target: Target, address: str, reservation: Reservation | None = None
    ) -> tuple[Principal, SocketOwner, Verdict] | None:
        """Who listens at one of a target's addresses, and what the rule says; None when nobody does.

        :returns: the principal with the groups that were judged by.
        :raises NotAuthorized: the principal's account is gone.
        :raises Undecided: the node did not answer.
        """
        owner = await self._owners.listener(address, target.application.port)
        if owner is None:
            return None
        principal, verdict = await self._judge(principal, owner, reservation)
        return principal, owner, verdict

    async def verify(self, permit: Permit, peer: str, peer_port: int) -> Grant:
        """Ask who holds a connection that was just made for a permit, before anything is sent over it.

        :param peer: the portal's end of the connection, as the node sees it.
        :raises NotAuthorized: it is held by somebody whom the principal may not reach.
        :raises Undecided: the node did not answer, or knows no such connection.
        """
        address, port = permit.address, permit.target.application.port
        for pause in (0.0, *_PATIENCE):
            if pause:
                await _sleep(self._clock, pause)
            owner = await self._owners.connection(address, port, peer, peer_port)
            if owner is None:
                raise Undecided(f"{permit.target} at {address} knows no connection from {peer} port {peer_port}")
            if owner.is_accepted:
                return await self._grant(permit, owner, "connection")
        # Nobody accepts: whoever holds the listener now is who will.
        listener = await self._owners.listener(address, port)
        if listener is None:
            raise NothingListens(f"{permit.target} stopped listening")
        return await self._grant(permit, listener, "listener")

    async def judge_again(self, grant: Grant) -> Verdict:
        """The rule's verdict about whoever holds a verified connection, by the groups of now; no node is asked.

        :raises NotAuthorized: the principal's account is gone.
        :raises PortalError: nobody could say.
        """
        _, verdict = await self._judge(grant.permit.principal, grant.owner, grant.permit.reservation)
        return verdict

    async def _grant(self, permit: Permit, owner: SocketOwner, basis: str) -> Grant:
        principal, verdict = await self._judge(permit.principal, owner, permit.reservation)
        if not verdict.permits:
            raise NotAuthorized(
                f"{principal} -> {permit.target}: the {basis} is uid {owner.uid}'s ({verdict.value}), "
                f"when asked before it was uid {permit.owner.uid}'s"
            )
        if owner.uid != permit.owner.uid:
            # Permitted, but another owner's: what was decided by the owner (its origin) does not hold.
            raise NotAuthorized(f"{permit.target} went from uid {permit.owner.uid} to uid {owner.uid}")
        return Grant(permit, owner, verdict, basis)

    async def _judge(
        self, principal: Principal, owner: SocketOwner, reservation: Reservation | None
    ) -> tuple[Principal, Verdict]:
        if reservation is not None:
            return principal, await self._judge_forward(reservation, owner)
        verdict = judge(principal, owner, self._shared_gids)
        if verdict is Verdict.SAME_USER:
            return principal, verdict
        try:
            afresh = await self._accounts.find(principal.uid)
        except LookupError as error:
            raise NotAuthorized(f"{principal}: {error}") from None
        if afresh.login != principal.login:
            raise NotAuthorized(f"uid {principal.uid} was {principal}, is {afresh}")
        return afresh, judge(afresh, await self._owners.with_group(owner), self._shared_gids)

    async def _judge_forward(self, reservation: Reservation, owner: SocketOwner) -> Verdict:
        verdict = judge_forward(reservation, owner, self._shared_gids)
        if verdict.permits:
            return verdict
        return judge_forward(reservation, await self._owners.with_group(owner), self._shared_gids)


def _sleep(clock: IReactorTime, seconds: float) -> Deferred[None]:
    def cancel(_: object) -> None:
        call.cancel()

    done: Deferred[None] = Deferred(cancel)
    call = clock.callLater(seconds, done.callback, None)
    return done
