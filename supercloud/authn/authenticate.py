"""Who is asking: by the session that the request's cookie names, on the origin where it was made; programs also by a
field of each request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from supercloud.authn.credential import Credential, Keeper
from supercloud.authn.scope import Need
from supercloud.authn.session import Session, Sessions
from supercloud.errors import NotAuthenticated, PortalError
from supercloud.identity import NoAccount, Principal
from supercloud.message.fields import cookie
from supercloud.message.head import RequestHead
from supercloud.target import Origin

SESSION_COOKIE: Final = b"__Host-Http-supercloud"
# Browsers keep a host's cookies for all its ports, and the portal's own name may be shared at another port.
SHARED_COOKIE: Final = b"__Host-Http-supercloud-apps"


def session_cookie(origin: Origin) -> bytes:
    """The name of the cookie that holds an origin's session."""
    return SHARED_COOKIE if origin.is_shared else SESSION_COOKIE


class PrincipalLookup(Protocol):
    """Reads an account afresh."""

    async def find(self, key: str | int) -> Principal: ...


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever looks at a page: an account, by what was shown on one origin.

    :ivar credential: a session, or what a program showed.
    :ivar owner: uid of the owner of the applications that this credential may show on this origin.
    :ivar keeper: says whether the credential is still good.
    """

    principal: Principal
    credential: Credential
    owner: int
    keeper: Keeper[Any]

    @property
    def session(self) -> Session:
        """The session, for what only somebody who signed in may do.

        :raises NotAuthenticated: a program showed something else.
        """
        if isinstance(self.credential, Session):
            return self.credential
        raise NotAuthenticated(f"{self.principal} without a session")


class AccountStanding(Protocol):
    """Knows which accounts may not be used; see authn.standing."""

    def refusal(self, uid: int) -> PortalError | None: ...
    async def learn(self, principal: Principal) -> None: ...
    def seen(self, principal: Principal) -> None: ...


class FieldCheck(Protocol):
    """Verifies what programs show; see authn.programs."""

    def shown(self, head: RequestHead) -> bytes | None:
        """The field's value by which a request says who sent it."""
        ...

    async def verify(self, value: bytes, need: Need, address: str) -> Viewer:
        """:raises PortalError: nobody that may be let in."""
        ...


class Authenticator:
    """Reads session cookies, and what programs show.

    :param standing: asked whenever somebody is verified; whoever closes an account ends what was verified before.
    :param programs: None where only sessions count.
    :param closed: what an account is refused with while the portal is closed; None while it is not.
    """

    def __init__(
        self,
        sessions: Sessions,
        accounts: PrincipalLookup,
        standing: AccountStanding,
        programs: FieldCheck | None = None,
        closed: Callable[[str], PortalError | None] = lambda _login: None,
    ) -> None:
        self._sessions = sessions
        self._accounts = accounts
        self._standing = standing
        self._programs = programs
        self._closed = closed

    @property
    def takes_programs(self) -> bool:
        """Whether anything but a session counts, so that a program may be asked for it."""
        return self._programs is not None

    async def authenticate(
        self,
        head: RequestHead,
        origin: Origin,
        memory: dict[str, object],
        *,
        need: Need | None = None,
        address: str = "",
        is_leaving: bool = False,
    ) -> Viewer:
        """The viewer of a request. Where there is a session cookie, nothing else is looked at.

        :param memory: of the downstream connection: what is shown is verified once, then compared by its bytes.
        :param need: what a program's token must be for; None where only a session counts.
        :param address: the browser's.
        :param is_leaving: they sign out, which can be done while the portal is closed.
        :raises AccountClosed: the account may not be used now.
        :raises UnderMaintenance: the portal is closed.
        :raises NotAuthenticated: no session, or not one of this origin, or over, or its account is not admitted.
        :raises PortalError: see `FieldCheck.verify`.
        """
        viewer = await self._shown(head, origin, memory, need, address)
        closed = None if is_leaving else self._closed(viewer.principal.login)
        if closed is not None:
            raise closed
        return viewer

    async def _shown(
        self, head: RequestHead, origin: Origin, memory: dict[str, object], need: Need | None, address: str
    ) -> Viewer:
        sealed = cookie(head.fields, session_cookie(origin))
        if sealed is not None:
            return await self._by_session(sealed, origin, memory)
        shown = None if need is None or self._programs is None else self._programs.shown(head)
        if shown is None or need is None or self._programs is None:
            raise NotAuthenticated("no session cookie")
        mark = (shown, need)
        viewer = self._known(memory, "program", mark)
        if viewer is None:
            viewer = await self._programs.verify(shown, need, address)
            await self._admit(viewer.principal)
            self._remember(memory, "program", mark, viewer)
        return viewer

    async def admit(self, principal: Principal) -> None:
        """Let in whoever showed a right credential.

        :raises AccountClosed: the account may not be used now.
        :raises UnderMaintenance: the portal is closed.
        """
        await self._admit(principal)
        closed = self._closed(principal.login)
        if closed is not None:
            raise closed

    async def _admit(self, principal: Principal) -> None:
        await self._standing.learn(principal)
        refusal = self._standing.refusal(principal.uid)
        if refusal is not None:
            raise refusal
        self._standing.seen(principal)

    def is_live(self, viewer: Viewer) -> bool:
        """Whether a viewer found before may go on: the credential is still good, which is in use then, and the portal
        is open.
        """
        return self._is_good(viewer) and self._closed(viewer.principal.login) is None

    def _is_good(self, viewer: Viewer) -> bool:
        keeper, credential = viewer.keeper, viewer.credential
        if keeper.is_live(credential):
            keeper.touch(credential)
            return True
        return False

    def touch(self, viewer: Viewer) -> None:
        """The viewer's credential is in use, though no request came: a WebSocket carries something."""
        viewer.keeper.touch(viewer.credential)

    async def _by_session(self, sealed: bytes, origin: Origin, memory: dict[str, object]) -> Viewer:
        mark = (sealed, origin.host)
        viewer = self._known(memory, "viewer", mark)
        if viewer is None:
            viewer = await self._open(sealed, origin)
            await self._admit(viewer.principal)
            self._remember(memory, "viewer", mark, viewer)
        return viewer

    def _known(self, memory: dict[str, object], kind: str, mark: tuple[bytes, str | Need]) -> Viewer | None:
        """Who showed the same on this connection before, if it is still good.

        It may have been used through another process of the portal meanwhile: the store knows.
        """
        known = memory.get(kind)
        if not isinstance(known, tuple) or known[0] != mark:
            return None
        viewer: Viewer = known[1]
        # A password that was asked about twice is remembered once: what its keeper does not know it cannot end.
        if self._is_good(viewer) and self._standing.refusal(viewer.principal.uid) is None:
            return viewer
        del memory[kind]
        return None

    def _remember(self, memory: dict[str, object], kind: str, mark: tuple[bytes, str | Need], viewer: Viewer) -> None:
        memory[kind] = (mark, viewer)
        viewer.keeper.touch(viewer.credential)

    async def _open(self, sealed: bytes, origin: Origin) -> Viewer:
        visit = await self._sessions.verify(sealed.decode("latin-1"), origin=origin.host)
        if visit is None:
            raise NotAuthenticated("session cookie refused", claimed=self._sessions.claimed(sealed.decode("latin-1")))
        try:
            principal = await self._accounts.find(visit.session.uid)
        except NoAccount as error:
            raise NotAuthenticated(str(error), claimed=visit.session.login) from None
        if principal.login != visit.session.login:
            # The uid went to another account since: whoever signed in is not whom it names now.
            raise NotAuthenticated(
                f"uid {principal.uid} was {visit.session.login}, is {principal}", claimed=visit.session.login
            )
        return Viewer(principal, visit.session, visit.owner, self._sessions)
