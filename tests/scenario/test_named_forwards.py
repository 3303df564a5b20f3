"""Named forwards through the whole front: whose they are, where they lead, and what is told to whom."""

from __future__ import annotations

import pytest

from supercloud.authn.scope import DAV, forward_scope
from supercloud.errors import NotFound, Unreachable
from supercloud.ownership.rule import SocketOwner
from tests.fakes.accounts import ALICE, BOB, CAROL
from tests.fakes.portal import HIS_PORT, OK, PORT, TOGETHER, Browser, FakePortal, basic, bearer
from tests.scenario.person import PAGE, Person

OWN = "https://alice-tb-u1001.fn.portal.test"
PATH = "https://apps.portal.test/fw/alice-tb"


@pytest.fixture
def alice(portal: FakePortal) -> Person:
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/\n")
    return Person(portal, ALICE)


def text_of(browser: Browser) -> str:
    return browser.received.partition(b"\r\n\r\n")[2].decode()


def test_a_forward_leads_its_owner_to_her_application(portal: FakePortal, alice: Person) -> None:
    browser = alice.ask(f"{PATH}/lab?x=1")
    assert portal.dialer.received.startswith(b"GET /lab?x=1 HTTP/1.1\r\nHost: localhost:8080\r\n")
    portal.dialer[0].send(OK)
    assert browser.status == 200


def test_a_forward_has_an_origin_of_its_own(portal: FakePortal, alice: Person) -> None:
    alice.visit(f"{OWN}/lab?x=1")
    assert alice.visited[-1] == f"{OWN}/lab?x=1"
    assert portal.dialer.received.startswith(b"GET /lab?x=1 ")


def test_the_slash_behind_the_name_is_added(alice: Person) -> None:
    assert alice.ask(f"{PATH}?x=1").field(b"location") == f"{PATH}/?x=1".encode()


def test_a_path_in_the_file_is_the_forwards_root(portal: FakePortal, alice: Person) -> None:
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/playground/")
    browser = alice.ask(f"{PATH}/a", PAGE + f"Referer: {PATH}/b\r\n".encode())
    received = portal.dialer.received
    assert received.startswith(b"GET /playground/a ")
    assert b"\r\nReferer: http://localhost:8080/playground/b\r\n" in received
    portal.dialer[0].send(
        b"HTTP/1.1 302 Found\r\nLocation: /playground/login\r\nSet-Cookie: a=b; Path=/playground\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert browser.field(b"location") == b"/fw/alice-tb/login"
    assert browser.field(b"set-cookie") == b"a=b; Path=/fw/alice-tb/"


def test_a_login_in_the_file_is_told_to_the_application_and_to_nobody_else(portal: FakePortal, alice: Person) -> None:
    portal.forwards.write("alice-tb", f"http://jim:sesame@localhost:{PORT}/")
    alice.ask(f"{PATH}/", PAGE + basic("x", "y"))
    assert portal.dialer.received.count(b"Authorization: ") == 1
    assert basic("jim", "sesame") in portal.dialer.received
    assert "sesame" not in str(portal.lines())


def test_bob_may_not_execute_the_file_so_there_is_none(portal: FakePortal, alice: Person) -> None:
    bob = Person(portal, BOB)
    for url in (f"{PATH}/", f"{OWN}/", f"https://alice-tb-u{ALICE.uid}.fn.portal.test/"):
        browser = bob.visit(url)
        assert browser.status == 404
        assert "alice" not in text_of(browser)
    assert portal.dialer.dialled == []
    assert portal.forwards.read == [], "whoever may not execute it has nothing read"


def test_whoever_may_execute_the_file_sees_the_application_at_its_owners_label(
    portal: FakePortal, alice: Person
) -> None:
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/", executors=(ALICE.uid, CAROL.uid))
    carol = Person(portal, CAROL)
    browser = carol.visit(f"{PATH}/lab")
    assert carol.visited[-1] == f"https://alice-tb-u{ALICE.uid}.fn.portal.test/lab"
    portal.dialer[0].send(OK)
    assert browser.status == 200
    assert browser.fields(b"cache-control") == [b"no-store"]


def test_a_forward_opens_itself_only_and_not_the_port_behind_it(portal: FakePortal, alice: Person) -> None:
    """A connection that was verified for a forward is in no pool of another address."""
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/", executors=(ALICE.uid, CAROL.uid))
    carol = Person(portal, CAROL)
    browser = carol.visit(f"{OWN}/")
    portal.dialer[0].send(OK)
    assert browser.status == 200
    for url in (f"https://portal.test/fw2/localhost:{PORT}/", f"https://localhost-{PORT}-u1001.fh.portal.test/"):
        assert carol.visit(url).status == 404
    assert len(portal.dialer) == 1


def test_alices_forward_does_not_lead_to_bobs_listener(portal: FakePortal, alice: Person) -> None:
    portal.forwards.write("alice-tb", f"http://localhost:{HIS_PORT}/")
    browser = alice.ask(f"{PATH}/")
    assert browser.status == 404
    assert "bob" not in text_of(browser) and "1002" not in text_of(browser)
    assert portal.dialer.dialled == []
    assert "uid 1002" in portal.lines()[-1]["reason"]


def test_a_takeover_of_the_port_between_asking_and_connecting_gets_no_byte(portal: FakePortal, alice: Person) -> None:
    portal.owners.connections[PORT] = SocketOwner(1002, 1002, 12, 1002, True)
    assert alice.ask(f"{PATH}/").status == 404
    assert portal.dialer.received == b""


def test_a_file_that_others_may_write_leads_nowhere(portal: FakePortal, alice: Person) -> None:
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/", mode=0o722, gid=2000)
    assert alice.ask(f"{PATH}/").status == 404
    assert portal.dialer.dialled == []


def test_the_portals_own_listener_is_no_target_even_for_what_root_publishes() -> None:
    portal = FakePortal(own=(("127.0.0.1", PORT), ("::1", PORT)))
    portal.forwards.write("site", f"http://localhost:{PORT}/", uid=0, executors=(ALICE.uid,), mode=0o1755)
    assert Person(portal, ALICE).visit("https://site.fn.portal.test/").status == 404
    assert portal.dialer.dialled == []


def test_a_service_that_root_publishes_is_at_the_label_of_whoever_holds_it(portal: FakePortal) -> None:
    portal.forwards.write("wiki", f"http://localhost:{HIS_PORT}/", uid=0, executors=(ALICE.uid,), mode=0o1755)
    alice = Person(portal, ALICE)
    alice.visit("https://wiki.fn.portal.test/")
    assert alice.visited[-1] == "https://wiki-u1002.fn.portal.test/"
    assert portal.dialer.received.startswith(b"GET / ")


def test_her_own_forward_to_bobs_shared_listener_is_not_shown_under_the_portals_origin(portal: FakePortal) -> None:
    """The file is hers, the pages are his: they live where nothing of hers does."""
    portal.owners.listeners[HIS_PORT] = SocketOwner(1002, 2000, 12, 1002, True)
    portal.forwards.write("team", f"http://localhost:{HIS_PORT}/", gid=2000)
    alice = Person(portal, ALICE)
    alice.visit("https://portal.test/fw/team/")
    assert alice.visited[-1] == "https://team-u1002.fn.portal.test/"


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"executors": frozenset()}, 410, "chmod u+x /forwards/alice-tb"),
        ({"data": b""}, 410, "echo http://NODE:PORT/ &gt; /forwards/alice-tb"),
        ({"data": b"\n\n"}, 410, "is empty"),
        ({"data": b"hello\n"}, 502, "the line is not a URL"),
        ({"data": b"http://localhost:8080/\nhttp://localhost:/\n"}, 502, "its last line has no port"),
        ({"data": b"http://elsewhere:8080/\n"}, 502, "no node and port of this cluster"),
        ({"data": b"http://localhost:80/\n"}, 502, "no node and port of this cluster"),
        ({"data": b"http://localhost:7777/\n"}, 503, "localhost:7777, where nothing listens yet"),
        ({"data": b"http://x:1/\nhttp://localhost:7777/\n"}, 503, "several lines; the last one is used"),
        ({"outcome": "several-names"}, 502, "rm /forwards/alice-tb"),
        ({"outcome": "unreadable"}, 502, "chmod u+r /forwards/alice-tb"),
        ({"outcome": "too-long"}, 502, "longer than 1,024 bytes"),
        ({"regular": False}, 502, "rm /forwards/alice-tb"),
    ],
)
def test_what_is_wrong_is_told_to_the_owner_with_what_mends_it(
    portal: FakePortal, alice: Person, change: dict[str, object], status: int, words: str
) -> None:
    portal.forwards.change("alice-tb", **change)
    browser = alice.ask(f"{PATH}/")
    assert (browser.status, words in text_of(browser)) == (status, True), text_of(browser)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"executors": frozenset()}, 404),
        ({"data": b""}, 410),
        ({"data": b"hello\n"}, 404),
        ({"data": b"http://elsewhere:8080/\n"}, 404),
        ({"outcome": "several-names"}, 404),
        ({"regular": False}, 404),
    ],
)
def test_nobody_else_is_told_more_than_that_nothing_is_there(
    portal: FakePortal, alice: Person, change: dict[str, object], status: int
) -> None:
    portal.forwards.change("alice-tb", executors=frozenset({ALICE.uid, BOB.uid}))
    portal.forwards.change("alice-tb", **change)
    browser = Person(portal, BOB).ask(f"{PATH}/")
    assert browser.status == status
    if status == 404:
        assert NotFound.public in text_of(browser)


@pytest.mark.parametrize("outcome", ["slow", "broken", "busy"])
def test_nobody_is_let_in_when_nobody_could_say(portal: FakePortal, alice: Person, outcome: str) -> None:
    portal.forwards.change("alice-tb", outcome=outcome)
    assert alice.ask(f"{PATH}/").status in (502, 503)
    assert portal.dialer.dialled == []


def test_a_file_exchanged_between_the_check_and_the_reading_is_refused(portal: FakePortal, alice: Person) -> None:
    portal.forwards.between = lambda: portal.forwards.change(
        "alice-tb", inode=portal.forwards.files["alice-tb"].inode + 1
    )
    assert alice.ask(f"{PATH}/").status == 404
    assert portal.dialer.dialled == []


def test_a_forward_that_lost_its_x_bit_is_refused_within_a_second(portal: FakePortal, alice: Person) -> None:
    browser = alice.ask(f"{PATH}/")
    portal.dialer[0].send(OK)
    portal.forwards.change("alice-tb", executors=frozenset())
    portal.settle(1.0)
    browser.take()
    browser.send(f"GET /fw/alice-tb/ HTTP/1.1\r\nHost: {TOGETHER}\r\n{alice.cookies(TOGETHER)}\r\n".encode())
    assert browser.status == 410
    assert len(portal.dialer) == 1


def test_a_permit_is_believed_for_a_second_and_a_refusal_never(portal: FakePortal, alice: Person) -> None:
    for _ in range(3):
        alice.ask(f"{PATH}/")
    assert portal.forwards.asked == [(ALICE.uid, "alice-tb")]
    portal.settle(1.0)
    portal.forwards.change("alice-tb", executors=frozenset())
    for _ in range(3):
        assert alice.ask(f"{PATH}/").status == 410
    assert len(portal.forwards.asked) == 4


def test_what_was_believed_of_alice_is_not_of_bob(portal: FakePortal, alice: Person) -> None:
    alice.ask(f"{PATH}/")
    assert Person(portal, BOB).ask(f"{PATH}/").status == 404


def test_requests_at_the_same_time_share_one_question(portal: FakePortal, alice: Person) -> None:
    portal.forwards.waiting = []
    browsers = [alice.ask(f"{PATH}/{number}") for number in range(5)]
    browsers[0].leave()
    [waiting] = portal.forwards.waiting
    waiting.callback(None)
    assert len(portal.dialer) == 4


def test_a_forward_that_leads_elsewhere_takes_no_kept_connection_along(portal: FakePortal, alice: Person) -> None:
    alice.ask(f"{PATH}/")
    portal.dialer[0].send(OK)
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/other/")
    portal.settle(1.0)
    alice.ask(f"{PATH}/")
    assert [one.received.split(b" ")[1] for one in portal.dialer] == [b"/", b"/other/"]


@pytest.mark.parametrize(
    "path",
    [
        "/fw/", "/fw", "/fw/../", "/fw/..", "/fw/.", "/fw//", "/fw/%61lice-tb/", "/fw/alice-tb%2f", "/fw/a%00/",
        "/fw/alice tb/", "/fw/alice-tb;x/", "/fw/" + "a" * 256 + "/", "/fw/.%2e/", "/fw/alice-tb\\x/",
    ],
)  # fmt: skip
def test_a_trick_with_the_name_looks_up_nothing(portal: FakePortal, alice: Person, path: str) -> None:
    assert alice.ask(f"https://portal.test{path}").status in (400, 404)
    assert portal.forwards.asked == []


def test_a_browser_cannot_ask_a_worker_what_only_the_front_asks(portal: FakePortal, alice: Person) -> None:
    browser = portal.browser()
    browser.send(f"SESSION /42 HTTP/1.1\r\nHost: portal.test\r\n{alice.cookies('portal.test')}\r\n".encode())
    assert browser.status == 400
    assert len(portal.worker_dialer) == 0


def program(portal: FakePortal, field: bytes, *, host: str = "portal.test", path: str = "/fw/alice-tb/v1") -> Browser:
    browser = portal.browser()
    browser.send(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n".encode() + field + b"\r\n")
    return browser


@pytest.mark.parametrize("host", ["portal.test", "alice-tb.fn.portal.test"])
def test_a_program_of_bobs_is_let_in_by_a_token_for_the_forward(host: str) -> None:
    portal = FakePortal(takes_programs=True)
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/", executors=(ALICE.uid, BOB.uid))
    token = portal.token(BOB, forward_scope("alice-tb"))
    path = "/fw/alice-tb/v1" if host == "portal.test" else "/v1"
    program(portal, bearer(token), host=host, path=path)
    assert portal.dialer.received.startswith(b"POST /v1 ")
    assert token.encode() not in portal.dialer.received


def test_a_token_for_something_else_opens_no_forward() -> None:
    portal = FakePortal(takes_programs=True)
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/")
    for scope in (DAV, forward_scope("alice-tc")):
        assert program(portal, bearer(portal.token(ALICE, scope))).status == 403
    assert portal.dialer.dialled == []


def test_a_password_is_not_tried_where_it_may_be_meant_for_the_application() -> None:
    portal = FakePortal(takes_programs=True)
    portal.forwards.write("alice-tb", f"http://localhost:{PORT}/")
    assert program(portal, basic("alice", "sesame")).status == 401
    assert portal.password_check.asked == []


def test_an_application_that_speaks_https_is_spoken_to_in_tls(portal: FakePortal, alice: Person) -> None:
    portal.forwards.write("alice-tb", f"https://localhost:{PORT}/")
    alice.ask(f"{PATH}/")
    assert portal.tls.secured == ["localhost"]
    assert portal.dialer.received.startswith(b"GET / ")


def test_nothing_is_sent_where_tls_does_not_come_about(portal: FakePortal, alice: Person) -> None:
    portal.forwards.write("alice-tb", f"https://localhost:{PORT}/")
    portal.tls.refuses = Unreachable("certificate verify failed")
    assert alice.ask(f"{PATH}/").status == 502
    assert portal.dialer.received == b""
    assert portal.pool.open_connections == 0


def test_no_handshake_is_begun_with_somebody_else(portal: FakePortal, alice: Person) -> None:
    portal.forwards.write("alice-tb", f"https://localhost:{PORT}/")
    portal.owners.connections[PORT] = SocketOwner(1002, 1002, 12, 1002, True)
    assert alice.ask(f"{PATH}/").status == 404
    assert portal.tls.secured == []
