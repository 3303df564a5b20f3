"""An origin belongs to one owner: labels, tickets, service workers, caches."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import OK, ORIGIN, SHARED_PORT, Browser, FakePortal, get
from tests.scenario.person import PAGE, Person

SHARED = f"localhost-{SHARED_PORT}.fh.portal.test"
LABELLED = f"localhost-{SHARED_PORT}-u1001.fh.portal.test"


def test_a_session_comes_to_an_origin_by_a_ticket(portal: FakePortal) -> None:
    alice = Person(portal, ALICE)
    assert alice.visit(f"https://{ORIGIN}/lab?x=1").status == 0
    assert [urlsplit(url).path for url in alice.visited] == ["/lab", "/.portal/ticket", "/.portal/enter", "/lab"]
    assert alice.visited[-1] == f"https://{ORIGIN}/lab?x=1"
    assert b"__Host-Http-supercloud" in alice.jar[ORIGIN]
    assert portal.dialer.received.startswith(b"GET /lab?x=1 ")


def test_a_ticket_is_good_once_and_in_one_browser_only(portal: FakePortal) -> None:
    alice, bob = Person(portal, ALICE), Person(portal, BOB)
    first = alice.ask(f"https://{ORIGIN}/").field(b"location")
    assert first is not None
    enter = alice.ask(first.decode()).field(b"location")
    assert enter is not None
    stolen = bob.ask(enter.decode())
    assert not any(b"supercloud=" in value for value in stolen.fields(b"set-cookie"))
    assert alice.ask(enter.decode()).field(b"location") == f"https://{ORIGIN}/".encode()
    again = Person(portal, ALICE).ask(enter.decode())
    assert not any(b"supercloud=" in value for value in again.fields(b"set-cookie"))


def test_an_entrance_that_was_used_leads_to_the_page_and_not_in_circles(portal: FakePortal) -> None:
    """Two tabs are restored at once: the first to come back uses up the nonce of both."""
    alice = Person(portal, ALICE)
    enters = []
    for _ in range(2):
        ticket = alice.ask(f"https://{ORIGIN}/tree").field(b"location")
        assert ticket is not None
        enters.append((alice.ask(ticket.decode()).field(b"location") or b"").decode())
    assert alice.visit(enters[0]).status == 0
    assert alice.visit(enters[1]).status == 0
    assert alice.visited[-1] == f"https://{ORIGIN}/tree"


def test_no_ticket_to_what_the_viewer_may_not_see(portal: FakePortal) -> None:
    bob = Person(portal, BOB)
    assert bob.visit(f"https://{ORIGIN}/").status == 404
    assert portal.dialer.dialled == []


def test_a_ticket_without_a_nonce_is_none(portal: FakePortal) -> None:
    alice = Person(portal, ALICE)
    for query in (f"to={ORIGIN}", f"to={ORIGIN}&nonce=short", f"to={ORIGIN}&nonce={'!' * 43}", f"nonce={'n' * 43}"):
        assert alice.ask(f"https://portal.test/.portal/ticket?{query}").status in (404, 421)


def test_somebody_elses_application_is_at_the_owners_label(portal: FakePortal) -> None:
    bob = Person(portal, BOB)
    browser = bob.visit(f"https://{SHARED}/tree")
    assert bob.visited[-1] == f"https://{LABELLED}/tree"
    portal.dialer[0].send(OK.replace(b"\r\n\r\n", b"\r\nCache-Control: max-age=9\r\nExpires: 0\r\n\r\n"))
    assert browser.status == 200
    assert browser.fields(b"cache-control") == [b"no-store"]
    assert browser.field(b"expires") is None


def test_the_viewers_own_is_at_the_plain_label(portal: FakePortal) -> None:
    alice = Person(portal, ALICE)
    alice.visit(f"https://{LABELLED}/tree")
    assert alice.visited[-1] == f"https://{SHARED}/tree"


def test_a_service_worker_is_refused_at_an_owners_label(portal: FakePortal) -> None:
    bob = Person(portal, BOB)
    bob.visit(f"https://{SHARED}/").leave()
    browser = bob.ask(f"https://{LABELLED}/sw.js", b"Service-Worker: script\r\nSec-Fetch-Site: same-origin\r\n")
    assert browser.status == 403
    assert b"/sw.js" not in portal.dialer.received


def test_a_service_worker_of_the_viewers_own_passes(portal: FakePortal) -> None:
    alice = Person(portal, ALICE)
    alice.visit(f"https://{SHARED}/").leave()
    alice.ask(f"https://{SHARED}/sw.js", b"Service-Worker: script\r\nSec-Fetch-Site: same-origin\r\n")
    assert b"/sw.js" in portal.dialer.received


def test_what_another_owner_left_in_the_browser_is_cleared(portal: FakePortal) -> None:
    alice = Person(portal, ALICE)

    def enter() -> Browser:
        ticket = alice.ask(f"https://{ORIGIN}/").field(b"location")
        enter = alice.ask((ticket or b"").decode()).field(b"location")
        return alice.ask((enter or b"").decode())

    assert enter().field(b"clear-site-data") == b'"cache", "storage"'
    del alice.jar[ORIGIN][b"__Host-Http-supercloud"]
    assert enter().field(b"clear-site-data") is None
    del alice.jar[ORIGIN][b"__Host-Http-supercloud"]
    alice.jar[ORIGIN][b"__Host-Http-supercloud-owner"] = b"1002"
    assert enter().field(b"clear-site-data") == b'"cache", "storage"'


def test_a_session_for_another_owner_is_none(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"GET / HTTP/1.1\r\nHost: " + ORIGIN.encode() + b"\r\n" + PAGE
                 + portal.cookie(ALICE, origin=ORIGIN, owner=1002) + b"\r\n")  # fmt: skip
    assert browser.status == 303
    assert (browser.field(b"location") or b"").startswith(b"https://portal.test/.portal/ticket?")
    assert portal.dialer.dialled == []


def test_under_the_portals_own_origin_only_the_viewers_own_is_served(portal: FakePortal) -> None:
    bob = Person(portal, BOB)
    assert bob.visit(f"https://portal.test/fw2/localhost:{SHARED_PORT}/a?b=c").status == 0
    assert f"https://{LABELLED}/a?b=c" in bob.visited
    browser = bob.ask(f"https://portal.test/fw2/localhost:{SHARED_PORT}/a", b"Sec-Fetch-Site: same-origin\r\n")
    assert browser.status == 404


def test_a_site_may_allow_it_by_name() -> None:
    portal = FakePortal(paths_for_others=frozenset({"localhost"}))
    bob = Person(portal, BOB)
    browser = bob.ask(f"https://portal.test/fw2/localhost:{SHARED_PORT}/")
    portal.dialer[0].send(OK)
    assert browser.status == 200
    assert browser.field(b"cache-control") == b"no-store"


@pytest.mark.parametrize(
    "field", [b"Clear-Site-Data", b"Strict-Transport-Security", b"Alt-Svc", b"NEL", b"Reporting-Endpoints",
              b"Service-Worker-Allowed"],
)  # fmt: skip
def test_what_speaks_for_a_whole_origin_does_not_pass_under_the_portals_own(portal: FakePortal, field: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/fw2/localhost:8080/", origin="portal.test"))
    portal.dialer[0].send(OK.replace(b"\r\n\r\n", b"\r\n" + field + b": x\r\n\r\n"))
    assert browser.status == 200
    assert browser.field(field) is None


@pytest.mark.parametrize("site", [b"same-site", b"cross-site"])
@pytest.mark.parametrize("how", [b"", b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n"])
@pytest.mark.parametrize("host", ["portal.test", ORIGIN])
def test_another_origins_page_gets_nothing(portal: FakePortal, site: bytes, how: bytes, host: str) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/x", b"Sec-Fetch-Site: " + site + b"\r\n" + how, origin=host))
    assert browser.status == 403
    assert portal.dialer.dialled == []


def test_every_answer_of_an_application_keeps_frames_and_other_origins_out(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK.replace(b"\r\n\r\n", b"\r\nCross-Origin-Resource-Policy: cross-origin\r\n\r\n"))
    assert b"frame-ancestors 'self'" in browser.fields(b"content-security-policy")
    assert browser.fields(b"cross-origin-resource-policy") == [b"same-origin"]


def test_the_redirect_to_sign_in_leads_back(portal: FakePortal) -> None:
    nobody = Person(portal, ALICE)
    nobody.jar.clear()
    location = nobody.ask("https://portal.test/fw2/localhost:8080/a?b=c").field(b"location")
    assert parse_qs(urlsplit((location or b"").decode()).query) == {"next": ["/fw2/localhost:8080/a?b=c"]}
