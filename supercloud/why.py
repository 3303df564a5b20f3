"""Replays a decision for an administrator: the stages of a request, each with its verdict.

It asks whom a request would ask, with the portal's own parts, so that what is told is what would be decided. It opens
no connection to the application, and has no session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from supercloud.access import Access
from supercloud.authn.standing import CLOSED, Standing
from supercloud.desk.service import Asker, Handler
from supercloud.desk.why_wire import AskWhy, WhyTold
from supercloud.desk.wire import Message, Refusal
from supercloud.errors import AccountClosed, BadAddress, Elsewhere, PortalError
from supercloud.identity import NoAccount, Principal
from supercloud.message.head import RequestHead, parse_request
from supercloud.monitor.wire import AccountState
from supercloud.ownership.authorize import Permit, PrincipalLookup
from supercloud.routing.hosts import Hosts
from supercloud.routing.locate import ByName, place_of
from supercloud.routing.origin_rule import OriginRule
from supercloud.routing.own_worker import leads_to_worker
from supercloud.routing.place import Place
from supercloud.target import Origin

_MOST_TEXT = 500  # characters of one stage


class _Told:
    """What was said so far, and about which stage it goes on."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str]] = []
        self.stage = "address"

    def at(self, stage: str) -> None:
        self.stage = stage

    def say(self, words: str) -> None:
        self.stages.append((self.stage, words[:_MOST_TEXT]))


@dataclass(frozen=True, slots=True)
class Why:
    """Answers at the desk.

    :ivar state_of: asks whether an account may be used.
    :ivar rule: where applications may be shown.
    :ivar uid: the portal's own account, which may ask beside root.
    """

    hosts: Hosts
    accounts: PrincipalLookup
    standing: Standing
    state_of: Callable[[int], Awaitable[AccountState]]
    access: Access
    rule: OriginRule
    uid: int

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        """Kind of request to what answers it."""
        return {AskWhy: self._answer}

    async def _answer(self, asker: Asker, request: AskWhy, _descriptors: Sequence[int]) -> Message:
        if asker.uid not in (0, self.uid):
            raise Refusal("not-allowed", "only root and the portal's own account may ask why")
        told = _Told()
        try:
            await self._replay(request, told)
        except PortalError as error:
            told.say(f"refused: {error}")
            return WhyTold(tuple(told.stages), f"{error.status.value} {error}"[:_MOST_TEXT])
        return WhyTold(tuple(told.stages), "")

    async def _replay(self, request: AskWhy, told: _Told) -> None:
        head = _head_of(request.url)
        origin = self.hosts.of(head.host)
        place = self._place(head, origin, told)
        principal = await self._account(request.login, told)
        if isinstance(place, ByName):
            place = await self._forward(principal, place, told)
        if place is None:
            return
        await self._listener(principal, place, told)

    def _place(self, head: RequestHead, origin: Origin, told: _Told) -> Place | ByName | None:
        try:
            place = place_of(head, origin, {})
        except Elsewhere as elsewhere:
            told.say(f"sent on to {elsewhere.location}")
            head = _head_of(elsewhere.location)
            place = place_of(head, origin, {})
        if isinstance(place, ByName):
            told.say(f"forward {place.name} on {origin.url}")
        elif place is not None:
            told.say(f"application {place.application} on {origin.url}")
        else:
            whose = "the account's own worker" if leads_to_worker(head.path) else "the portal's own pages"
            told.say(f"{whose} on {origin.url}")
        return place

    async def _account(self, login: str, told: _Told) -> Principal:
        told.at("account")
        try:
            principal = await self.accounts.find(login)
        except NoAccount as error:
            raise AccountClosed(str(error)) from None
        refusal = self.standing.refusal(principal.uid)
        if refusal is not None:
            raise AccountClosed(f"{refusal}: {refusal.public}")
        state = await self.state_of(principal.uid)
        if state in CLOSED:
            raise AccountClosed(f"{principal} is {state}: {CLOSED[state]}")
        groups = ", ".join(map(str, sorted(principal.groups)))
        told.say(f"{principal}, uid {principal.uid}, gids {groups}: {state}")
        return principal

    async def _forward(self, principal: Principal, place: ByName, told: _Told) -> Place:
        if self.access.forwards is not None:
            told.at("execute")
            looked = await self.access.forwards.look(principal, place.name)
            if looked.state is not None:
                words = {"read": "may execute", "not-executable": "may not execute"}
                may = words.get(looked.outcome, f"cannot use ({looked.outcome})")
                told.say(f"{principal} {may} the file of uid {looked.state.uid}")
        told.at("forward")
        forward = await self.access.find(principal, place.name)
        file = forward.reservation
        told.say(f"file of uid {file.uid}, gid {file.gid}, mode {file.mode:04o}")
        scheme = "https" if forward.is_tls else "http"
        lines = f", the last of {forward.lines} lines" if forward.lines > 1 else ""
        told.say(f"leads to {scheme}://{forward.application}{forward.base.decode('ascii', 'replace')}/{lines}")
        return place.leading_to(forward)

    async def _listener(self, principal: Principal, place: Place, told: _Told) -> None:
        access, reservation = self.access, None if place.forward is None else place.forward.reservation
        told.at("node")
        target = await access.nodes.resolve(place.application, principal.uid)
        told.say(f"{place.application.node} is allowed: {', '.join(target.addresses)}")
        told.at("listener")
        for address in target.addresses:
            found = await access.authorizer.look(principal, target, address, reservation)
            if found is None:
                told.say(f"{address}: nobody listens at port {place.application.port}")
            else:
                _, owner, verdict = found
                told.say(f"{address}: pid {owner.pid}, uid {owner.uid}, gid {owner.gid}: {verdict.value}")
        self._shown(principal, place, await access.permit(principal, place.application, place.forward), told)

    def _shown(self, principal: Principal, place: Place, permit: Permit, told: _Told) -> None:
        """Where a browser is shown it: an origin belongs to one owner."""
        told.at("shown")
        owner, viewer = permit.owner.uid, principal.uid
        if self.rule.is_shown(place.origin, place.application, owner=owner, viewer=viewer):
            told.say("at this address")
            return
        proper = self.rule.proper(place.application, place.forward, owner=owner, viewer=viewer)
        told.say(f"at {proper}, to which a browser is sent on")


def _head_of(url: str) -> RequestHead:
    """The head that a browser would send.

    :raises PortalError: it is no address that a browser could have.
    """
    try:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        raw = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode("ascii")
    except ValueError:
        raise BadAddress(f"{url[:100]!r} is no URL") from None
    if parts.scheme != "https" or not parts.netloc:
        raise BadAddress(f"{url[:100]!r} is no URL of a portal: https://…")
    return parse_request(raw)
