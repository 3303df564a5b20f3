"""A page of another site that opens addresses of the portal in windows learns nothing from what becomes of them."""

from __future__ import annotations

import re

import pytest

from tests.fakes.accounts import ALICE
from tests.fakes.portal import OK, ORIGIN, Browser, FakePortal, bearer, get

SITES = [b"cross-site", b"same-site"]
LINK = b"Sec-Fetch-Site: %b\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
CLICKED = LINK % b"same-origin" + b"Sec-Fetch-User: ?1\r\n"
COOP = b"Cross-Origin-Opener-Policy"

PATHS = [
    b"/dav/home/alice/report.pdf", b"/dav/home/alice/?tar", b"/dav/home/alice?tar", b"/dav/~/", b"/dav", b"/dav/%zz",
    b"/api/jobs", b"/api/events", b"/api", b"/api/../dav/", b"/open/42", b"/open/node1:8080/", b"/open/",
    b"/open/%2e%2e", b"/jobs/7", b"/jobs", b"/keys", b"/forwards", b"/launch/web", b"/tokens", b"/.portal/origins",
    b"/nothing", b"/logout",
]  # fmt: skip


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal(takes_programs=True)


def ask(portal: FakePortal, path: bytes, extra: bytes, method: bytes = b"GET", host: bytes = b"portal.test") -> Browser:
    browser = portal.browser()
    browser.send(method + b" " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + extra + b"\r\n")
    return browser


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("path", PATHS)
def test_a_window_looks_the_same_whoever_is_signed_in_and_whatever_is_there(
    portal: FakePortal, path: bytes, site: bytes
) -> None:
    dead = portal.cookie()
    portal.sessions._sessions[max(portal.sessions._sessions)].end("kicked")
    seen = {
        ask(portal, path, LINK % site + who).received
        for who in (b"", portal.cookie(), dead, b"Cookie: __Host-Http-supercloud=x\r\n", bearer(portal.token()))
    }
    assert len(seen) == 1
    assert portal.monitor.started == []
    assert portal.worker_dialer.dialled == []


@pytest.mark.parametrize("path", PATHS)
def test_it_is_a_page_that_offers_to_go_on(portal: FakePortal, path: bytes) -> None:
    browser = ask(portal, path, LINK % b"cross-site" + portal.cookie())
    assert browser.status == 403
    address = b"https://portal.test" + path
    assert re.findall(rb'<main.*?href="([^"]+)"', browser.received) == [address]
    assert b"<code>" + address + b"</code>" in browser.received
    assert b"<script" not in browser.received
    assert (browser.field(b"Cache-Control"), browser.field(COOP)) == (b"no-store", b"same-origin")
    policy = browser.field(b"Content-Security-Policy") or b""
    assert b"frame-ancestors 'none'" in policy
    assert b"default-src 'none'" in policy
    assert b"Content-Disposition" not in browser.received
    assert portal.lines()[-1]["outcome"] == "refused"


def test_the_length_says_no_more_than_the_address_that_the_other_site_chose(portal: FakePortal) -> None:
    one, other = (
        int(ask(portal, path, LINK % b"cross-site" + portal.cookie()).field(b"Content-Length") or b"0")
        for path in (b"/dav/home/alice/here.pdf", b"/dav/home/alice/gone.pdf")
    )
    assert one == other > 0


@pytest.mark.parametrize("path", PATHS)
def test_head_is_answered_alike(portal: FakePortal, path: bytes) -> None:
    page, head = (ask(portal, path, LINK % b"cross-site" + portal.cookie(), method) for method in (b"GET", b"HEAD"))
    assert head.received == page.received.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert portal.monitor.started == []


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b'/dav/"><script>alert(1)</script>', b"/dav/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"),
        (b"//evil.test/dav/", b"//evil.test/dav/"),
        (b"/\\evil.test/", b"/\\evil.test/"),
        (b"/dav/a&b=%22'", b"/dav/a&amp;b=%22&#x27;"),
    ],
)
def test_it_leads_to_nowhere_but_that_address_of_the_portals(portal: FakePortal, path: bytes, shown: bytes) -> None:
    browser = ask(portal, path, LINK % b"cross-site")
    if browser.status == 400:
        return  # no target at all
    assert b'href="https://portal.test' + shown + b'"' in browser.received
    assert b"<script" not in browser.received
    assert b'href="//' not in browser.received


def test_a_click_goes_on_to_what_is_there(portal: FakePortal) -> None:
    ask(portal, b"/dav/home/alice/report.pdf", CLICKED + portal.cookie())
    assert portal.worker_dialer[0].received.startswith(b"GET /dav/home/alice/report.pdf ")
    asked = ask(portal, b"/dav/home/alice/report.pdf", CLICKED)
    assert (asked.status, asked.field(b"Location")) == (303, b"/login?next=%2Fdav%2Fhome%2Falice%2Freport.pdf")


@pytest.mark.parametrize("path", [b"/dav/x", b"/jobs/7", b"/tokens"])
def test_who_types_an_address_or_has_it_as_a_bookmark_is_not_asked(portal: FakePortal, path: bytes) -> None:
    assert ask(portal, path, LINK % b"none").status == 303
    assert ask(portal, path, b"Accept: text/html\r\n").status == 303  # browsers without Fetch Metadata


def test_a_link_leads_to_the_front_page_and_to_where_one_signs_in(portal: FakePortal) -> None:
    ask(portal, b"/", LINK % b"cross-site" + portal.cookie())
    assert portal.worker_dialer[0].received.startswith(b"GET / ")
    assert ask(portal, b"/login", LINK % b"cross-site").status == 401


def test_applications_are_linked_to_as_before(portal: FakePortal) -> None:
    ask(portal, b"/lab", LINK % b"cross-site" + portal.cookie(origin=ORIGIN), host=ORIGIN.encode())
    assert portal.dialer[0].received.startswith(b"GET /lab ")


@pytest.mark.parametrize("path", [*PATHS, b"/", b"/login", b"/healthz", b"/.portal/icon.svg", b"/.portal/portal.css"])
@pytest.mark.parametrize("destination", [b"script", b"image", b"iframe", b"object", b"style", b"empty", b"embed"])
def test_no_part_of_a_page_loads_whatever_is_there(portal: FakePortal, path: bytes, destination: bytes) -> None:
    for mode in (b"no-cors", b"cors", b"navigate"):
        fields = b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: %b\r\nSec-Fetch-Dest: %b\r\n" % (mode, destination)
        seen = {
            re.sub(
                rb"Request \S+|\"request\":\"[^\"]+\"|Content-Length: \d+",
                b"",
                ask(portal, path, fields + who).received,
            )
            for who in (b"", portal.cookie())
        }
        assert len(seen) == 1
        assert seen.pop().startswith(b"HTTP/1.1 403 ")
    assert portal.monitor.started == []


ANSWERS = [
    (b"GET", b"/", b""), (b"GET", b"/login", b""), (b"GET", b"/nothing", b""), (b"GET", b"/logout", b""),
    (b"GET", b"/healthz", b""), (b"GET", b"/.portal/portal.css", b""), (b"GET", b"/.portal/icon.svg", b""),
    (b"GET", b"/.portal/ticket?to=x&nonce=y", b""), (b"GET", b"/fw2/localhost:1/", b""), (b"OPTIONS", b"/", b""),
    (b"GET", b"/dav/x", b""), (b"GET", b"/dav/x", b"Accept: text/html\r\n"), (b"TRACE", b"/", b""),
    (b"GET", b"/api/jobs", b""), (b"POST", b"/logout", b"Sec-Fetch-Site: cross-site\r\n"), (b"GET", b"/open/42", b""),
    (b"GET", b"/tokens", b"Accept: text/html\r\n"), (b"GET", b"/x y", b""), (b"GET", b"/", b"A_b: c\r\n"),
    (b"GET", b"/fw2/x:y:z/", b""), (b"GET", b"/.portal/enter", b""),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "extra"), ANSWERS)
def test_every_answer_of_the_portals_own_parts_with_the_window_that_opened_it(
    portal: FakePortal, method: bytes, path: bytes, extra: bytes
) -> None:
    for who in (b"", portal.cookie()):
        browser = ask(portal, path, extra + who, method)
        portal.settle(1.0)
        for upstream in [*portal.worker_dialer.upstreams, *portal.dialer.upstreams]:
            upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\ncross-origin-opener-policy: unsafe-none\r\n\r\n")
        assert browser.status
        assert browser.fields(COOP) == [b"same-origin"], browser.received


def test_a_worker_and_an_application_under_a_prefix_do_not_undo_it(portal: FakePortal) -> None:
    undone = OK.replace(b"\r\n\r\n", b"\r\nCross-Origin-Opener-Policy: unsafe-none\r\n\r\n")
    browser = ask(portal, b"/dav/x", portal.cookie())
    portal.worker_dialer[0].send(undone)
    assert browser.fields(COOP) == [b"same-origin"]
    portal = FakePortal(serves_prefixes=True)
    browser = ask(portal, b"/fw2/localhost:8080/", portal.cookie())
    portal.dialer[0].send(undone)
    assert browser.fields(COOP) == [b"same-origin"]


def test_on_an_applications_origin_it_is_the_applications_own(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    assert browser.fields(COOP) == []
    browser.take()
    browser.send(get(portal, b"/again"))  # on the trodden way
    portal.dialer[0].send(OK.replace(b"\r\n\r\n", b"\r\nCross-Origin-Opener-Policy: same-origin-allow-popups\r\n\r\n"))
    assert browser.fields(COOP) == [b"same-origin-allow-popups"]
    assert portal.lines()[-1]["principal"] == ALICE.login
