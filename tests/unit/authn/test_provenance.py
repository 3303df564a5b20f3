"""Fetch Metadata: what other origins' pages may ask for."""

from __future__ import annotations

import pytest

from supercloud.authn.provenance import check, is_browser, is_navigation, wants_page
from supercloud.errors import CrossSite
from supercloud.message.head import RequestHead, parse_request
from supercloud.target import Origin

OWN = Origin("portal.test")
_NAVIGATE = (b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document")
_UPGRADE = (b"Connection: upgrade", b"Upgrade: websocket")


def _head(*lines: bytes, method: bytes = b"GET") -> RequestHead:
    return parse_request(b"\r\n".join([method + b" / HTTP/1.1", b"Host: portal.test", *lines, b"", b""]))


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"Origin: https://portal.test",),
        (b"Sec-Fetch-Site: same-origin",),
        (b"Sec-Fetch-Site: none", *_NAVIGATE),
        (b"Sec-Fetch-Site: same-site", *_NAVIGATE),
        (b"Sec-Fetch-Site: cross-site", *_NAVIGATE),
        (b"Sec-Fetch-Site: same-origin", b"Origin: https://portal.test", *_UPGRADE),
        _UPGRADE,
    ],
)
def test_these_pass(lines: tuple[bytes, ...]) -> None:
    check(_head(*lines), OWN)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Origin: https://evil.test",),
        (b"Origin: null",),
        (b"Origin: http://portal.test",),
        (b"Origin: https://portal.test:8443",),
        (b"Origin: https://node1-8080.fh.portal.test",),
        (b"Origin: https://portal.test", b"Origin: https://evil.test"),
        (b"Sec-Fetch-Site: same-site",),
        (b"Sec-Fetch-Site: cross-site",),
        (b"Sec-Fetch-Site: Same-Origin",),
        (b"Sec-Fetch-Site:",),
        (b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: iframe"),
        (b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: embed"),
        (b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Mode: no-cors", b"Sec-Fetch-Dest: image"),
        (b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Mode: cors", b"Sec-Fetch-Dest: document"),
        (b"Sec-Fetch-Site: same-origin", b"Origin: https://evil.test", *_UPGRADE),
        (b"Origin: null", *_UPGRADE),
        (b"Sec-Fetch-Site: same-site", *_UPGRADE),
    ],
)
def test_these_are_refused(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(CrossSite):
        check(_head(*lines), OWN)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS"])
def test_a_navigation_from_elsewhere_only_reads(method: bytes) -> None:
    with pytest.raises(CrossSite):
        check(_head(b"Sec-Fetch-Site: cross-site", *_NAVIGATE, method=method), OWN)


def test_programs_are_told_from_browsers() -> None:
    assert not is_browser(_head(b"User-Agent: curl", b"Accept: */*"))
    assert is_browser(_head(b"Origin: https://portal.test"))
    assert is_browser(_head(b"Sec-Fetch-Dest: image"))


def test_a_person_waits_for_a_page() -> None:
    assert wants_page(_head(*_NAVIGATE))
    assert is_navigation(_head(*_NAVIGATE))
    assert wants_page(_head(b"Accept: text/html,*/*"))
    assert not wants_page(_head(b"Accept: */*"))
    assert not wants_page(_head())
    assert not wants_page(_head(b"Accept: text/html", method=b"POST"))
    assert not wants_page(_head(b"Accept: text/html", *_UPGRADE))
    assert not wants_page(_head(b"Accept: text/html", b"Sec-Fetch-Mode: cors"))
