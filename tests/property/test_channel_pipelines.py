"""Any pipeline of requests, cut anywhere, makes the same exchanges."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.portal import OK, ORIGIN, FakePortal, requests_in
from tests.property.test_message_framing import pieces

_bodies = st.one_of(
    st.just(b"\r\n"),
    st.binary(max_size=30).map(lambda body: b"Content-Length: %d\r\n\r\n" % len(body) + body),
    st.lists(st.binary(min_size=1, max_size=10), max_size=3).map(
        lambda parts: (
            b"Transfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            + b"0\r\n\r\n"
        )
    ),
)
_broken = st.sampled_from([b"GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n", b"\x00\r\n\r\n", b"PUT /x HTTP/1.1\r\n\r\n"])


def _exchanges(parts: list[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    portal = FakePortal()
    portal.cookie(origin=ORIGIN)
    browser = portal.browser()
    seen: list[tuple[bytes, bytes, bytes]] = []

    def answer() -> None:
        while True:
            before = len(seen)
            for upstream in portal.dialer:
                try:
                    found = requests_in(upstream.received) if upstream.received else []
                except AssertionError:
                    continue
                for request, body in found:
                    upstream.take()
                    seen.append((bytes(request.method), bytes(request.target), body))
                    upstream.send(OK)
            if len(seen) == before:
                return

    for part in parts:
        browser.send(part)
        answer()
    seen.append(
        (b"", b"", b"%d of %d" % (browser.received.count(b"HTTP/1.1 200"), browser.received.count(b"HTTP/1.1 4")))
    )
    return seen


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"GET", b"PUT"]), _bodies), min_size=1, max_size=5),
    st.one_of(st.just(b""), _broken),
    st.lists(st.integers(0, 900), max_size=12),
)
def test_a_pipeline_cut_anywhere_makes_the_same_exchanges(
    requests: list[tuple[bytes, bytes]], end: bytes, at: list[int]
) -> None:
    cookie = b"Cookie: __Host-Http-supercloud=sealed-0\r\n"
    start = b" HTTP/1.1\r\nHost: " + ORIGIN.encode() + b"\r\n" + cookie
    data = b"".join(b"%b /%d%b%b" % (method, number, start, rest) for number, (method, rest) in enumerate(requests))
    whole = _exchanges([data + end])
    assert _exchanges(pieces(data + end, at)) == whole
    assert len(whole) == len(requests) + 1
    assert whole[-1][2] == b"%d of %d" % (len(requests), bool(end))
