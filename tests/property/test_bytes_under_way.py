"""Bytes that nobody has any more are overwritten, and no others: what goes through arrives as it was."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from twisted.internet.protocol import Factory

from supercloud.front.tls import TlsFactory, TlsFiles, TlsMaterial
from tests.fakes.portal import ORIGIN, FakePortal, requests_in
from tests.fakes.transport import FakeTransport

_TUNNEL = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n"
_SHOWN = b"Authorization: Basic bG9naW46b2YgYW4gYXBwbGljYXRpb24=\r\n"  # an application's


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def material(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> TlsMaterial:
    folder: Path = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("localhost")
    files = TlsFiles(folder / "chain.pem", folder / "key.pem")
    files.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    files.private_key.write_bytes(issued.private_key_pem.bytes())
    return TlsMaterial(files)


class Line:
    """A browser's connection, TLS and all; the wire is cut anywhere and both ends read when they like."""

    def __init__(self, material: TlsMaterial, authority: trustme.CA, chance: random.Random) -> None:
        self.chance = chance
        self.portal = FakePortal()
        self.portal.dialer.room = 20_000
        self.cookie = self.portal.cookie(origin=ORIGIN)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        factory = TlsFactory(
            material, Factory.forProtocol(lambda: self.portal.door.buildProtocol(None)), self.portal.clock
        )
        made = factory.buildProtocol(None)
        assert made is not None
        self.tls = made
        self.tcp = FakeTransport(self.portal.clock, self.tls, room=30_000)
        self.tls.makeConnection(self.tcp)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._browser = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._wire = b""
        for _ in range(10):
            if self._is_greeted():
                break
            self.step(100_000)

    def send(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            size = self.chance.choice([1, 7, 300, 5_000, 16_000])
            self._browser.write(data[at : at + size])
            at += size

    def step(self, most: int) -> None:
        """Some of the wire arrives, if the portal reads."""
        self._wire += self._out.read()
        if self._wire and self.tcp.producerState == "producing":
            piece, self._wire = self._wire[:most], self._wire[most:]
            self.tls.dataReceived(piece)
        self.portal.clock.advance(0)

    def steps(self) -> Iterator[None]:
        for _ in range(5_000):
            self.step(self.chance.choice([1, 50, 2_000, 30_000, 65_536]))
            if self.chance.random() < 0.3:
                self.tcp.drain()
            for upstream in self.portal.dialer:
                if self.chance.random() < 0.3:
                    upstream.transport.drain()
            yield

    def read(self) -> bytes:
        self._in.write(self.tcp.value())
        self.tcp.clear()
        parts = []
        while True:
            try:
                parts.append(self._browser.read(16_384))
            except ssl.SSLWantReadError:
                return b"".join(parts)

    def _is_greeted(self) -> bool:
        self._in.write(self.tcp.value())
        self.tcp.clear()
        try:
            self._browser.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


def _body(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([0, 1, 2, 500, 9_000, 33_000, 120_000]))


def _request(number: int, body: bytes, cookie: bytes, chance: random.Random) -> bytes:
    start = b"PUT /%d HTTP/1.1\r\nHost: %b\r\n%b" % (number, ORIGIN.encode(), cookie)
    if chance.random() < 0.2:
        start += _SHOWN
    if not body or chance.random() < 0.5:
        return start + b"Content-Length: %d\r\n\r\n" % len(body) + body
    size = chance.choice([100, 4_000, 40_000])
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("seed", range(12))
def test_what_is_sent_ahead_and_read_slowly_arrives_as_it_was(
    material: TlsMaterial, authority: trustme.CA, seed: int
) -> None:
    chance = random.Random(seed)
    line = Line(material, authority, chance)
    bodies = [_body(chance) for _ in range(10)]
    answers = [_body(chance) for _ in bodies]
    sent = b"".join(_request(number, body, line.cookie, chance) for number, body in enumerate(bodies))
    line.send(sent)
    got, read, shown = [], b"", 0
    expected = [b"\r\n\r\n" + one + b"HTTP/1.1" for one in answers]
    for _ in line.steps():
        for upstream in line.portal.dialer:
            try:
                found = requests_in(upstream.received)
            except AssertionError:
                continue
            for request, body in found:
                shown += upstream.take().count(_SHOWN)
                got.append((request.target, body))
                answer = answers[len(got) - 1]
                upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        read += line.read()
        if len(got) == len(bodies) and read.endswith(answers[-1]) and read.count(b"HTTP/1.1 200") == len(bodies):
            break
    assert got == [(b"/%d" % number, body) for number, body in enumerate(bodies)]
    assert shown == sent.count(_SHOWN)
    assert all(one in read + b"HTTP/1.1" for one in expected)


@pytest.mark.parametrize("seed", range(6))
def test_a_tunnel_carries_what_it_was_given(material: TlsMaterial, authority: trustme.CA, seed: int) -> None:
    chance = random.Random(seed)
    line = Line(material, authority, chance)
    upgrade = b"Connection: upgrade\r\nUpgrade: other\r\n"
    line.send(b"GET / HTTP/1.1\r\nHost: " + ORIGIN.encode() + b"\r\n" + line.cookie + upgrade + b"\r\n")
    up, down = (b"".join(_body(chance) for _ in range(8)) for _ in range(2))
    steps = line.steps()
    while not len(line.portal.dialer):
        next(steps)
    upstream = line.portal.dialer[0]
    upstream.take()
    upstream.send(_TUNNEL)
    line.send(up)
    arrived, read, left = b"", b"", down
    for _ in steps:
        arrived += upstream.take()
        if left and not upstream.transport.is_paused:
            size = chance.randrange(1, 30_000)
            upstream.send(left[:size])
            left = left[size:]
        read += line.read()
        if len(arrived) == len(up) and read.endswith(down):
            break
    assert arrived == up
    assert read.partition(b"\r\n\r\n")[2] == down
