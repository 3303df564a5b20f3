"""Owners of sockets as ident2 tells them, with what the account database adds about their groups."""

from __future__ import annotations

import grp
import pwd
from typing import Protocol

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from supercloud.accounts import Offloaded
from supercloud.errors import Undecided
from supercloud.ident2.client import NoAnswer, Reply
from supercloud.ident2.wire import DETAILS, ESTABLISHED, EVEN_ROOT, LISTEN, NO_ID, Flag, Question, SocketAddress
from supercloud.ownership.rule import SocketOwner

_WANTED = int(Flag.ANSWERED) | DETAILS & ~int(Flag.GROUPS) | EVEN_ROOT


class Asker(Protocol):
    """Asks ident2; see ident2.client."""

    async def ask(self, question: Question) -> Reply: ...


class Owners:
    """Looks owners up through ident2; implements `ownership.authorize.OwnerLookup`."""

    def __init__(self, asker: Asker, offload: Offloaded, clock: IReactorTime) -> None:
        self._asker = asker
        self._offload = offload
        self._clock = clock

    async def listener(self, address: str, port: int) -> SocketOwner | None:
        """Who listens at an address; None when nobody does.

        :raises Undecided: nobody answered.
        """
        return await self._ask(Question(local=SocketAddress.parse(address, port), states=LISTEN, flags=_WANTED))

    async def connection(self, address: str, port: int, peer: str, peer_port: int) -> SocketOwner | None:
        """Who holds the node's end of a connection; None when there is none.

        :raises Undecided: nobody answered.
        """
        local, remote = SocketAddress.parse(address, port), SocketAddress.parse(peer, peer_port)
        return await self._ask(Question(local=local, remote=remote, states=ESTABLISHED, flags=_WANTED))

    async def _ask(self, question: Question) -> SocketOwner | None:
        try:
            reply = await self._asker.ask(question)
        except NoAnswer as error:
            raise Undecided(str(error)) from None
        if not reply.exists:
            return None
        if reply.uid == NO_ID:
            # Of several accounts, or too many processes to look through in time: nobody is let in on a guess.
            raise Undecided(f"{question.local}: the node cannot tell one holder")
        return SocketOwner(
            uid=reply.uid,
            gid=reply.gid,
            pid=reply.answer.pid if reply.is_held else None,
            is_accepted=reply.is_held,
            age=reply.age(self._clock.seconds()),
        )

    async def with_group(self, owner: SocketOwner) -> SocketOwner:
        """The same owner, with what the account database says about the group; asked only where a group decides."""
        if owner.gid is None:
            return owner
        primary, is_private = await self._offload.run_for(owner.uid, _primary_group, owner.uid)
        return replace(owner, primary_gid=primary, has_private_group=is_private)


def _primary_group(uid: int) -> tuple[int | None, bool]:
    """Primary gid of an account, and whether that group bears the account's name; blocks."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return None, False
    try:
        return account.pw_gid, grp.getgrgid(account.pw_gid).gr_name == account.pw_name
    except KeyError:
        return account.pw_gid, False
