"""Who is asking: the session that the request's cookie names, on the origin where it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from supercloud.authn.session import Session, Sessions
from supercloud.errors import NotAuthenticated
from supercloud.identity import NoAccount, Principal
from supercloud.message.fields import cookie
from supercloud.message.head import RequestHead
from supercloud.target import Origin

SESSION_COOKIE: Final = b"__Host-Http-supercloud"


class PrincipalLookup(Protocol):
    """Reads an account afresh."""

    async def find(self, key: str | int) -> Principal: ...


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever looks at a page: an account, by a session on one origin.

    :ivar owner: uid of the owner of the applications that this session on this origin may show.
    """

    principal: Principal
    session: Session
    owner: int


class Authenticator:
    """Reads session cookies."""

    def __init__(self, sessions: Sessions, accounts: PrincipalLookup) -> None:
        self._sessions = sessions
        self._accounts = accounts

    async def authenticate(self, head: RequestHead, origin: Origin, memory: dict[str, object]) -> Viewer:
        """The viewer of a request.

        :param memory: of the downstream connection: a cookie's seal is opened once, then compared by its bytes.
        :raises NotAuthenticated: no session, or not one of this origin, or over, or its account is not admitted.
        """
        sealed = cookie(head.fields, SESSION_COOKIE)
        if sealed is None:
            raise NotAuthenticated("no session cookie")
        known = memory.get("viewer")
        if isinstance(known, tuple) and known[0] == sealed and known[1] == origin.host:
            viewer: Viewer = known[2]
            if self.is_live(viewer):
                return viewer
            # It may have been used through another process of the portal meanwhile: the store knows.
            del memory["viewer"]
        viewer = await self._open(sealed, origin)
        memory["viewer"] = (sealed, origin.host, viewer)
        self._sessions.touch(viewer.session)
        return viewer

    def is_live(self, viewer: Viewer) -> bool:
        """Whether the session of a viewer found before still lives; it is in use then."""
        if self._sessions.is_live(viewer.session):
            self._sessions.touch(viewer.session)
            return True
        return False

    def touch(self, viewer: Viewer) -> None:
        """The viewer's session is in use, though no request came: a WebSocket carries something."""
        self._sessions.touch(viewer.session)

    async def _open(self, sealed: bytes, origin: Origin) -> Viewer:
        visit = await self._sessions.verify(sealed.decode("latin-1"), origin=origin.host)
        if visit is None:
            raise NotAuthenticated("session cookie refused")
        try:
            principal = await self._accounts.find(visit.session.uid)
        except NoAccount as error:
            raise NotAuthenticated(str(error)) from None
        if principal.login != visit.session.login:
            # The uid went to another account since: whoever signed in is not whom it names now.
            raise NotAuthenticated(f"uid {principal.uid} was {visit.session.login}, is {principal}")
        return Viewer(principal, visit.session, visit.owner)
