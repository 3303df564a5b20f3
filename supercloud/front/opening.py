"""``/open/JOBID`` and ``/open/NODE:PORT/…``: from the workspace into an application, by a link without a credential."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote

from supercloud.authn.authenticate import Viewer
from supercloud.authn.handed import Handed
from supercloud.errors import BadAddress, Elsewhere, MethodRefused, NothingListens
from supercloud.front.address import local
from supercloud.front.exchange import Exchange
from supercloud.identity import Principal
from supercloud.routing.hosts import Hosts
from supercloud.routing.nodes import Nodes
from supercloud.routing.prefixes import read_prefix
from supercloud.target import Application
from supercloud.workers.session_told import Told, is_job

PREFIX: Final = b"/open/"
_JOB: Final = re.compile(r"/open/([^/:]+)/?")
_DOTS: Final = frozenset({".", ".."})
_UNTOLD: Final = (
    "This job has not said where it listens. If it is starting, this page opens it by itself as soon as it has; the "
    "page of your jobs says how it stands with it."
)


class SessionAsk(Protocol):
    """Asks an account's worker; see workers.asking."""

    async def session(self, principal: Principal, job: str) -> Told | None:
        """What a job of the account's has announced; None when it has not.

        :raises PortalError: the worker does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """Leads people to applications' own addresses.

    :ivar nodes: what the site allows; whatever else a job announces leads nowhere.
    """

    ask: SessionAsk
    nodes: Nodes
    hosts: Hosts
    handed: Handed

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
        origin = self.hosts.of_application(application)
        raise Elsewhere(f"{self.hosts.portal.url}/fw2/{application}{path}" if origin is None else origin.url + path)

    async def _find_job(self, viewer: Viewer, job: str) -> tuple[Application, str]:
        """Where a job listens; what lets its owner in is remembered.

        :raises BadAddress: it is no job's number, or the site opens nothing there.
        """
        if not is_job(job):
            raise BadAddress(f"job {job[:50]!r}")
        told = await self.ask.session(viewer.principal, job)
        if told is None:
            raise NothingListens(f"job {job} of {viewer.principal} has announced nothing", public=_UNTOLD)
        application = Application(told.node.lower(), told.port)
        await self.nodes.resolve(application)
        self.handed.hand(viewer.session, application, told.authorization)
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
