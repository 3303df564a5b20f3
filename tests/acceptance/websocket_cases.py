"""Cases of RFC 6455, as the bytes that one end sends after the handshake."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_KEY = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True)
class Frame:
    """One frame as it is written.

    :ivar form: bytes of the length: 0 for the shortest, else 2 or 8, whether that is right or not.
    :ivar claims: length that is told; None is the true one.
    """

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    form: int = 0
    claims: int | None = None
    wrong_mask: bool = False

    def encode(self, *, masked: bool) -> bytes:
        """As bytes; what a client sends is masked (section 5.1)."""
        masked ^= self.wrong_mask
        length = len(self.payload) if self.claims is None else self.claims
        form = self.form or (0 if length < 126 else 2 if length < 1 << 16 else 8)
        short = {0: length, 2: 126, 8: 127}[form]
        head = bytes([self.fin << 7 | self.rsv << 4 | self.opcode, masked << 7 | short])
        head += length.to_bytes(form, "big") if form else b""
        if not masked:
            return head + self.payload
        size = len(self.payload)
        mask = int.from_bytes(_KEY * (size // 4 + 1), "big") >> 8 * (4 - size % 4)
        return head + _KEY + (int.from_bytes(self.payload, "big") ^ mask).to_bytes(size, "big")


def close(code: int | None = 1000, reason: bytes = b"") -> Frame:
    """A close frame (section 5.5.1)."""
    return Frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


@dataclass(frozen=True)
class Case:
    """Frames that one end sends.

    :ivar step: bytes a write; 0 for all in one.
    :ivar ends: how it goes on: "close" sends a close frame too, "wait" waits for the other end, "cut" drops TCP,
        "wait_or_cut" waits a little, then drops it.
    """

    name: str
    frames: tuple[Frame, ...]
    ends: str = "close"
    step: int = 0


def table() -> Iterator[Case]:
    """All of them."""
    yield from _framing()
    yield from _reserved()
    yield from _control()
    yield from _fragmentation()
    yield from _utf8()
    yield from _closing()


def _framing() -> Iterator[Case]:
    for size in (0, 1, 125, 126, 127, 128, 65535, 65536, 1 << 20, 16 << 20):
        yield Case(f"binary of {size}", (Frame(BINARY, os.urandom(size)),))
        yield Case(f"text of {size}", (Frame(TEXT, b"*" * size),))
    yield Case("a frame byte by byte", (Frame(TEXT, b"slowly, slowly"),), step=1)
    yield Case("200 frames in one write", tuple(Frame(TEXT, b"%d" % number) for number in range(200)))
    yield Case("frames cut at every 7 bytes", tuple(Frame(BINARY, b"x" * number) for number in range(150)), step=7)
    yield Case("length of 5 in 2 bytes", (Frame(TEXT, b"hello", form=2),), ends="close")
    yield Case("length of 200 in 8 bytes", (Frame(TEXT, b"h" * 200, form=8),), ends="close")
    yield Case("length with its top bit set", (Frame(BINARY, b"x", form=8, claims=1 << 63),), ends="wait")
    yield Case(
        "masked where it must not be, or not masked where it must", (Frame(TEXT, b"hello", wrong_mask=True),), "wait"
    )


def _reserved() -> Iterator[Case]:
    for rsv in range(1, 8):
        yield Case(f"reserved bits {rsv:03b}", (Frame(TEXT, b"hello", rsv=rsv),), ends="wait")
        yield Case(f"a good message, then ping with bits {rsv:03b}", (Frame(TEXT, b"a"), Frame(PING, rsv=rsv)), "wait")
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"opcode {opcode}", (Frame(opcode, b"x"),), ends="wait")
        yield Case(f"opcode {opcode} after a message", (Frame(TEXT, b"a"), Frame(opcode)), ends="wait")


def _control() -> Iterator[Case]:
    yield Case("ping without payload", (Frame(PING),))
    yield Case("ping of 125 bytes", (Frame(PING, b"\x00\xff" * 62 + b"!"),))
    yield Case("ping of 126 bytes", (Frame(PING, b"x" * 126),), ends="wait")
    yield Case("ping byte by byte", (Frame(PING, b"payload"),), step=1)
    yield Case("ten pings", tuple(Frame(PING, b"%d" % number) for number in range(10)))
    yield Case("a pong that nobody asked for", (Frame(PONG, b"unasked"), Frame(TEXT, b"still here")))
    yield Case("pong of 126 bytes", (Frame(PONG, b"x" * 126),), ends="wait")
    for opcode, name in ((PING, "ping"), (PONG, "pong"), (CLOSE, "close")):
        yield Case(f"{name} in fragments", (Frame(opcode, fin=False), Frame(CONTINUATION)), ends="wait")
    yield Case("ping of 5 bytes with a length of 2", (Frame(PING, b"hello", form=2),), ends="close")


def _fragmentation() -> Iterator[Case]:
    first, middle, last = (
        Frame(TEXT, b"one", fin=False),
        Frame(CONTINUATION, b"two", fin=False),
        Frame(CONTINUATION, b"3"),
    )
    yield Case("two fragments", (first, last))
    yield Case("three fragments, cut everywhere", (first, middle, last), step=1)
    yield Case("ping between fragments", (first, Frame(PING, b"p"), middle, Frame(PONG), last))
    yield Case("empty fragments", (Frame(TEXT, fin=False), Frame(CONTINUATION, fin=False), Frame(CONTINUATION)))
    many = (Frame(BINARY, b"0", fin=False), *[Frame(CONTINUATION, b"1", fin=False)] * 500, last)
    yield Case("502 fragments", many)
    big = os.urandom(1 << 20)
    yield Case(
        "16 MB in 16 fragments", (Frame(BINARY, big, fin=False), *[Frame(CONTINUATION, big, fin=False)] * 14, last)
    )
    yield Case("continuation of nothing", (last,), ends="wait")
    yield Case("unfinished continuation of nothing", (middle,), ends="wait")
    yield Case("continuation after a whole message", (Frame(TEXT, b"a"), last), ends="wait")
    yield Case("a message within a message", (first, Frame(TEXT, b"new"), last), ends="wait")
    yield Case("a fragment with reserved bits", (first, Frame(CONTINUATION, b"x", rsv=4)), ends="wait")
    yield Case("close within a message", (first, close()), ends="wait")


def _utf8() -> Iterator[Case]:
    good = "κόσμε \U0001f600 ☃".encode()
    yield Case("text beyond ASCII", (Frame(TEXT, good),))
    yield Case("text beyond ASCII, byte by byte", (Frame(TEXT, good),), step=1)
    for cut in range(1, len(good)):
        yield Case(
            f"characters cut by fragments at {cut}",
            (Frame(TEXT, good[:cut], fin=False), Frame(CONTINUATION, good[cut:])),
        )
    bad = {
        "a lone surrogate": b"ok \xed\xa0\x80 ok",
        "an overlong slash": b"\xc0\xaf",
        "an overlong NUL": b"\xe0\x80\x80",
        "beyond the last plane": b"\xf4\x90\x80\x80",
        "a stray continuation": b"ok\x80",
        "0xff": b"\xff",
        "a five byte form": b"\xf8\x88\x80\x80\x80",
        "cut off": b"ok \xe2\x98",
    }
    for name, text in bad.items():
        yield Case(f"text with {name}", (Frame(TEXT, text),), ends="wait")
        fragments = (Frame(TEXT, b"begin", fin=False), Frame(CONTINUATION, text))
        yield Case(f"text with {name} in its last fragment", fragments, ends="wait")
    yield Case("binary that is no text", (Frame(BINARY, b"\xff\xfe\x80"),))
    # What follows the bad fragment never comes; who looks at text as it arrives ends it now, who does not, waits.
    yield Case("bad text in a first fragment", (Frame(TEXT, b"\xff\xff", fin=False),), ends="wait_or_cut")


def _closing() -> Iterator[Case]:
    yield Case("close without a code", (close(None),), ends="wait")
    yield Case("close with half a code", (Frame(CLOSE, b"\x03"),), ends="wait")
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        yield Case(f"close {code}", (close(code, b"why"),), ends="wait")
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield Case(f"close {code}, which must not be sent", (close(code),), ends="wait")
    yield Case("close with the longest reason", (close(1000, b"r" * 123),), ends="wait")
    yield Case("close of 126 bytes", (Frame(CLOSE, b"\x03\xe8" + b"r" * 124),), ends="wait")
    yield Case("close with a reason that is no text", (close(1000, b"\xff\xfe"),), ends="wait")
    yield Case("close byte by byte", (close(4321, "grüße".encode()),), ends="wait", step=1)
    yield Case("close twice", (close(1000), close(1001)), ends="wait")
    yield Case("a message after close", (Frame(TEXT, b"a"), close(1000), Frame(TEXT, b"late")), ends="wait")
    yield Case("ping after close", (close(1000), Frame(PING)), ends="wait")
    yield Case("TCP cut without a close", (Frame(TEXT, b"a"),), ends="cut")
    yield Case("TCP cut within a frame", (Frame(TEXT, b"a"), Frame(BINARY, b"half", claims=100)), ends="cut")
    yield Case("TCP cut within a message", (Frame(TEXT, b"a", fin=False),), ends="cut")
