"""Where a browser's request comes from (Fetch Metadata, RFC 6454).

To a browser the portal and all applications are one site, so SameSite cookies keep none of them from the others. What
does is this rule: a request passes when its own origin asked for it, or when a person navigates to a whole page.
"""

from __future__ import annotations

from typing import Final

from supercloud.errors import CrossSite, LedHere
from supercloud.message.head import RequestHead
from supercloud.target import Origin

_OWN: Final = frozenset({b"same-origin", b"none"})
# Where a link of another site's leads at once: to the front page, to where one signs in, and into applications.
_LINKED: Final = frozenset({b"/", b"/login", b"/healthz", b"/.portal/ticket"})


def check(head: RequestHead, origin: Origin) -> None:
    """Refuse what another origin's page asked for.

    :raises CrossSite: says which field told.
    """
    site, claimed = head.get(b"sec-fetch-site"), head.get(b"origin")
    is_own = True
    if claimed is not None:
        if len(head.get_all(b"origin")) > 1:
            raise CrossSite("more than one Origin")
        is_own = claimed == origin.url.encode("ascii")
        if head.upgrade and not is_own:
            raise CrossSite(f"upgrade from {claimed[:100]!r}")
    if site is None:
        # An older browser, or a program. A browser sends Origin with everything that can change something.
        if not is_own:
            raise CrossSite(f"Origin {(claimed or b'')[:100]!r}")
        return
    if site in _OWN:
        return
    if is_navigation(head) and head.method in (b"GET", b"HEAD"):
        return
    raise CrossSite(f"Sec-Fetch-Site {site[:20]!r}, dest {(head.get(b'sec-fetch-dest') or b'')[:20]!r}")


def hold(head: RequestHead, origin: Origin) -> None:
    """Have a person asked first whom another site leads to one of the portal's own addresses.

    That site has the window it opened, and the time until something is in it: whether a file came that is saved, a page
    or a refusal, or whether a worker had to be started. So what it gets is the same page for all of them, before
    anybody is asked who they are; the link on it is the portal's own, and leads on.

    :raises LedHere: another site did.
    """
    site = head.get(b"sec-fetch-site")
    if site is not None and site not in _OWN and origin.is_portal and head.path not in _LINKED:
        raise LedHere(f"a link of another site's, Sec-Fetch-Site {site[:20]!r}")


def hold_together(head: RequestHead, origin: Origin, portal: Origin) -> None:
    """Have a person asked first whom a link of another's page leads to where several applications share an origin.

    What opens there can act on the others, so whoever writes a page that one of them shows, and the link to it, would
    have them all.

    :raises LedHere: another's did.
    """
    if origin.has_prefixes and is_led(head, origin, portal):
        raise LedHere("a link of another's page to where applications are together")


def is_led(head: RequestHead, origin: Origin, portal: Origin) -> bool:
    """Whether another's page led a person here, and neither the origin's own nor the portal's.

    To a browser everything below the same registrable domain is one site, and much of it is none of the portal's:
    people's home pages, say. Its own pages show by their Referer, which no page writes and redirects keep. What is
    in a sandbox has that of its address, and to the browser is another site.
    """
    site, referer = head.get(b"sec-fetch-site"), head.get(b"referer") or b""
    if site is None or site in _OWN:
        return False
    ours = tuple(one.url.encode("ascii") + b"/" for one in (origin, portal))
    return site != b"same-site" or not referer.startswith(ours)


def is_navigation(head: RequestHead) -> bool:
    """A person goes to a whole page: not a frame, not an image, not a script's request."""
    return head.get(b"sec-fetch-mode") == b"navigate" and head.get(b"sec-fetch-dest") == b"document"


def is_browser(head: RequestHead) -> bool:
    """Whether a browser sent it; programs send neither Origin nor Fetch Metadata."""
    return any(lower == b"origin" or lower.startswith(b"sec-fetch-") for lower, _, _ in head.fields)


def wants_page(head: RequestHead) -> bool:
    """Whether a person waits for a page, so that a sign-in page or a redirect to one helps.

    Old browsers without Fetch Metadata are recognised by what they accept.
    """
    if head.method not in (b"GET", b"HEAD") or head.upgrade:
        return False
    if head.get(b"sec-fetch-mode") is not None:
        return is_navigation(head)
    return b"text/html" in (head.get(b"accept") or b"")
