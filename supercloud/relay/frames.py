"""Frames of a WebSocket as they pass (RFC 6455 section 5): where they end, and no more than that.

The two ends of a WebSocket judge what they receive themselves; a relay that judged for them would give other verdicts
than a direct connection. It follows the frames' headers only, so that it may put a frame of its own between two of
theirs, knows which closed, and keeps the answers to its own pings to itself.
"""

from __future__ import annotations

import struct
from typing import Final

CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
MAX_CONTROL: Final = 125  # RFC 6455 section 5.5, bytes of payload
# Frames that are followed at once, in 1 ms; others behind them are left for a later turn.
MAX_FRAMES: Final = 1024

GOING_AWAY: Final = 1001
POLICY_VIOLATION: Final = 1008
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012  # IANA's registry: clients may connect again


class Frames:
    """Follows one direction.

    :param secret: payload of the relay's own pings; pongs that bear it are taken out.
    :ivar is_between: the last byte that was passed on ended a frame.
    :ivar left: bytes of the frame under way that still have to pass.
    :ivar close: payload of the close frame that passed; None before.
    """

    __slots__ = ("_held", "_secret", "close", "left")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.left = 0
        self._held = b""  # a header or a control frame that is not complete
        self.close: bytes | None = None

    @property
    def is_between(self) -> bool:
        """Whether a frame may be put in here."""
        return self.left == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Follow some bytes; what is to be passed on comes back, and what is to be fed again in a later turn."""
        if self.left >= len(data):
            self.left -= len(data)
            return data, b""
        if self._held:
            data, self._held = self._held + data, b""
        out: list[bytes] = []
        start, at, end, rest = 0, self.left, len(data), b""
        self.left = frames = 0
        while at < end:
            frames += 1
            if frames > MAX_FRAMES:
                data, rest, end = data[:at], data[at:], at
                break
            # Most frames are small or middling data frames; a call for each would be half of what a message costs.
            if end - at >= 4 and data[at] & 0x0F < CLOSE and (length := data[at + 1] & 0x7F) < 127:
                if length == 126:
                    length = (data[at + 2] << 8 | data[at + 3]) + 2
                at += length + (6 if data[at + 1] & 0x80 else 2)
                continue
            size = self._frame_at(data, at)
            if size == 0:
                self._held = data[at:]
                break
            if size < 0:  # the relay's own pong, whole
                out.append(data[start:at])
                start = at - size
                at = start
                continue
            at += size
        if self._held:
            end -= len(self._held)
        elif at > end:
            self.left = at - end
        if not out:
            return (data if start == 0 and end == len(data) else data[start:end]), rest
        out.append(data[start:end])
        return b"".join(out), rest

    def _frame_at(self, data: bytes, at: int) -> int:
        """Bytes of the frame that begins here, header included; 0 when more is needed to tell; negative when it is to
        be taken out.
        """
        have = len(data) - at
        if have < 2:
            return 0
        opcode = data[at] & 0x0F
        length = data[at + 1] & 0x7F
        masked = data[at + 1] & 0x80
        header = 6 if masked else 2
        if length == 126:
            if have < 4:
                return 0
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            header += 2
        elif length == 127:
            if have < 10:
                return 0
            length = int.from_bytes(data[at + 2 : at + 10], "big")
            header += 8
        if opcode < CLOSE or length > MAX_CONTROL:
            return header + length
        if have < header + length:
            return 0
        if opcode in (CLOSE, PONG):
            payload = data[at + header : at + header + length]
            if masked:
                payload = mask(payload, data[at + header - 4 : at + header])
            if opcode == CLOSE:
                self.close = payload
            elif payload == self._secret:
                return -(header + length)
        return header + length


def mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask a control frame's payload (RFC 6455 section 5.3).

    :param key: four bytes.
    """
    pad = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(payload), "big")


def control(opcode: int, payload: bytes, key: bytes | None = None) -> bytes:
    """A control frame.

    :param key: four unpredictable bytes toward a server; None toward a client.
    """
    if key is None:
        return bytes((0x80 | opcode, len(payload))) + payload
    return bytes((0x80 | opcode, 0x80 | len(payload))) + key + mask(payload, key)


def close_payload(code: int, reason: str) -> bytes:
    """A close frame's payload; the reason is at most 123 bytes of UTF-8."""
    return struct.pack("!H", code) + reason.encode()
