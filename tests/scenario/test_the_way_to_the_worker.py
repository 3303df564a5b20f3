"""What leads to the viewer's own worker, what it is told, and what it may say."""

from __future__ import annotations

import pytest

from supercloud.errors import NoWorker
from supercloud.monitor.wire import WorkerRefused
from tests.fakes.accounts import BOB
from tests.fakes.portal import OK, Browser, FakePortal, requests_in

HOST = "portal.test"


def dav(portal: FakePortal, path: bytes = b"/dav/x", extra: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: portal.test\r\n" + extra + portal.cookie() + b"\r\n"


@pytest.fixture
def browser(portal: FakePortal) -> Browser:
    return portal.browser()


def test_the_worker_gets_what_the_browser_wrote(portal: FakePortal, browser: Browser) -> None:
    extra = b"Destination: https://portal.test/dav/y\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 6.6.6.6\r\nDepth: 0\r\n"
    browser.send(dav(portal, b"/dav/a%20b?q=1", extra, b"MOVE"))
    [(request, _)] = requests_in(portal.worker_dialer[0].take())
    fields = dict(request.headers)
    assert (request.method, request.target) == (b"MOVE", b"/dav/a%20b?q=1")
    assert fields[b"host"] == b"portal.test"
    assert fields[b"destination"] == b"https://portal.test/dav/y"
    assert fields[b"x-forwarded-proto"] == b"https"
    assert fields[b"depth"] == b"0"
    assert b"x-real-ip" not in fields
    assert portal.worker_dialer.dialled == [("/run/1001-1.sock", 1001)]


def test_it_is_told_no_credential(portal: FakePortal, browser: Browser) -> None:
    extra = b"Authorization: Basic YTpi\r\nX-Supercloud-Authorization: Bearer x\r\nX-Supercloud-User: bob\r\n"
    browser.send(dav(portal, extra=extra + b"Cookie: of_an_application=1\r\n"))
    sent = portal.worker_dialer[0].take().lower()
    assert b"authorization" not in sent
    assert b"cookie" not in sent
    assert b"x-supercloud" not in sent


def test_its_answer_binds_nothing(portal: FakePortal, browser: Browser) -> None:
    browser.send(dav(portal))
    portal.worker_dialer[0].send(
        b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: __Host-Http-supercloud=x\r\nClear-Site-Data: "*"\r\n'
        b'Service-Worker-Allowed: /\r\nStrict-Transport-Security: max-age=0\r\nETag: "a"\r\nDAV: 1, 2, 3\r\n\r\nok'
    )
    assert browser.status == 200
    for name in (b"Set-Cookie", b"Clear-Site-Data", b"Service-Worker-Allowed", b"Strict-Transport-Security"):
        assert browser.field(name) is None
    assert browser.field(b"ETag") == b'"a"'
    assert browser.field(b"DAV") == b"1, 2, 3"
    assert browser.field(b"Cross-Origin-Resource-Policy") == b"same-origin"


def test_without_a_session_there_is_no_worker(portal: FakePortal, browser: Browser) -> None:
    browser.send(b"PROPFIND /dav/ HTTP/1.1\r\nHost: portal.test\r\nDepth: 1\r\n\r\n")
    assert browser.status == 401
    assert portal.monitor.started == []


@pytest.mark.parametrize(
    "extra",
    [
        b"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n",
        b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
        b"Origin: https://localhost-8080-u1001.fh.portal.test\r\n",
        b"Origin: null\r\n",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"MOVE", b"POST"])
def test_another_origins_page_reaches_nobodys_files(
    portal: FakePortal, browser: Browser, extra: bytes, method: bytes
) -> None:
    browser.send(dav(portal, extra=extra, method=method))
    assert browser.status == 403
    assert portal.monitor.started == []


@pytest.mark.parametrize("path", [b"/davx", b"/DAV/", b"/%64av/", b"//dav/", b"/./dav/x", b"/x/../dav/"])
def test_other_spellings_lead_to_no_worker(portal: FakePortal, browser: Browser, path: bytes) -> None:
    browser.send(dav(portal, path))
    assert browser.status in (400, 404)
    assert portal.monitor.started == []


def test_applications_origins_have_no_files(portal: FakePortal, browser: Browser) -> None:
    origin = "localhost-8080-u1001.fh.portal.test"
    browser.send(b"GET /dav/x HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n" + portal.cookie(origin=origin) + b"\r\n")
    assert portal.monitor.started == []
    assert portal.dialer[0].received.startswith(b"GET /dav/x ")  # the application's own path


def test_nobody_is_carried_on_somebody_elses_connection(portal: FakePortal, browser: Browser) -> None:
    browser.send(dav(portal))
    portal.worker_dialer[0].send(OK)
    browser.take()
    browser.send(b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie(BOB) + b"\r\n")
    assert portal.worker_dialer.dialled == [("/run/1001-1.sock", 1001), ("/run/1002-2.sock", 1002)]
    assert len(portal.worker_dialer[1].take()) > 0


def test_a_kept_connection_is_used_again(portal: FakePortal, browser: Browser) -> None:
    for _ in range(3):
        browser.send(dav(portal))
        portal.worker_dialer[0].send(OK)
        assert browser.status == 200
        browser.take()
    assert len(portal.worker_dialer) == 1
    assert [line["rule"] for line in portal.lines()] == ["connection", "kept", "kept"]
    assert {line["target"] for line in portal.lines()} == {"worker"}


def test_a_connection_to_a_worker_that_is_gone_is_not_used(portal: FakePortal, browser: Browser) -> None:
    browser.send(dav(portal))
    portal.worker_dialer[0].send(OK)
    browser.take()
    portal.workers.ended(1, "signal 9")
    browser.send(dav(portal))
    assert portal.worker_dialer.dialled[-1] == ("/run/1001-2.sock", 1001)


def test_a_kept_connection_that_closes_is_tried_once_more_for_what_may_be_repeated(
    portal: FakePortal, browser: Browser
) -> None:
    browser.send(dav(portal))
    portal.worker_dialer[0].send(OK)
    browser.take()
    browser.send(dav(portal, method=b"PROPFIND"))
    portal.worker_dialer[0].die()
    portal.worker_dialer[1].send(OK)
    assert browser.status == 200
    one = next(iter(portal.workers._all))
    assert one.facts.in_use == 0


def test_a_crash_costs_its_own_request(portal: FakePortal, browser: Browser) -> None:
    other = portal.browser()
    browser.send(dav(portal))
    other.send(dav(portal, b"/dav/other"))
    portal.worker_dialer[0].die()
    portal.worker_dialer[1].send(OK)
    assert browser.status == 502
    assert other.status == 200


def test_who_may_have_no_worker_is_told_why(portal: FakePortal, browser: Browser) -> None:
    portal.monitor.refuses = WorkerRefused(1, "expired", "shadow says so")
    browser.send(dav(portal))
    assert browser.status == 403
    assert b"expired" in browser.received
    assert b"shadow" not in browser.received


def test_a_worker_that_is_not_its_account_gets_nothing(portal: FakePortal, browser: Browser) -> None:
    portal.worker_dialer.refuses = NoWorker("uid 1003 listens where the worker of uid 1001 should")
    browser.send(dav(portal))
    assert browser.status == 503
    assert b"1003" not in browser.received
    assert portal.workers_pool.open_connections == 0


def test_who_leaves_while_it_starts_leaves_nothing_in_use(portal: FakePortal, browser: Browser) -> None:
    portal.monitor.is_slow = True
    browser.send(dav(portal))
    browser.leave()
    portal.monitor.answer()
    [one] = portal.workers._all
    assert one.facts.in_use == 0
    assert len(portal.worker_dialer) == 0


def test_a_body_streams_to_it(portal: FakePortal, browser: Browser) -> None:
    browser.send(dav(portal, method=b"PUT", extra=b"Content-Length: 6\r\n") + b"abc")
    worker = portal.worker_dialer[0]
    assert worker.received.endswith(b"\r\n\r\nabc")
    browser.send(b"def")
    [(_, body)] = requests_in(worker.take())
    assert body == b"abcdef"
    worker.send(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    assert browser.status == 201
