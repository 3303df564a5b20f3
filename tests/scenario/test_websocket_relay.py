"""WebSockets through the whole front, with wsproto on both ends."""

from __future__ import annotations

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from supercloud.relay.websocket import CLOSE_WITHIN
from tests.fakes.dialer import FakeUpstream
from tests.fakes.portal import OK, Browser, FakePortal, accept, websocket_request


class Socket:
    """An open WebSocket and whoever speaks at its two ends."""

    def __init__(self, portal: FakePortal, extra: bytes = b"") -> None:
        self.portal = portal
        self.browser: Browser = portal.browser()
        self.upstream: FakeUpstream = portal.open_websocket(self.browser, extra)
        self.client, self.server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)

    def down(self) -> list[Event]:
        """What the browser has got."""
        self.client.receive_data(self.browser.take())
        return list(self.client.events())

    def up(self) -> list[Event]:
        """What the application has got."""
        self.server.receive_data(self.upstream.take())
        return list(self.server.events())


@pytest.fixture
def socket(portal: FakePortal) -> Socket:
    return Socket(portal)


def test_messages_pass_both_ways(socket: Socket) -> None:
    socket.browser.send(socket.client.send(TextMessage("grüß")))
    assert socket.up() == [TextMessage("grüß")]
    socket.upstream.send(socket.server.send(BytesMessage(b"\x00\xff")))
    assert [bytes(event.data) for event in socket.down()] == [b"\x00\xff"]


def test_a_fragmented_message_arrives_in_its_fragments_however_it_is_cut(socket: Socket) -> None:
    data = socket.client.send(TextMessage("one ", message_finished=False)) + socket.client.send(TextMessage("two"))
    for byte in data:
        socket.browser.send(bytes([byte]))
    assert "".join(event.data for event in socket.up()) == "one two"


def test_sixteen_megabytes_pass_without_being_held(socket: Socket) -> None:
    piece = bytes(64 * 1024)
    socket.upstream.send(b"\x82\x7f" + (256 * len(piece)).to_bytes(8, "big"))
    assert socket.browser.take() == b"\x82\x7f" + (256 * len(piece)).to_bytes(8, "big")
    for _ in range(256):
        socket.upstream.send(piece)
        assert socket.browser.take() == piece


def test_both_ends_are_pinged_and_their_pongs_are_the_portals(socket: Socket) -> None:
    socket.portal.settle(25)
    [down], [up] = socket.down(), socket.up()
    assert isinstance(down, Ping)
    assert isinstance(up, Ping)
    socket.browser.send(socket.client.send(down.response()))
    socket.upstream.send(socket.server.send(up.response()))
    assert socket.up() == []
    assert socket.down() == []


def test_pings_of_the_ends_are_answered_by_the_ends(socket: Socket) -> None:
    socket.browser.send(socket.client.send(Ping(b"mine")))
    [ping] = socket.up()
    socket.upstream.send(socket.server.send(ping.response()))
    assert [(type(event), bytes(event.payload)) for event in socket.down()] == [(Pong, b"mine")]


def test_an_end_that_answers_no_ping_is_dead(socket: Socket) -> None:
    for _ in range(3):
        socket.portal.settle(25)
        socket.browser.send(socket.client.send(TextMessage("alive")))
    closes = [event for event in socket.down() if isinstance(event, CloseConnection)]
    assert [close.code for close in closes] == [1011]
    assert socket.browser.is_closing
    assert socket.upstream.is_closing


@pytest.mark.parametrize("code", [1000, 1001, 1008, 3000, 4999])
def test_a_close_code_of_the_application_is_carried_and_answered(socket: Socket, code: int) -> None:
    socket.upstream.send(socket.server.send(CloseConnection(code, "why")))
    [close] = socket.down()
    assert (close.code, close.reason) == (code, "why")
    socket.browser.send(socket.client.send(close.response()))
    assert [event.code for event in socket.up()] == [code]
    assert socket.browser.is_closing
    assert socket.upstream.is_closing


def test_a_close_code_of_the_browser_is_carried(socket: Socket) -> None:
    socket.browser.send(socket.client.send(CloseConnection(4001, "bye")))
    [close] = socket.up()
    assert (close.code, close.reason) == (4001, "bye")


def test_a_close_that_nobody_answers_ends_in_the_end(socket: Socket) -> None:
    socket.browser.send(socket.client.send(CloseConnection(1000)))
    assert not socket.browser.is_closing
    socket.portal.settle(CLOSE_WITHIN)
    assert socket.browser.is_closing
    assert socket.upstream.is_closing


@pytest.mark.parametrize("how", ["die", "finish"])
def test_a_dead_application_is_told_to_the_browser(socket: Socket, how: str) -> None:
    getattr(socket.upstream, how)()
    [close] = socket.down()
    assert close.code == 1011
    assert socket.browser.is_closing


def test_a_browser_that_goes_away_is_told_to_the_application(socket: Socket) -> None:
    socket.browser.leave()
    [close] = socket.up()
    assert close.code == 1001
    assert socket.upstream.is_closing
    assert socket.portal.lines()[-1]["outcome"] == "served"


def test_no_close_is_put_into_the_middle_of_a_frame(socket: Socket) -> None:
    socket.upstream.send(b"\x82\x05ab")
    socket.upstream.die()
    assert socket.browser.received == b"\x82\x05ab"
    assert socket.browser.is_closing


def test_a_portal_that_stops_tells_browsers_that_they_may_come_back(socket: Socket) -> None:
    socket.portal.door.stop(10.0)
    assert [event.code for event in socket.down()] == [1012]
    assert [event.code for event in socket.up()] == [1001]
    assert socket.browser.is_closing


def test_an_end_that_reads_slowly_pauses_the_other_and_is_not_pinged(portal: FakePortal) -> None:
    browser = portal.browser(room=1000)
    upstream = portal.open_websocket(browser)
    browser.transport.drain()
    upstream.send(b"\x82\x7e\x07\xd0" + b"x" * 2000)
    assert upstream.transport.is_paused
    portal.settle(25)
    assert browser.received == b"\x82\x7e\x07\xd0" + b"x" * 2000
    browser.transport.drain()
    assert not upstream.transport.is_paused


def test_an_application_that_reads_slowly_pauses_the_browser(portal: FakePortal) -> None:
    portal.dialer.room = 2000
    browser = portal.browser()
    upstream = portal.open_websocket(browser)
    upstream.transport.drain()
    browser.send(b"\x82\xfe\x0b\xb8abcd" + b"x" * 3000)
    assert browser.transport.is_paused
    upstream.transport.drain()
    assert not browser.transport.is_paused


def test_an_answer_other_than_101_passes_as_it_is(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal))
    portal.dialer[0].send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert browser.status == 403
    assert browser.received.endswith(b"no")
    assert browser.is_closing


def test_an_application_that_dies_in_the_handshake_is_a_502(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal))
    portal.dialer[0].die()
    assert browser.status == 502


def test_an_application_that_answers_for_another_key_is_a_502(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal))
    upstream = portal.dialer[0]
    upstream.send(accept(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"))
    assert browser.status == 502
    assert upstream.transport.aborted


def test_an_application_that_chooses_what_was_not_offered_is_a_502(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal, b"Sec-WebSocket-Protocol: binary\r\n"))
    upstream = portal.dialer[0]
    upstream.send(accept(upstream.take(), b"Sec-WebSocket-Protocol: other\r\n"))
    assert browser.status == 502


def test_the_handshake_is_one_write_that_spice_understands(portal: FakePortal) -> None:
    """spice-server wants the handshake in one write under 4 KB, ``binary`` first, and no compression."""
    browser = portal.browser()
    browser.send(
        websocket_request(
            portal,
            b"Origin: https://localhost-8080-u1001.fh.portal.test\r\nSec-WebSocket-Protocol: binary, base64\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nUser-Agent: x\r\n",
        )
    )
    upstream = portal.dialer[0]
    handshake = upstream.take()
    assert len(handshake) < 4096
    assert handshake.startswith(b"GET /socket HTTP/1.1\r\n")
    assert handshake.endswith(b"\r\n\r\n")
    lines = handshake.lower().split(b"\r\n")
    assert b"sec-websocket-protocol: binary,base64" in lines
    assert b"host: localhost:8080" in lines
    assert b"user-agent: x" in lines
    assert not any(line.startswith((b"origin:", b"sec-websocket-extensions:")) for line in lines)
    assert b"__host-http-" not in handshake.lower()
    upstream.send(accept(handshake, b"Sec-WebSocket-Protocol: binary\r\nSet-Cookie: a=b\r\n"))
    assert browser.status == 101
    assert browser.field(b"sec-websocket-protocol") == b"binary"
    assert browser.field(b"sec-websocket-extensions") is None
    assert browser.field(b"set-cookie") == b"a=b"


def test_frames_behind_the_applications_handshake_are_not_lost(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal))
    upstream = portal.dialer[0]
    upstream.send(accept(upstream.take()) + b"\x81\x02hi")
    assert browser.received.endswith(b"\r\n\r\n\x81\x02hi")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Version: 13", b"Version: 12"),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"GET /socket", b"POST /socket"),
    ],
)
def test_what_is_no_handshake_is_refused_and_not_passed_on(portal: FakePortal, old: bytes, new: bytes) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal).replace(old, new))
    assert browser.status == 400
    assert portal.dialer.received == b""


@pytest.mark.parametrize("origin", [b"https://evil.test", b"https://portal.test", b"null", b"http://localhost:8080"])
def test_a_page_of_another_origin_opens_no_websocket(portal: FakePortal, origin: bytes) -> None:
    browser = portal.browser()
    browser.send(websocket_request(portal, b"Origin: " + origin + b"\r\nSec-Fetch-Site: same-origin\r\n"))
    assert browser.status == 403
    assert portal.dialer.dialled == []


def test_a_kept_connection_carries_a_handshake_too(portal: FakePortal) -> None:
    from tests.fakes.portal import get

    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(OK)
    portal.dialer[0].take()
    portal.open_websocket(portal.browser())
    assert len(portal.dialer) == 1
