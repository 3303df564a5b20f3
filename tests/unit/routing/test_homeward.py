from __future__ import annotations

import pytest

from supercloud.message.head import parse_request
from supercloud.routing.homeward import home_of
from supercloud.target import Application, Origin

_PORTAL = Origin("portal.test", has_prefixes=True)


def _home(target: bytes, *lines: bytes, origin: Origin = _PORTAL, method: bytes = b"GET") -> str | None:
    raw = method + b" " + target + b" HTTP/1.1\r\nHost: portal.test\r\n" + b"".join(line + b"\r\n" for line in lines)
    return home_of(parse_request(raw + b"\r\n"), origin)


@pytest.mark.parametrize(
    ("referer", "home"),
    [
        (b"https://portal.test/fw2/node1:8080/page?x=/fw/y/", "https://portal.test/fw2/node1:8080/a"),
        (b"https://portal.test/fw2/[fd77::1]:8080/", "https://portal.test/fw2/[fd77::1]:8080/a"),
        (b"https://portal.test/fw/alice-tb/x/y.css", "https://portal.test/fw/alice-tb/a"),
        (b"https://portal.test/fw/alice-tb", "https://portal.test/fw/alice-tb/a"),
    ],
)
def test_a_referer_under_a_prefix_leads_there(referer: bytes, home: str) -> None:
    assert _home(b"/a", b"Referer: " + referer) == home


@pytest.mark.parametrize(
    "referer",
    [
        b"https://portal.test/",
        b"https://portal.test/fw/../x",
        b"https://portal.test/fw2/node1/x",
        b"https://portal.test/node/node1/8080/x",
        b"https://portal.test/rnode/node1/8080/x",
        b"https://portal.test.evil.test/fw/alice-tb/",
        b"https://portal.test@evil.test/fw/alice-tb/",
        b"http://portal.test/fw/alice-tb/",
        b"//portal.test/fw/alice-tb/",
        b"/fw/alice-tb/",
        b"",
    ],
)
def test_any_other_leads_nowhere(referer: bytes) -> None:
    assert _home(b"/a", b"Referer: " + referer) is None


def test_only_reading_where_applications_are_is_led() -> None:
    told = b"Referer: https://portal.test/fw/alice-tb/"
    assert _home(b"/a", told, method=b"HEAD") is not None
    assert _home(b"/a", told, method=b"POST") is None
    assert _home(b"/.portal/x", told) is None
    assert _home(b"/a", told, b"Connection: upgrade", b"Upgrade: websocket") is None
    assert _home(b"/a", told, b"Sec-Fetch-Site: same-site") is None
    assert _home(b"/a", told, origin=Origin("portal.test")) is None
    assert _home(b"/a", told, origin=Origin("x.fh.portal.test", Application("x", 8080))) is None
