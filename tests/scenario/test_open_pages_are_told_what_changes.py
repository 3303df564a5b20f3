"""Live updates: one question for all pages of an account, and nothing left behind."""

from __future__ import annotations

import pytest

from supercloud.monitor.wire import WorkerRefused
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import Browser, FakePortal

HEAD = b"GET /api/events HTTP/1.1\r\nHost: portal.test\r\n"
FETCHED = b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
FIRST = b'event: workspace\ndata: {"n":1}\n\n'


def listen(
    portal: FakePortal, cookie: bytes | None = None, *, room: int | None = None, extra: bytes = FETCHED
) -> Browser:
    browser = portal.browser(room=room)
    browser.send(HEAD + extra + (portal.cookie() if cookie is None else cookie) + b"\r\n")
    return browser


def questions(portal: FakePortal) -> int:
    return sum(one.received.count(b"GET /api/workspace ") for one in portal.worker_dialer.upstreams)


def tell(portal: FakePortal, body: bytes = b'{"n":1}', status: bytes = b"200 OK", which: int = -1) -> None:
    portal.worker_dialer[which].send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


def events(browser: Browser) -> bytes:
    """What was told since the last look, without HTTP's chunks."""
    data, found = browser.take(), b""
    if data.startswith(b"HTTP/1.1"):
        data = data.partition(b"\r\n\r\n")[2]
    while data:
        size, _, rest = data.partition(b"\r\n")
        found, data = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return found


def test_the_first_state_is_told_at_once_and_others_when_they_change(portal: FakePortal) -> None:
    browser = listen(portal)
    assert browser.status == 200
    assert browser.field(b"content-type") == b"text/event-stream"
    assert browser.field(b"cache-control") == b"no-store"
    assert b"sandbox" in (browser.field(b"content-security-policy") or b"")
    tell(portal)
    assert events(browser) == b"retry: 3000\n\n" + FIRST
    portal.settle(2)
    tell(portal)
    assert events(browser) == b""
    portal.settle(2)
    tell(portal, b'{"n":2}')
    assert events(browser) == b'event: workspace\ndata: {"n":2}\n\n'
    assert questions(portal) == 3


def test_one_question_is_for_all_pages_of_an_account(portal: FakePortal) -> None:
    first = listen(portal)
    tell(portal)
    second = listen(portal)
    assert questions(portal) == 1
    assert events(second) == b"retry: 3000\n\n" + FIRST
    events(first)
    portal.settle(2)
    tell(portal, b'{"n":2}')
    assert questions(portal) == 2
    assert events(first) == events(second) == b'event: workspace\ndata: {"n":2}\n\n'


def test_nobody_is_told_of_somebody_elses(portal: FakePortal) -> None:
    alice, bob = listen(portal), listen(portal, portal.cookie(BOB))
    tell(portal, b'{"hers":1}', which=0)
    tell(portal, b'{"his":1}', which=1)
    assert b"his" not in events(alice)
    assert b"hers" not in events(bob)
    assert portal.worker_dialer.dialled == [("/run/1001-1.sock", ALICE.uid), ("/run/1002-2.sock", BOB.uid)]


def test_a_worker_that_is_slow_is_never_asked_twice_at_once(portal: FakePortal) -> None:
    listen(portal)
    portal.settle(2)
    portal.settle(2)
    assert questions(portal) == 1


def test_a_page_that_reads_slowly_gets_the_newest_state_and_no_queue(portal: FakePortal) -> None:
    slow, fast = listen(portal, room=10), listen(portal)
    for number in range(5):
        tell(portal, b'{"n":%d}' % number)
        portal.settle(2)
    assert events(fast).count(b"event:") == 5
    assert events(slow).count(b"event:") == 0
    slow.transport.drain()
    assert events(slow) == b'event: workspace\ndata: {"n":4}\n\n'


def test_silence_is_broken_once_in_a_while(portal: FakePortal) -> None:
    browser = listen(portal)
    tell(portal)
    events(browser)
    for _ in range(8):
        portal.settle(2)
        tell(portal)
    assert events(browser) == b":\n\n"


def test_a_worker_in_trouble_is_told_once_and_asked_less_often(portal: FakePortal) -> None:
    browser = listen(portal)
    tell(portal, b"", b"500 Oops")
    said = events(browser)
    assert said.count(b"event: trouble\n") == 1
    assert b'data: {"message":"' in said
    assert b"500" not in said
    asked: list[int] = []
    for second in range(2, 130, 2):
        portal.settle(2)
        if questions(portal) == len(asked) + 2:
            asked.append(second)
            tell(portal, b"", b"500 Oops")
    assert asked == [4, 12, 28, 58, 88, 118]
    assert b"event" not in events(browser)
    portal.settle(30)
    tell(portal)
    assert events(browser).endswith(FIRST)
    portal.settle(2)
    assert questions(portal) == len(asked) + 3


def test_an_account_that_may_have_no_worker_is_told_so(portal: FakePortal) -> None:
    portal.monitor.refuses = WorkerRefused(1, "expired", "shadow says so")
    said = events(listen(portal))
    assert b"event: trouble\n" in said
    assert b"expired" in said
    assert b"shadow" not in said


def test_lines_of_a_worker_begin_no_event(portal: FakePortal) -> None:
    browser = listen(portal)
    tell(portal, b'{\n"n":\r\n1}\n\nevent: evil\ndata: {}\r\revent: evil')
    said = events(browser)
    assert said.count(b"\n") == 5
    assert b"\r" not in said
    assert said.count(b"\nevent: ") == 1


def test_it_ends_with_the_session(portal: FakePortal) -> None:
    browser = listen(portal)
    tell(portal)
    [session] = portal.sessions._sessions.values()
    session.end("signed out")
    portal.settle(2)
    assert browser.received.endswith(b"0\r\n\r\n")
    assert questions(portal) == 1
    assert len(portal.live) == 0


def test_an_open_page_alone_does_not_keep_its_session(portal: FakePortal) -> None:
    listen(portal)
    [session] = portal.sessions._sessions.values()
    session.last_seen = 0.0
    portal.settle(2)
    portal.settle(2)
    assert session.last_seen == 0.0


def test_it_ends_when_the_portal_stops(portal: FakePortal) -> None:
    browser = listen(portal)
    tell(portal)
    portal.door.stop(10.0)
    portal.settle()
    assert browser.received.endswith(b"0\r\n\r\n")
    assert browser.is_closing
    assert len(portal.live) == 0


@pytest.mark.parametrize("is_asking", [True, False])
def test_nothing_is_left_when_the_last_page_closes(portal: FakePortal, is_asking: bool) -> None:
    first, second = listen(portal), listen(portal)
    if not is_asking:
        tell(portal)
    first.leave()
    assert len(portal.live) == 1
    second.leave()
    assert len(portal.live) == 0
    [one] = portal.workers._all
    assert one.facts.in_use == 0
    portal.settle(2)
    portal.settle(70)
    assert questions(portal) == 1
    assert [call for call in portal.clock.getDelayedCalls() if "live" in repr(call)] == []


def test_pages_count_as_all_streams_do() -> None:
    portal = FakePortal(streams=2)
    first, _ = listen(portal), listen(portal)
    assert listen(portal).status == 429
    first.leave()
    assert listen(portal).status == 200


@pytest.mark.parametrize(
    "extra",
    [b"Origin: https://x-9191-u1001.fh.portal.test\r\n", b"Sec-Fetch-Site: same-site\r\nSec-Fetch-Dest: empty\r\n",
     b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n",
     b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
     b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"],
)  # fmt: skip
def test_other_origins_pages_and_frames_hear_nothing(portal: FakePortal, extra: bytes) -> None:
    assert listen(portal, extra=extra).status == 403
    assert portal.monitor.started == []


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"DELETE"])
def test_it_is_get(portal: FakePortal, method: bytes) -> None:
    browser = portal.browser()
    browser.send(HEAD.replace(b"GET", method) + portal.cookie() + b"\r\n")
    assert browser.status == 405
    assert portal.monitor.started == []


def test_nobody_listens_without_a_session(portal: FakePortal) -> None:
    assert listen(portal, b"").status == 401
    assert len(portal.live) == 0
