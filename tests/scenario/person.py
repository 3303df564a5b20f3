"""A browser with a cookie jar that follows redirects between origins."""

from __future__ import annotations

from urllib.parse import urlsplit

from supercloud.identity import Principal
from tests.fakes.portal import TOGETHER, Browser, FakePortal

PAGE = b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"


class Person:
    """Somebody who is signed in at the portal, and where applications are under path prefixes."""

    def __init__(self, portal: FakePortal, principal: Principal) -> None:
        self.portal = portal
        self.jar: dict[str, dict[bytes, bytes]] = {}
        together = () if portal.hosts.shared is None or portal.hosts.shared.host != TOGETHER else (TOGETHER,)
        for origin in ("portal.test", *together):
            cookie = portal.cookie(principal, origin=origin).split(b" ")[1].strip()
            self.jar[origin] = dict([cookie.split(b"=", 1)])
        self.visited: list[str] = []

    def cookies(self, host: str) -> str:
        """The field line that this browser sends to a host, for requests that a test writes itself."""
        jar = self.jar.get(host, {})
        return f"Cookie: {b'; '.join(name + b'=' + value for name, value in jar.items()).decode()}\r\n" if jar else ""

    def ask(self, url: str, extra: bytes = PAGE) -> Browser:
        parts = urlsplit(url)
        jar = self.jar.setdefault(parts.netloc, {})
        cookies = b"; ".join(name + b"=" + value for name, value in jar.items())
        browser = self.portal.browser()
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        browser.send(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode() + extra
                     + (b"Cookie: " + cookies + b"\r\n" if cookies else b"") + b"\r\n")  # fmt: skip
        for value in browser.fields(b"set-cookie"):
            name, _, content = value.partition(b";")[0].partition(b"=")
            if b"Max-Age=0" in value:
                jar.pop(name, None)
            else:
                jar[name] = content
        return browser

    def visit(self, url: str) -> Browser:
        """Follow redirects to the end."""
        for _ in range(10):
            self.visited.append(url)
            browser = self.ask(url)
            location = browser.field(b"location")
            if browser.status not in (303, 307, 308) or location is None:
                return browser
            url = location.decode()
        raise AssertionError("the redirects never end")
