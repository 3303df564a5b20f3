"""``/open/JOBID`` and ``/open/NODE:PORT/…``: from the workspace into an application, by a link without a credential."""

from __future__ import annotations

import re
from typing import Final, Protocol
from urllib.parse import unquote

from twisted.internet.defer import Deferred

from supercloud.authn.authenticate import Viewer
from supercloud.authn.handed import Handed
from supercloud.authn.session import Session
from supercloud.errors import BadAddress, Elsewhere, MethodRefused, NothingListens, PortalError
from supercloud.front.address import local
from supercloud.front.exchange import Exchange
from supercloud.identity import Principal
from supercloud.routing.hosts import Hosts
from supercloud.routing.nodes import Nodes
from supercloud.routing.prefixes import read_prefix
from supercloud.target import Application
from supercloud.workers.session_told import Told, is_job

PREFIX: Final = b"/open/"
MOST_ASKED: Final = 200  # applications that are asked about in one session
_JOB: Final = re.compile(r"/open/([^/:]+)/?")
_DOTS: Final = frozenset({".", ".."})
_UNTOLD: Final = (
    "This job has not said where it listens. If it is starting, this page opens it by itself as soon as it has; your "
    "workspace says whether it still runs."
)


class SessionAsk(Protocol):
    """Asks an account's worker; see workers.asking."""

    async def session(self, principal: Principal, job: str) -> Told | None:
        """What a job of the account's has announced; None when it has not.

        :param job: its number, or node and port where it listens.

        :raises PortalError: the worker does not answer.
        """
        ...


class Opening:
    """Leads people to applications' own addresses, and keeps them open.

    :param nodes: what the site allows; whatever else a job announces leads nowhere.
    """

    def __init__(self, ask: SessionAsk, nodes: Nodes, hosts: Hosts, handed: Handed) -> None:
        self._ask = ask
        self._nodes = nodes
        self._hosts = hosts
        self._handed = handed
        self._asked: dict[Session, set[Application]] = {}
        self._asking: dict[tuple[Session, Application], list[Deferred[None]]] = {}

    async def lead(self, exchange: Exchange, viewer: Viewer) -> None:
        """Answer an address below ``/open/``.

        :raises Elsewhere: always, unless another refusal comes before it.
        """
        head = exchange.head
        if head.method not in (b"GET", b"HEAD"):
            raise MethodRefused("/open is GET")
        job = _JOB.fullmatch(head.path.decode("ascii"))
        if job is None:
            application, path = _read_listed(head.target)
        else:
            application, path = await self._find_job(viewer, job[1])
        if not _DOTS.isdisjoint(unquote(path).replace("\\", "/").partition("?")[0].split("/")):
            raise BadAddress(f"path {path[:100]!r}")  # below a prefix, a browser would leave the application by it
        own = self._hosts.address(application, viewer.principal.uid, path, is_viewers=True)
        # Where the site has no address for it, the one under the portal's own says so.
        raise Elsewhere(own or f"{self._hosts.portal.url}/fw2/{application}{path}")

    def is_needed(self, session: Session, application: Application) -> bool:
        """Whether nobody asked yet, in this session, what lets its account into an application."""
        asked = self._asked.get(session, ())
        return application not in asked and len(asked) < MOST_ASKED and not self._handed.given(session.uid, application)

    async def recall(self, viewer: Viewer, application: Application) -> None:
        """Ask, as if the application were opened anew: the portal may have been started again since it was, or a day
        may have passed. Requests that come at the same time wait for one answer.
        """
        session = viewer.session
        key = session, application
        while self.is_needed(session, application):
            if key in self._asking:
                waiting: Deferred[None] = Deferred()
                self._asking[key].append(waiting)
                await waiting
                continue
            self._asking[key] = []
            try:
                await self._recall(viewer, application)
            finally:
                for one in self._asking.pop(key):
                    one.callback(None)

    async def _recall(self, viewer: Viewer, application: Application) -> None:
        session = viewer.session
        try:
            told = await self._ask.session(viewer.principal, str(application))
        except PortalError:
            told = None
        self._note(session, application)
        if told is not None and Application(told.node.lower(), told.port) == application and told.authorization:
            self._handed.hand(session, application, told.authorization)

    def _note(self, session: Session, application: Application) -> None:
        asked = self._asked.get(session)
        if asked is None:
            asked = self._asked[session] = set()
            session.on_end(lambda _reason: self._asked.pop(session, None))
        asked.add(application)

    async def _find_job(self, viewer: Viewer, job: str) -> tuple[Application, str]:
        """Where a job listens; what lets its owner in is remembered.

        :raises BadAddress: it is no job's number, or the site opens nothing there.
        """
        if not is_job(job):
            raise BadAddress(f"job {job[:50]!r}")
        told = await self._ask.session(viewer.principal, job)
        if told is None:
            raise NothingListens(f"job {job} of {viewer.principal} has announced nothing", public=_UNTOLD)
        application = Application(told.node.lower(), told.port)
        await self._nodes.resolve(application, viewer.principal.uid)
        self._handed.hand(viewer.session, application, told.authorization)
        return application, told.path


def _read_listed(target: bytes) -> tuple[Application, str]:
    """The node and port of a listed socket, and the path there.

    :raises BadAddress: it is none.
    """
    path, question, query = target.partition(b"?")
    written = b"/fw2/" + path.removeprefix(PREFIX)
    route = read_prefix(written)
    if route is None or not isinstance(route.where, Application):
        raise BadAddress(f"path {path[:100]!r}")
    inside = (written[len(route.prefix) :] or b"/") + question + query
    return route.where, local(inside.decode("ascii"))
