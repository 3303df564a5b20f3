"""``/.portal/origins``: what the site's DNS and certificate lack for applications to have origins of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from supercloud.front import pages
from supercloud.front.exchange import Exchange
from supercloud.identity import Principal
from supercloud.origin_check import Name

PATH = b"/.portal/origins"
Look = Callable[[Principal], Awaitable[tuple[list[Name], list[str]]]]


class OriginPage:
    """Answers whoever is signed in: it says what everybody can see of the site.

    :param look: at names, and what is advised, for somebody; beside the reactor.
    :param links: on top of the page.
    """

    def __init__(self, look: Look, links: str = "") -> None:
        self._look = look
        self._links = links

    async def answer(self, exchange: Exchange, principal: Principal) -> None:
        """Look, and say it."""
        names, advice = await self._look(principal)
        exchange.respond(200, pages.FIELDS, pages.origins(principal.login, names, advice, links=self._links))
