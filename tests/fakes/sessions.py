"""Sessions without seals or a store."""

from __future__ import annotations

from supercloud.authn.session import Session, Visit
from supercloud.identity import Principal


class FakeSessions:
    """Implements what `Authenticator`, `Site` and `Tickets` need of `authn.session.Sessions`."""

    def __init__(self) -> None:
        self._visits: dict[str, Visit] = {}
        self._sessions: dict[str, Session] = {}

    async def open(self, principal: Principal, *, scheme: str, address: str, certificate: bytes = b"") -> Session:
        return self.begin(principal, scheme=scheme, address=address)

    def begin(self, principal: Principal, *, scheme: str = "link", address: str = "192.0.2.7") -> Session:
        name = f"session-{len(self._sessions)}"
        session = Session(name, principal.uid, principal.login, scheme, address, 0.0, 1e9, 0.0, 0.0)
        self._sessions[name] = session
        return session

    def cookie(self, session: Session, *, origin: str, owner: int) -> str:
        sealed = f"sealed-{len(self._visits)}"
        self._visits[sealed] = Visit(session, origin, owner)
        return sealed

    async def verify(self, cookie: str, *, origin: str) -> Visit | None:
        visit = self._visits.get(cookie)
        return visit if visit is not None and visit.origin == origin and self.is_live(visit.session) else None

    def claimed(self, cookie: str) -> str:
        visit = self._visits.get(cookie)
        return "" if visit is None else f"uid {visit.session.uid}"

    def is_live(self, session: Session) -> bool:
        return session.ended is None

    def touch(self, session: Session) -> None:
        session.last_seen = 1.0

    async def find(self, session_id: str, _: int) -> Session | None:
        return self._sessions.get(session_id)

    def forget(self, uid: int, reason: str) -> None:
        for session in self._sessions.values():
            if session.uid == uid:
                session.end(reason)

    async def end_all(self, uid: int, reason: str) -> None:
        for session in self._sessions.values():
            if session.uid == uid:
                session.end(reason)
