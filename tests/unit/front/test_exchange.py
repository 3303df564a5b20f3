"""What an exchange writes: heads, framing, audit lines."""

from __future__ import annotations

from supercloud.errors import NotFound, TooSlow
from supercloud.front.exchange import Exchange
from supercloud.message.head import parse_request, parse_response
from tests.fakes.portal import OK, Browser, FakePortal, get


def _exchange(lines: bytes = b"", *, method: bytes = b"GET", version: bytes = b"1.1") -> tuple[Browser, Exchange]:
    browser = FakePortal().browser()
    raw = method + b" / HTTP/" + version + b"\r\nHost: portal.test\r\n" + lines + b"\r\n"
    exchange = Exchange(browser.channel, parse_request(raw))
    exchange.always = b""
    return browser, exchange


def test_what_speaks_for_the_whole_origin_goes_with_each_answer_once() -> None:
    browser, exchange = _exchange()
    exchange.always = b"A: b\r\n"
    exchange.respond_head(parse_response(b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    exchange.respond_head(parse_response(OK[:-2]))
    exchange.respond_flush()
    assert browser.received.count(b"\r\nA: b\r\n") == 1
    browser, exchange = _exchange()
    exchange.always = b"A: b\r\n"
    exchange.fail(NotFound())
    assert browser.received.count(b"\r\nA: b\r\n") == 1


def test_a_page_has_its_length() -> None:
    browser, exchange = _exchange()
    exchange.respond(200, [(b"X", b"y")], b"page")
    assert browser.received == b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\n\r\npage"
    exchange.respond(200, [], b"again")
    exchange.fail(NotFound())
    assert browser.received.count(b"HTTP/1.1") == 1


def test_head_has_the_length_and_no_body() -> None:
    browser, exchange = _exchange(method=b"HEAD")
    exchange.respond(200, [], b"page")
    assert browser.received.endswith(b"Content-Length: 4\r\n\r\n")


def test_204_has_neither() -> None:
    browser, exchange = _exchange()
    exchange.respond(204, [])
    assert browser.received == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_failure_before_the_response_is_a_page_and_after_its_beginning_a_break() -> None:
    browser, exchange = _exchange()
    exchange.fail(NotFound("who is not told"))
    assert browser.status == 404
    assert b"who is not told" not in browser.received
    assert exchange.audit.reason == "who is not told"
    browser, exchange = _exchange()
    exchange.respond_head(parse_response(OK[:-2]))
    exchange.fail(TooSlow())
    assert browser.transport.aborted
    assert exchange.audit.outcome == "timed-out"


def test_a_response_without_a_length_is_chunked_and_keeps_its_trailers() -> None:
    browser, exchange = _exchange()
    exchange.respond_head(parse_response(b"HTTP/1.1 200 Fine\r\n\r\n"))
    exchange.respond_body(b"ab")
    exchange.respond_flush()
    exchange.respond_end((b"X: y\r\n",))
    assert browser.received.startswith(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n")
    assert browser.received.endswith(b"\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n")


def test_calls_that_come_too_late_write_nothing() -> None:
    browser, exchange = _exchange()
    exchange.respond(200, [])
    before = browser.received
    exchange.respond_head(parse_response(OK[:-2]))
    exchange.respond_end(())
    exchange.tunnel_write(b"x")
    exchange.pause_request()
    exchange.resume_request()
    exchange.end_tunnel()
    exchange.abandoned()
    exchange.tunnel_received(b"x")
    exchange.tunnel_finished()
    assert browser.received == before


def test_what_waits_for_the_end_hears_of_it_once() -> None:
    _, exchange = _exchange()
    heard: list[int] = []
    exchange.on_over.append(lambda: heard.append(1))
    exchange.abandoned()
    exchange.abandoned()
    assert heard == [1]
    assert exchange.is_over


def test_the_audit_line_tells_what_became_of_it() -> None:
    portal = FakePortal()
    browser = portal.browser()
    browser.send(get(portal, b"/secret?token=x", b"Content-Length: 3\r\n") + b"abc")
    portal.clock.advance(2)
    portal.dialer[0].send(OK)
    [line] = portal.lines()
    assert line["path"] == "/secret"
    assert "token" not in str(line)
    expected = {
        "principal": "alice",
        "up": 3,
        "down": 2,
        "seconds": 2.0,
        "status": 200,
        "outcome": "served",
        "uid": 1001,
    }
    assert expected.items() <= line.items()


def test_access_that_ends_before_the_response_is_a_refusal_and_after_its_beginning_a_break() -> None:
    browser, exchange = _exchange()
    exchange.end_access(NotFound("gone"), "gone")
    assert browser.status == 404
    browser, exchange = _exchange()
    exchange.respond_head(parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))
    exchange.respond_flush()
    exchange.end_access(NotFound("gone"), "gone")
    assert browser.transport.aborted
    assert (exchange.audit.outcome, exchange.audit.reason) == ("refused", "gone")
    exchange.end_access(NotFound("again"), "again")
    assert exchange.audit.reason == "gone"
