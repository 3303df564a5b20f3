"""Applications that know nothing of the path prefix that they are shown under."""

from __future__ import annotations

import gzip
import zlib

import pytest

from supercloud.relay.rewriting import MAX_PAGES
from tests.fakes.portal import TOGETHER, FakePortal, get
from tests.scenario.person import PAGE

PREFIX = b"/fw2/localhost:8080"
_PAGE = b'<a href="/a">a</a><img src=/b.png><a href="http://localhost:8080/c">c</a><a href="//else.test/d">d</a>'
_SHOWN = (
    b'<a href="/fw2/localhost:8080/a">a</a><img src="/fw2/localhost:8080/b.png">'
    b'<a href="https://apps.portal.test/fw2/localhost:8080/c">c</a><a href="//else.test/d">d</a>'
)


def _answer(body: bytes, *fields: bytes, kind: bytes = b"text/html", status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _body(received: bytes) -> bytes:
    """Of a chunked response."""
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    out = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            return out
        out, rest = out + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


def _ask(
    portal: FakePortal, answer: bytes, extra: bytes = b"", *, path: bytes = PREFIX + b"/", room: int | None = None
):  # type: ignore[no-untyped-def]
    browser = portal.browser(room=room)
    browser.send(get(portal, path, extra, origin=TOGETHER))
    portal.dialer.upstreams[-1].send(answer)
    return browser


def test_a_page_is_rewritten_and_told_so(portal: FakePortal) -> None:
    browser = _ask(portal, _answer(_PAGE, b'ETag: "x"', b"Accept-Ranges: bytes", b"Digest: md5=x"))
    assert _body(browser.received) == _SHOWN
    assert browser.field(b"etag") == b'W/"x"'
    for gone in (b"content-length", b"accept-ranges", b"digest"):
        assert browser.field(gone) is None


@pytest.mark.parametrize("path", [b"/", b"/x.html"])
def test_on_an_own_origin_nothing_changes(portal: FakePortal, path: bytes) -> None:
    browser = portal.browser()
    browser.send(get(portal, path))
    portal.dialer[0].send(_answer(_PAGE, b'ETag: "x"'))
    assert browser.received.endswith(_PAGE)
    assert browser.field(b"etag") == b'"x"'


@pytest.mark.parametrize(
    "path", [b"/node/localhost/8080/", b"/rnode/localhost/8080/"], ids=["told its prefix", "as Open OnDemand does"]
)
def test_under_open_ondemands_prefixes_nothing_changes(portal: FakePortal, path: bytes) -> None:
    assert _ask(portal, _answer(_PAGE), path=path).received.endswith(_PAGE)


@pytest.mark.parametrize(
    ("kind", "fields", "status"),
    [
        (b"text/html; charset=utf-16", (), b"200 OK"),
        (b"text/html; charset=iso-2022-jp", (), b"200 OK"),
        (b"text/javascript", (), b"200 OK"),
        (b"application/json", (), b"200 OK"),
        (b"text/html", (b"Content-Range: bytes 0-9/100",), b"206 Partial Content"),
        (b"text/html", (b"Content-Disposition: attachment",), b"200 OK"),
        (b"text/html", (b"Cache-Control: no-transform",), b"200 OK"),
        (b"text/javascript", (b"Content-Encoding: br",), b"200 OK"),
    ],
)
def test_what_cannot_or_must_not_be_read_passes(
    portal: FakePortal, kind: bytes, fields: tuple[bytes, ...], status: bytes
) -> None:
    browser = _ask(portal, _answer(_PAGE, *fields, kind=kind, status=status))
    assert browser.received.endswith(b"\r\n\r\n" + _PAGE)
    assert browser.field(b"content-length") == b"%d" % len(_PAGE)


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"compress", b"gzip, br"])
def test_a_page_in_a_coding_that_nobody_asked_for_is_refused_with_words(portal: FakePortal, coding: bytes) -> None:
    """A window of br or zstd is for the sender to say: 8 to 16 MB of the portal's memory for a page of some bytes."""
    browser = _ask(portal, _answer(_PAGE, b"Content-Encoding: " + coding), b"Accept-Encoding: gzip, br, zstd\r\n")
    assert b"\r\nAccept-Encoding: gzip\r\n" in portal.dialer[0].received
    assert b"br, zstd" not in portal.dialer[0].received
    assert browser.status == 502
    assert b"Have it heed Accept-Encoding" in browser.received


def test_an_application_is_asked_for_no_coding_where_the_browser_takes_no_gzip(portal: FakePortal) -> None:
    _ask(portal, _answer(_PAGE), b"Accept-Encoding: br, gzip;q=0\r\n")
    assert b"\r\nAccept-Encoding: identity\r\n" in portal.dialer[0].received


def test_where_no_links_are_rewritten_the_browser_says_which_codings_there_are(portal: FakePortal) -> None:
    _ask(portal, _answer(_PAGE), b"Accept-Encoding: br, zstd\r\n", path=b"/node/localhost/8080/")
    assert b"\r\nAccept-Encoding: br, zstd\r\n" in portal.dialer[0].received


def test_an_account_has_so_many_pages_rewritten_at_once_and_is_told(portal: FakePortal) -> None:
    """Each may take a megabyte of the portal's memory, for as long as its application likes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    browsers = [_ask(portal, head) for _ in range(MAX_PAGES)]
    assert {browser.status for browser in browsers} == {200}
    refused = _ask(portal, head)
    assert refused.status == 429
    assert b"pages of yours are loading at once" in refused.received
    browsers[0].leave()
    assert _ask(portal, head).status == 200
    portal.dialer[1].send(b"0\r\n\r\n")
    assert browsers[1].received.endswith(b"0\r\n\r\n")
    last = portal.browser()
    last.send(get(portal, PREFIX + b"/", origin=TOGETHER))
    portal.dialer[1].send(head)  # which was kept
    assert last.status == 200


def test_a_page_in_utf_16_by_its_byte_order_mark_passes(portal: FakePortal) -> None:
    page = _PAGE.decode().encode("utf-16")
    assert _body(_ask(portal, _answer(page)).received) == page


def _raw_deflate(data: bytes) -> bytes:
    writer = zlib.compressobj(wbits=-15)
    return writer.compress(data) + writer.flush()


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        (b"gzip", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", _raw_deflate),
    ],
)
@pytest.mark.parametrize("takes_gzip", [True, False])
def test_a_coded_page_is_rewritten(portal: FakePortal, coding: bytes, encode, takes_gzip: bool) -> None:  # type: ignore[no-untyped-def]
    extra = b"Accept-Encoding: gzip, br\r\n" if takes_gzip else b""
    browser = _ask(portal, _answer(encode(_PAGE * 999), b"Content-Encoding: " + coding), extra)
    portal.settle()
    for _ in range(80):
        portal.settle()
    body = _body(browser.received)
    assert browser.field(b"content-encoding") == (b"gzip" if takes_gzip else None)
    assert (gzip.decompress(body) if takes_gzip else body) == _SHOWN * 999


@pytest.mark.parametrize("body", [b"not gzip at all", gzip.compress(_PAGE)[:-9]], ids=["garbage", "cut short"])
def test_a_page_that_is_not_in_its_coding_is_broken_and_not_shortened(portal: FakePortal, body: bytes) -> None:
    browser = _ask(portal, _answer(body, b"Content-Encoding: gzip"))
    assert b"0\r\n\r\n" not in browser.received
    assert browser.transport.aborted or browser.status == 502


def test_a_head_says_what_the_page_would(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, PREFIX + b"/", origin=TOGETHER).replace(b"GET", b"HEAD", 1))
    portal.dialer[0].send(b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\nETag: "x"\r\n\r\n')
    assert (browser.status, browser.field(b"etag"), browser.field(b"content-length")) == (200, b'W/"x"', None)


def test_what_the_browser_keeps_is_confirmed_under_its_own_tag(portal: FakePortal) -> None:
    answer = b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'
    assert _ask(portal, answer, b'If-None-Match: W/"x"\r\n').field(b"etag") == b'W/"x"'
    assert _ask(portal, answer, b'If-None-Match: "x"\r\n').field(b"etag") == b'"x"'


def test_a_second_page_with_the_same_head_is_rewritten_too(portal: FakePortal) -> None:
    browser = portal.browser()
    for _ in range(3):
        browser.send(get(portal, PREFIX + b"/", origin=TOGETHER))
        portal.dialer[0].send(_answer(_PAGE))
        assert _body(browser.take()) == _SHOWN
    assert len(portal.dialer) == 1


def test_another_request_on_the_connection_of_a_rewritten_page_gets_its_whole_body(portal: FakePortal) -> None:
    """The head that was written for the browser must not frame what the application sends next."""
    first, second = portal.browser(), portal.browser()
    first.send(get(portal, PREFIX + b"/", origin=TOGETHER))
    portal.dialer[0].send(_answer(_PAGE))
    second.send(get(portal, b"/"))
    portal.dialer[0].send(_answer(_PAGE))
    assert second.received.endswith(b"\r\n\r\n" + _PAGE)
    assert not second.is_closing


def test_a_page_that_comes_slowly_is_shown_as_it_comes(portal: FakePortal) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
    browser = _ask(portal, head + b"10\r\n<p><a href='/x'>\r\n")
    assert b"/fw2/localhost:8080/x" in browser.received
    portal.dialer[0].send(b"3\r\nend\r\n0\r\nDigest: x\r\nX-Kept: y\r\n\r\n")
    assert browser.received.endswith(b"3\r\nend\r\n0\r\nX-Kept: y\r\n\r\n")


def test_a_coded_page_that_comes_slowly_is_shown_as_it_comes(portal: FakePortal) -> None:
    writer = zlib.compressobj(wbits=31)
    first = writer.compress(b"<p>first") + writer.flush(zlib.Z_SYNC_FLUSH)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
    browser = _ask(portal, head + first, b"Accept-Encoding: gzip\r\n")
    shown = _body(browser.received + b"0\r\n\r\n")
    assert zlib.decompressobj(31).decompress(shown) == b"<p>first"


def test_a_few_bytes_that_unpack_to_much_are_unpacked_at_the_browsers_pace(portal: FakePortal) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    browser = _ask(portal, _answer(bomb, b"Content-Encoding: gzip"), room=100_000)
    for _ in range(100):
        portal.settle()
    assert len(browser.received) < 250_000
    upstream = portal.dialer[0]
    assert upstream.transport.is_paused or len(bomb) < 65536
    browser.leave()
    portal.settle()
    assert portal.clock.getDelayedCalls() == [] or all(call.time > portal.clock.seconds() for call in
                                                       portal.clock.getDelayedCalls())  # fmt: skip


def test_a_browser_that_reads_slowly_gets_a_rewritten_page_whole(portal: FakePortal) -> None:
    page = _PAGE * 3000
    browser = _ask(portal, _answer(page[:150_000])[:-150_000], room=50_000)  # the head only
    upstream = portal.dialer[0]
    for at in range(0, 150_000, 40_000):
        upstream.send(page[at : min(at + 40_000, 150_000)])
    for _ in range(200):
        browser.transport.drain()
        portal.settle()
    assert _body(browser.received).count(b"/fw2/localhost:8080/b.png") == page[:150_000].count(b"/b.png")


def test_an_application_that_is_lost_in_its_page_breaks_the_browsers(portal: FakePortal) -> None:
    browser = _ask(portal, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<p>")
    portal.dialer[0].die()
    assert browser.transport.aborted


_FROM = b"Referer: https://apps.portal.test/fw2/localhost:8080/page\r\nSec-Fetch-Site: same-origin\r\n"


def _sent(portal: FakePortal, target: bytes, extra: bytes, method: bytes = b"GET") -> tuple[int, bytes | None]:
    browser = portal.browser()
    browser.send(get(portal, target, extra, origin=TOGETHER).replace(b"GET", method, 1))
    return browser.status, browser.field(b"location")


def test_what_a_script_asks_for_beside_its_prefix_is_brought_home(portal: FakePortal) -> None:
    home = b"https://apps.portal.test/fw2/localhost:8080/api/x?y=1"
    assert _sent(portal, b"/api/x?y=1", _FROM) == (307, home)
    assert _sent(portal, b"/api/x?y=1", _FROM.partition(b"Sec-")[0]) == (307, home)
    assert _sent(portal, b"//evil.test/x", _FROM) == (307, b"https://apps.portal.test/fw2/localhost:8080//evil.test/x")


@pytest.mark.parametrize(
    ("target", "extra", "method"),
    [
        (b"/rest/x", _FROM.replace(b"same-origin", b"same-site"), b"GET"),
        (b"/rest/x", _FROM.replace(b"same-origin", b"cross-site"), b"GET"),
        (b"/rest/x", _FROM.replace(b"apps.portal.test", b"apps.portal.test.evil.test"), b"GET"),
        (b"/rest/x", _FROM.replace(b"//apps.portal.test", b"//x@apps.portal.test"), b"GET"),
        (b"/rest/x", _FROM.replace(b"https:", b"http:"), b"GET"),
        (b"/rest/x", _FROM.replace(b"/fw2/localhost:8080", b"/fw2/evil"), b"GET"),
        (b"/rest/x", _FROM.replace(b"/fw2/localhost:8080", b"/fw2/..%2fx:8080"), b"GET"),
        (b"/rest/x", _FROM.replace(b"/fw2/localhost:8080", b"/node/localhost/8080"), b"GET"),
        (b"/rest/x", _FROM.replace(b"/fw2/localhost:8080", b"/dav"), b"GET"),
        (b"/rest/x", _FROM + b"Referer: https://apps.portal.test/fw2/localhost:9090/\r\n", b"GET"),
        (b"/rest/x", _FROM, b"POST"),
        (b"/rest/x", b"", b"GET"),
    ],
)
def test_nobody_else_is_led_anywhere(portal: FakePortal, target: bytes, extra: bytes, method: bytes) -> None:
    status, location = _sent(portal, target, extra, method)
    assert status in (403, 404)
    assert location is None


@pytest.mark.parametrize("target", [b"/login", b"/healthz", b"/", b"/dav/~/x", b"/api/jobs"])
def test_no_page_of_the_portals_is_where_applications_are(portal: FakePortal, target: bytes) -> None:
    """What an application's script asks for means the application's own."""
    assert _sent(portal, target, _FROM) == (307, b"https://apps.portal.test/fw2/localhost:8080" + target)
    status, location = _sent(portal, target, b"")
    assert (status, location) == ((303, b"https://portal.test/") if target == b"/" else (404, None))
    assert not portal.workers.in_use


@pytest.mark.parametrize("page", [b"/", b"/jobs/7", b"/fw2/localhost:8080/"])
def test_nobody_is_brought_home_on_the_portals_own_origin(portal: FakePortal, page: bytes) -> None:
    browser = portal.browser()
    own = b"Referer: https://portal.test" + page + b"\r\nSec-Fetch-Site: same-origin\r\n"
    browser.send(get(portal, b"/rest/x", own, origin="portal.test"))
    assert (browser.status, browser.field(b"location")) == (404, None)


def test_a_page_that_leads_beside_its_prefix_is_brought_home_as_a_page(portal: FakePortal) -> None:
    extra = PAGE.replace(b"none", b"same-origin") + _FROM.partition(b"Sec-")[0]
    assert _sent(portal, b"/next", extra)[0] == 307
