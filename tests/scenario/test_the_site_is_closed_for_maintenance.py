"""Maintenance: nobody begins anything, by whatever way; what is under way goes on; one can still sign out."""

from __future__ import annotations

import pytest

from supercloud.authn.notices import Maintenance, Notice, Notices
from tests.fakes.accounts import ALICE
from tests.fakes.portal import OK, PORT, FakePortal, basic, get
from tests.scenario.person import PAGE, Person
from tests.scenario.running import ask, session_of, stream

CLOSED = Notices(maintenance=Maintenance(text="Back at <six>."))


def close(portal: FakePortal, *allow: str) -> None:
    portal.board._notices = Notices(maintenance=Maintenance(text="Back at <six>.", allow=allow))


@pytest.mark.parametrize("path", ["/", "/dav/~/", "/api/jobs", f"/fw2/localhost:{PORT}/", "/tokens", "/open/", "/jobs"])
def test_whoever_is_signed_in_begins_nothing(path: str) -> None:
    portal = FakePortal(takes_programs=True)
    close(portal)
    browser = Person(portal, ALICE).ask(f"https://portal.test{path}")
    assert browser.status == 503
    assert browser.field(b"retry-after") == b"3600"
    assert b"closed for maintenance. Back at &lt;six&gt;." in browser.received
    assert not portal.dialer.upstreams
    assert not portal.worker_dialer.upstreams


def test_a_kept_connection_on_a_trodden_way_begins_nothing_either(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/first"))
    portal.dialer[-1].send(OK)
    assert browser.status == 200
    browser.take()
    close(portal)
    browser.send(get(portal, b"/second"))
    assert (browser.status, portal.dialer[-1].received.count(b"GET ")) == (503, 1)
    browser.take()
    portal.board._notices = Notices()
    browser.send(get(portal, b"/third"))
    portal.dialer[-1].send(OK)
    assert browser.status == 200


def test_what_is_under_way_goes_on(portal: FakePortal) -> None:
    _, field = session_of(portal)
    browser, upstream = stream(portal, ask(field))
    close(portal)
    portal.clock.pump([0.5] * 10)
    upstream.send(b"4\r\nmore\r\n0\r\n\r\n")
    assert browser.received.endswith(b"0\r\n\r\n")


def test_whom_the_site_names_works_on(portal: FakePortal) -> None:
    close(portal, "alice")
    browser = portal.browser()
    browser.send(get(portal, b"/"))
    portal.dialer[-1].send(OK)
    assert browser.status == 200


def test_one_can_sign_out(portal: FakePortal) -> None:
    close(portal)
    browser = portal.browser()
    _, field = session_of(portal, "portal.test")
    browser.send(b"POST /logout HTTP/1.1\r\nHost: portal.test\r\nContent-Length: 0\r\n" + field + b"\r\n")
    assert browser.status == 200
    portal.board._notices = Notices()
    again = portal.browser()
    again.send(b"GET /jobs HTTP/1.1\r\nHost: portal.test\r\n" + field + b"\r\n")
    assert again.status == 401


def test_a_right_password_lets_nobody_in_but_is_not_called_wrong() -> None:
    portal = FakePortal(takes_programs=True)
    close(portal)
    form = b"login=alice&password=alice-secret&next=%2F"
    browser = portal.browser()
    browser.send(
        b"POST /login HTTP/1.1\r\nHost: portal.test\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(form), form)
    )
    assert browser.status == 503
    assert b"Set-Cookie" not in browser.received
    assert b"Back at &lt;six&gt;." in browser.received
    program = portal.browser()
    program.send(b"GET /api/jobs HTTP/1.1\r\nHost: portal.test\r\n" + basic("alice", "alice-secret") + b"\r\n")
    assert program.status == 503
    assert b"closed for maintenance. Back at <six>." in program.received


def test_the_sign_in_page_says_so_to_everybody(portal: FakePortal) -> None:
    portal.board._notices = Notices(notice=(Notice(text="Slow."),), maintenance=CLOSED.maintenance)
    browser = portal.browser()
    browser.send(b"GET /login HTTP/1.1\r\nHost: portal.test\r\n" + PAGE + b"\r\n")
    assert browser.status == 401
    assert b'<p class="notice warning">Closed for maintenance. Back at &lt;six&gt;.</p>' in browser.received
    assert b'<p class="notice info">Slow.</p>' in browser.received


def test_pages_are_told_by_the_front_alone(portal: FakePortal) -> None:
    portal.board._notices = Notices(notice=(Notice(text="Slow."),))
    browser = portal.browser()
    browser.send(get(portal, b"/jobs", b"Supercloud-Notices: forged\r\n", origin="portal.test"))
    received = portal.worker_dialer[-1].received
    assert received.lower().count(b"supercloud-notices:") == 1
    assert b"forged" not in received
    assert b"Slow." in received
    files = portal.browser()
    files.send(get(portal, b"/dav/~/", b"Supercloud-Notices: forged\r\n", origin="portal.test"))
    assert b"supercloud-notices" not in portal.worker_dialer[-1].received.lower().split(b"get /dav/", 1)[1]
