"""``Expect: 100-continue`` is a matter between the browser and the application."""

from __future__ import annotations

from tests.fakes.portal import OK, TOGETHER, FakePortal, get

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _upload(portal: FakePortal, version: bytes = b"HTTP/1.1") -> bytes:
    request = get(portal, extra=b"Expect: 100-continue\r\nContent-Length: 4\r\n")
    return request.replace(b"GET", b"PUT", 1).replace(b"HTTP/1.1", version, 1)


def test_the_applications_word_is_passed_on_and_the_body_follows(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal))
    upstream = portal.dialer[0]
    assert b"Expect: 100-continue" in upstream.take()
    assert browser.received == b""
    upstream.send(_CONTINUE)
    assert browser.take() == _CONTINUE
    browser.send(b"body")
    assert upstream.received == b"body"
    upstream.send(OK)
    assert browser.status == 200


def test_a_refusal_instead_is_final(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal))
    portal.dialer[0].send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
    assert browser.status == 417


def test_the_portal_refuses_before_the_body_and_closes(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal).replace(b"sealed", b"forged"))
    assert browser.status == 401
    assert browser.is_closing


def test_a_browser_of_http_1_0_gets_no_interim_response(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(_upload(portal, b"HTTP/1.0") + b"body")
    portal.dialer[0].send(_CONTINUE + OK)
    assert browser.received.count(b"HTTP/1.1") == 1
    assert browser.status == 200


def test_links_of_an_interim_response_are_rewritten_too(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/fw2/localhost:8080/", origin=TOGETHER))
    portal.dialer[0].send(
        b"HTTP/1.1 103 Early Hints\r\nLink: </logout>; rel=preload\r\nClear-Site-Data: *\r\n\r\n" + OK
    )
    first = browser.received.partition(b"\r\n\r\n")[0]
    assert b"Link: </fw2/localhost:8080/logout>; rel=preload" in first
    assert b"Clear-Site-Data" not in first
