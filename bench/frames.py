"""WebSocket frames (RFC 6455 section 5.2), made once and counted as they come; for one direction of one connection."""

from __future__ import annotations

_PONG = 10
_PING = 9
_CLOSE = 8
_BINARY = 2


def frame(payload: bytes, *, opcode: int = _BINARY, key: bytes = b"") -> bytes:
    """A whole message in one frame; ``key`` is four bytes toward a server."""
    size, flag = len(payload), 0x80 if key else 0
    if size < 126:
        header = bytes((0x80 | opcode, flag | size))
    elif size < 1 << 16:
        header = bytes((0x80 | opcode, flag | 126)) + size.to_bytes(2, "big")
    else:
        header = bytes((0x80 | opcode, flag | 127)) + size.to_bytes(8, "big")
    return header + key + (masked(payload, key) if key else payload)


def masked(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask."""
    size = len(payload)
    pattern = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


class Counter:
    """Counts bytes of payload in data frames.

    :ivar pings: payloads that want a pong; whoever answers empties it.
    :ivar is_closed: a close frame came.
    """

    def __init__(self) -> None:
        self._left = 0
        self._held = b""
        self.pings: list[bytes] = []
        self.is_closed = False

    def feed(self, data: bytes) -> int:
        """Bytes of payload among these."""
        if self._held:
            data = self._held + data
            self._held = b""
        at, end, found = min(self._left, len(data)), len(data), 0
        found = at
        self._left -= at
        while end - at >= 2:
            second = data[at + 1]
            size, header = second & 0x7F, 2
            if size == 126:
                size, header = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif size == 127:
                size, header = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if second & 0x80:
                header += 4
            if end - at < header:
                break
            opcode = data[at] & 0x0F
            if opcode >= _CLOSE:
                if end - at < header + size:
                    break
                self._control(opcode, data[at + header : at + header + size], data[at + header - 4 : at + header],
                              is_masked=bool(second & 0x80))  # fmt: skip
                at += header + size
                continue
            at += header
            step = min(size, end - at)
            self._left = size - step
            found += step
            at += step
        if at < end:
            self._held = data[at:]
        return found

    def _control(self, opcode: int, payload: bytes, key: bytes, *, is_masked: bool) -> None:
        if opcode == _CLOSE:
            self.is_closed = True
        elif opcode == _PING:
            self.pings.append(masked(payload, key) if is_masked else payload)


def pong(payload: bytes, key: bytes = b"") -> bytes:
    """The answer to a ping."""
    return frame(payload, opcode=_PONG, key=key)
