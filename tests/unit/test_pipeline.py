"""The stages' order; whole stories are in tests/scenario."""

from __future__ import annotations

from tests.fakes.accounts import BOB
from tests.fakes.portal import OK, TOGETHER, FakePortal, get


def test_each_stage_is_asked_in_its_order() -> None:
    portal = FakePortal()
    portal.browser().send(get(portal))
    assert [what for what, _, _ in portal.owners.asked] == ["listener", "connection"]
    assert portal.dialer.dialled == [("127.0.0.1", 8080)]
    assert portal.dialer.received.startswith(b"GET / ")


def test_a_kept_connection_asks_nobody_again() -> None:
    portal = FakePortal()
    browser = portal.browser()
    for _ in range(3):
        browser.send(get(portal))
        portal.dialer[0].send(OK)
    assert len(portal.owners.asked) == 2
    assert [line["rule"] for line in portal.lines()] == ["connection", "kept", "kept"]


def test_a_path_without_its_slash_is_sent_to_the_one_with_it() -> None:
    portal = FakePortal()
    browser = portal.browser()
    browser.send(get(portal, b"/fw2/localhost:8080?x=y", origin=TOGETHER))
    assert browser.status == 308
    assert browser.field(b"location") == b"https://apps.portal.test/fw2/localhost:8080/?x=y"


def test_somebody_elses_application_is_refused_with_what_the_site_lacks() -> None:
    portal = FakePortal(has_wildcards=False)
    browser = portal.browser()
    cookie = portal.cookie(BOB, origin=TOGETHER)
    browser.send(b"GET /fw2/localhost:9191/ HTTP/1.1\r\nHost: apps.portal.test\r\n" + cookie + b"\r\n")
    assert browser.status == 403
    assert b"*.fh and *.fn" in browser.received


def test_one_connection_may_lead_to_several_applications() -> None:
    portal = FakePortal()
    browser = portal.browser()
    for path in (b"/fw2/localhost:8080/a", b"/fw2/localhost:9191/b", b"/node/localhost/8080/c", b"/x"):
        browser.send(get(portal, path, origin=TOGETHER))
        for upstream in portal.dialer:
            if upstream.take():
                upstream.send(OK)
    assert [line["target"] for line in portal.lines()] == ["localhost:8080", "localhost:9191", "localhost:8080", ""]


def test_a_mistake_of_the_portals_own_is_a_500_that_tells_nothing() -> None:
    from twisted.logger import globalLogPublisher

    logged: list[object] = []
    globalLogPublisher.addObserver(logged.append)
    portal = FakePortal()
    portal.owners.before_connection = lambda: 1 / 0
    browser = portal.browser()
    browser.send(get(portal))
    globalLogPublisher.removeObserver(logged.append)
    assert browser.status == 500
    assert b"ZeroDivision" not in browser.received
    assert len(logged) == 1
    assert portal.pool.open_connections == 0
