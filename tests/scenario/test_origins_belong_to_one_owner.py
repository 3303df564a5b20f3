"""An origin belongs to one owner: labels, tickets, service workers, caches."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from supercloud.authn.scope import forward_scope
from supercloud.authn.ticket import hash_nonce
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import OK, ORIGIN, PORT, SHARED_PORT, TOGETHER, Browser, FakePortal, bearer, get
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


@pytest.mark.parametrize("label", [f"localhost-{SHARED_PORT}", f"localhost-{SHARED_PORT}-u1002"])
def test_the_viewers_own_is_at_the_label_that_names_her(portal: FakePortal, label: str) -> None:
    alice = Person(portal, ALICE)
    alice.visit(f"https://{label}.fh.portal.test/tree")
    assert alice.visited[-1] == f"https://{LABELLED}/tree"


def test_a_service_worker_is_refused_at_an_owners_label(portal: FakePortal) -> None:
    bob = Person(portal, BOB)
    bob.visit(f"https://{SHARED}/").leave()
    browser = bob.ask(f"https://{LABELLED}/sw.js", b"Service-Worker: script\r\nSec-Fetch-Site: same-origin\r\n")
    assert browser.status == 403
    assert b"/sw.js" not in portal.dialer.received


def test_a_service_worker_of_the_viewers_own_passes(portal: FakePortal) -> None:
    alice = Person(portal, ALICE)
    alice.visit(f"https://{SHARED}/").leave()
    alice.ask(f"https://{LABELLED}/sw.js", b"Service-Worker: script\r\nSec-Fetch-Site: same-origin\r\n")
    assert b"/sw.js" in portal.dialer.received


def test_what_another_viewer_left_where_applications_are_together_is_cleared(portal: FakePortal) -> None:
    """By a page, and not by a redirect, on which WebKit clears nothing."""
    alice, mark = Person(portal, ALICE), b"__Host-Http-supercloud-viewer"

    def enter() -> Browser:
        alice.jar[TOGETHER].pop(b"__Host-Http-supercloud-apps", None)
        ticket = alice.ask(f"https://{TOGETHER}/fw2/localhost:{PORT}/x").field(b"location")
        enter = alice.ask((ticket or b"").decode()).field(b"location")
        return alice.ask((enter or b"").decode())

    def cleared() -> bytes | None:
        browser = enter()
        assert browser.status == 200
        assert f'url=/fw2/localhost:{PORT}/x"'.encode() in browser.received
        return browser.field(b"clear-site-data")

    assert cleared() == b'"cache", "storage"'
    hers = alice.jar[TOGETHER][mark]
    browser = enter()
    assert (browser.status, browser.field(b"clear-site-data")) == (303, None)
    for planted in (b"1001", b"x" * 5000, portal.tickets.make_viewer_mark(TOGETHER, 1002).encode(),
                    portal.tickets.make_viewer_mark("other.test", 1001).encode()):  # fmt: skip
        alice.jar[TOGETHER][mark] = planted
        assert cleared() == b'"cache", "storage"'
    alice.jar[TOGETHER][mark] = hers
    assert enter().status == 303


def test_a_nonce_that_a_page_planted_is_none(portal: FakePortal) -> None:
    """It would bind somebody else's ticket, whose hash the planter knows, to this browser."""
    alice = Person(portal, ALICE)
    planted = ("n" * 43, portal.tickets.make_nonce("other.test"), "")
    for nonce in planted:
        alice.jar[ORIGIN] = {b"__Host-Http-supercloud-nonce": nonce.encode()}
        location = (alice.ask(f"https://{ORIGIN}/").field(b"location") or b"").decode()
        assert parse_qs(urlsplit(location).query)["nonce"] != [hash_nonce(nonce)]
        alice.jar[ORIGIN] = {b"__Host-Http-supercloud-nonce": nonce.encode()}
        query = urlencode({"to": ORIGIN, "next": "/", "nonce": hash_nonce(nonce)})
        enter = alice.ask(f"https://portal.test/.portal/ticket?{query}").field(b"location")
        stolen = alice.ask((enter or b"").decode())
        assert not any(b"supercloud=" in value for value in stolen.fields(b"set-cookie"))


def test_a_session_for_another_owner_is_none(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"GET / HTTP/1.1\r\nHost: " + ORIGIN.encode() + b"\r\n" + PAGE
                 + portal.cookie(ALICE, origin=ORIGIN, owner=1002) + b"\r\n")  # fmt: skip
    assert browser.status == 303
    assert (browser.field(b"location") or b"").startswith(b"https://portal.test/.portal/ticket?")
    assert portal.dialer.dialled == []


APART = [
    (f"/fw2/localhost:{PORT}/a?b=c", f"https://{ORIGIN}/a?b=c", f"/fw2/localhost:{PORT}/a?b=c"),
    (f"/rnode/localhost/{PORT}/a", f"https://{ORIGIN}/a", f"/rnode/localhost/{PORT}/a"),
    (f"/node/localhost/{PORT}/a", f"https://{ORIGIN}/node/localhost/{PORT}/a", f"/node/localhost/{PORT}/a"),
    ("/fw/alice-tb/a", "https://alice-tb-u1001.fn.portal.test/a", "/fw/alice-tb/a"),
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("path", "own", "_"), APART)
def test_a_prefix_on_the_portals_origin_leads_to_the_applications_own(
    portal: FakePortal, path: str, own: str, _: str, method: str
) -> None:
    """Nothing of an application's is shown here: a page could act as its viewer."""
    browser = portal.browser()
    browser.send(get(portal, path.encode(), origin="portal.test").replace(b"GET", method.encode(), 1))
    assert (browser.status, browser.field(b"location")) == (307, own.encode())
    assert portal.dialer.dialled == []


@pytest.mark.parametrize(("path", "_", "together"), APART)
def test_without_wildcards_it_leads_to_the_host_of_applications(path: str, _: str, together: str) -> None:
    portal = FakePortal(has_wildcards=False)
    browser = portal.browser()
    browser.send(get(portal, path.encode(), origin="portal.test"))
    assert (browser.status, browser.field(b"location")) == (307, f"https://{TOGETHER}{together}".encode())


@pytest.mark.parametrize(("path", "_", "together"), APART)
def test_without_a_host_for_them_it_leads_to_their_port(path: str, _: str, together: str) -> None:
    portal = FakePortal(has_wildcards=False, shared_host="", shared_ports=(8444,))
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/")
    browser = portal.browser()
    browser.send(get(portal, path.encode(), origin="portal.test"))
    assert browser.field(b"location") == f"https://portal.test:8444{together}".encode()
    alice = Person(portal, ALICE)
    page = alice.visit(f"https://portal.test{path}")
    assert page.status == 200  # what others left is cleared
    alice.ask(f"https://portal.test:8444{together}")
    assert len(portal.dialer) == 1


@pytest.mark.parametrize(("path", "_own", "_together"), APART)
def test_where_there_is_no_place_for_them_none_is_shown(path: str, _own: str, _together: str) -> None:
    portal = FakePortal(has_wildcards=False, shared_host="")
    browser = Person(portal, ALICE).ask(f"https://portal.test{path}")
    assert browser.status == 403
    assert b"/.portal/origins" in browser.received
    assert portal.dialer.dialled == []


def test_a_port_for_applications_takes_no_session_of_the_portals_and_gives_it_none() -> None:
    """Browsers keep the cookies of a host for all its ports."""
    portal = FakePortal(has_wildcards=False, shared_host="", shared_ports=(8444,))
    apps = "portal.test:8444"
    both = portal.cookie().replace(b"\r\n", b"; ") + portal.cookie(origin=apps).removeprefix(b"Cookie: ")
    for host, cookies, status in (
        (apps, portal.cookie(), 303),
        (apps, portal.cookie().replace(b"supercloud=", b"supercloud-apps="), 303),
        ("portal.test", portal.cookie(origin=apps), 303),
        ("portal.test", portal.cookie(origin=apps).replace(b"supercloud-apps=", b"supercloud="), 303),
        (apps, both, 0),
        ("portal.test", both, 307),
    ):
        browser = portal.browser()
        request = f"GET /fw2/localhost:{PORT}/ HTTP/1.1\r\nHost: {host}\r\n".encode() + PAGE + cookies + b"\r\n"
        browser.send(request)
        assert browser.status == status, (host, cookies)
    assert b"supercloud" not in portal.dialer.received.partition(b"Via:")[0].replace(b"supercloud-test", b"")


def test_a_page_beside_the_portals_port_is_another_origin() -> None:
    portal = FakePortal(has_wildcards=False, shared_host="", shared_ports=(8444,))
    for extra in (b"Sec-Fetch-Site: same-site\r\n", b"Origin: https://portal.test:8444\r\n"):
        for path in (b"/dav/~/x", b"/api/jobs", b"/tokens", b"/"):
            browser = portal.browser()
            browser.send(get(portal, path, extra, origin="portal.test"))
            assert browser.status == 403
    assert not portal.workers.in_use


@pytest.mark.parametrize("host", ["portal.test", TOGETHER, f"localhost-{PORT}.fh.portal.test"])
def test_a_service_worker_that_was_left_where_several_people_are_is_ended(portal: FakePortal, host: str) -> None:
    """It outlives the first person's session, and acts with the next one's."""
    browser = portal.browser()
    extra = b"Service-Worker: script\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: serviceworker\r\n"
    browser.send(get(portal, f"/fw2/localhost:{PORT}/sw.js".encode(), extra, origin=host))
    assert browser.status == 200
    assert b"registration.unregister()" in browser.received
    assert browser.field(b"content-type") == b"text/javascript; charset=utf-8"
    assert portal.dialer.dialled == []


def test_a_program_with_a_token_gets_what_no_browser_could_run() -> None:
    portal = FakePortal(takes_programs=True)
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/")
    shown = bearer(portal.token(ALICE, forward_scope("alice-tb")))
    for host, path in (("portal.test", "/fw/alice-tb/"), ("alice-tb.fn.portal.test", "/")):
        browser = portal.browser()
        browser.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n".encode() + shown + b"\r\n")
        portal.dialer[0].send(OK.replace(b"\r\n\r\n", b"\r\nCache-Control: max-age=9\r\n\r\n"))
        assert browser.status == 200
        assert b"sandbox" in browser.fields(b"content-security-policy")
        assert browser.fields(b"cache-control") == [b"no-store"]
        assert browser.field(b"x-content-type-options") == b"nosniff"
        browser = portal.browser()
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: none\r\n"
        browser.send(request.encode() + shown + b"\r\n")
        assert browser.status in (401, 307), "a browser's is not looked at"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("page", [PAGE, b""])
def test_a_label_without_an_owner_leads_to_the_owners(portal: FakePortal, method: bytes, page: bytes) -> None:
    browser = portal.browser()
    host = f"localhost-{PORT}.fh.portal.test"
    browser.send(get(portal, b"/a?b", page, origin=host).replace(b"GET", method, 1))
    assert browser.status == (303 if page and method == b"GET" else 307)
    ticket = f"https://portal.test/.portal/ticket?to={host}&next=%2Fa%3Fb"
    assert browser.field(b"location") == ticket.encode()
    browser = portal.browser()
    target = ticket.removeprefix("https://portal.test").encode()
    browser.send(get(portal, target, page, origin="portal.test").replace(b"GET", method, 1))
    assert browser.status == (303 if method == b"GET" else 307)
    assert browser.field(b"location") == f"https://{ORIGIN}/a?b".encode()


def test_somebody_elses_is_never_where_the_viewers_own_are_together(portal: FakePortal) -> None:
    bob = Person(portal, BOB)
    path = f"/fw2/localhost:{SHARED_PORT}/a"
    browser = bob.ask(f"https://{TOGETHER}{path}?b=c")
    assert (browser.status, browser.field(b"location")) == (303, f"https://{LABELLED}/a?b=c".encode())
    assert bob.ask(f"https://{TOGETHER}{path}", b"Sec-Fetch-Site: same-origin\r\n").status == 404
    portal.hosts.has_wildcards = False
    refused = bob.ask(f"https://{TOGETHER}{path}")
    assert refused.status == 403
    assert b"somebody else" in refused.received
    assert portal.dialer.dialled == []


def test_a_link_of_another_site_to_where_applications_are_together_asks_first(portal: FakePortal) -> None:
    """What it opens could act on the others there: whoever wrote that page would have them all."""
    alice, path = Person(portal, ALICE), f"/fw2/localhost:{PORT}/evil.html"
    led = PAGE.replace(b"none", b"cross-site")
    for url in (f"https://{TOGETHER}{path}", f"https://portal.test{path}"):
        browser = alice.ask(url, led)
        if url.startswith("https://portal.test"):
            portal.hosts.has_wildcards = False
            url = (alice.ask(url, led).field(b"location") or b"").decode()
            browser = alice.ask(url, led)
        assert browser.status == 403
        assert f'href="https://{TOGETHER}{path}"'.encode() in browser.received
        assert portal.dialer.dialled == []
    alice.ask(f"https://{TOGETHER}{path}", PAGE.replace(b"none", b"same-origin"))
    assert portal.dialer.received.startswith(b"GET /evil.html ")


@pytest.mark.parametrize(
    "referer", [b"", b"Referer: https://people.test/~bob/\r\n", b"Referer: https://portal.test.evil.test/\r\n",
                b"Referer: https://" + LABELLED.encode() + b"/\r\n"],
)  # fmt: skip
def test_so_does_a_link_of_the_same_sites_but_for_the_portals_own_pages(portal: FakePortal, referer: bytes) -> None:
    """People's home pages and others' applications are one site with the portal to a browser."""
    alice, path = Person(portal, ALICE), f"/fw2/localhost:{PORT}/evil.html"
    led = PAGE.replace(b"none", b"same-site")
    browser = alice.ask(f"https://{TOGETHER}{path}", led + referer)
    assert browser.status == 403
    assert f'href="https://{TOGETHER}{path}"'.encode() in browser.received
    assert portal.dialer.dialled == []
    own = b"Referer: https://portal.test/\r\n"
    assert alice.ask("https://portal.test/open/42", led + own).status == 403  # nothing else is opened by it
    alice.ask(f"https://{TOGETHER}{path}", led + own)
    assert alice.ask("https://portal.test/login").field(b"Referrer-Policy") == b"strict-origin-when-cross-origin"
    assert alice.ask(f"https://{TOGETHER}{path}", PAGE.replace(b"none", b"cross-site") + own).status == 403


@pytest.mark.parametrize("site", [b"cross-site", b"same-site"])
@pytest.mark.parametrize("start", ["https://apps.portal.test/.portal/enter?", "https://portal.test/.portal/ticket?"
                                   f"to={TOGETHER}&nonce={'n' * 43}&"])  # fmt: skip
def test_an_entrance_leads_nobody_there_by_itself_whom_another_site_led(
    portal: FakePortal, start: str, site: bytes
) -> None:
    """What a page of an origin's own leads to comes from there, whoever led to the page."""
    alice, path = Person(portal, ALICE), f"/fw2/localhost:{PORT}/evil.html"
    alice.jar[TOGETHER].clear()
    url, browser = f"{start}next={path}", None
    for _ in range(6):
        browser = alice.ask(url, PAGE.replace(b"none", site))
        if (location := browser.field(b"location")) is None:
            break
        url = location.decode()
    assert browser is not None
    assert browser.status == 200
    assert browser.field(b"clear-site-data")
    assert b'http-equiv="refresh"' not in browser.received
    assert f'href="{path}"'.encode() in browser.received
    assert portal.dialer.dialled == []


def test_who_went_on_by_a_click_is_not_asked_again_behind_the_ticket(portal: FakePortal) -> None:
    alice, url = Person(portal, ALICE), f"https://{TOGETHER}/fw2/localhost:{PORT}/x"
    led = PAGE.replace(b"none", b"same-site") + f"Referer: https://{TOGETHER}/\r\n".encode()
    alice.jar[TOGETHER].clear()
    ticket = alice.ask(url, PAGE.replace(b"none", b"same-origin")).field(b"location") or b""
    enter = alice.ask(ticket.decode(), led).field(b"location") or b""
    assert b'http-equiv="refresh"' in alice.ask(enter.decode(), led).received
    alice.ask(url, led)
    assert portal.dialer.received.startswith(b"GET /x ")


def test_a_site_may_allow_it_by_name() -> None:
    portal = FakePortal(paths_for_others=frozenset({"localhost"}))
    bob = Person(portal, BOB)
    browser = bob.ask(f"https://{TOGETHER}/fw2/localhost:{SHARED_PORT}/")
    portal.dialer[0].send(OK)
    assert browser.status == 200
    assert browser.field(b"cache-control") == b"no-store"


def test_a_site_may_have_the_viewers_own_on_the_portals_origin_by_name() -> None:
    portal = FakePortal(has_wildcards=False, shared_host="", serves_prefixes=True)
    alice, bob = Person(portal, ALICE), Person(portal, BOB)
    browser = alice.ask(f"https://portal.test/fw2/localhost:{SHARED_PORT}/")
    portal.dialer[0].send(OK)
    assert browser.status == 200
    assert bob.ask(f"https://portal.test/fw2/localhost:{SHARED_PORT}/").status == 403
    assert len(portal.dialer) == 1


@pytest.mark.parametrize(
    "field", [b"Clear-Site-Data", b"Strict-Transport-Security", b"Alt-Svc", b"NEL", b"Reporting-Endpoints",
              b"Service-Worker-Allowed"],
)  # fmt: skip
def test_what_speaks_for_a_whole_origin_does_not_pass_where_several_are(portal: FakePortal, field: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, f"/fw2/localhost:{PORT}/".encode(), origin=TOGETHER))
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
