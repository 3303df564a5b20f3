"""The two sides of a relay, which write down what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class FakeUpstreamLeg:
    """Implements `relay.http.Upstream`."""

    def __init__(self, exchanges: int) -> None:
        self.exchanges = exchanges
        self.said: list[Any] = []

    def begin(self, sink: Any, method: bytes, head: bytes) -> None:
        self.said.append(("begin", head))

    def write(self, data: bytes) -> None:
        self.said.append(("write", data))

    def finish(self) -> None:
        self.said.append("finish")

    def finish_tunnel(self) -> None:
        self.said.append("finish_tunnel")

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")

    def leave(self) -> None:
        self.said.append("leave")

    def close(self) -> None:
        self.said.append("close")


class FakeDownstream:
    """Implements `relay.http.Downstream`."""

    share: Any = None

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.relay: Any = None

    def carry(self, relay: Any) -> None:
        self.relay = relay

    def start_request_body(self, relay: Any) -> None:
        self.said.append("take")

    def respond_head(self, head: Any) -> None:
        self.said.append(("head", head.status))

    def respond_body(self, payload: bytes) -> None:
        self.said.append(("body", payload))

    def respond_end(self, trailers: Sequence[bytes]) -> None:
        self.said.append(("end", *trailers) if trailers else "end")

    def respond_flush(self) -> None:
        self.said.append("flush")

    def pause_request(self) -> None:
        self.said.append("pause")

    def resume_request(self) -> None:
        self.said.append("resume")

    def begin_tunnel(self, head: Any) -> None:
        self.said.append("tunnel")

    def enter_tunnel(self, head: bytes) -> None:
        self.said.append(("tunnel", head))

    def tunnel_write(self, data: bytes) -> None:
        self.said.append(("tunnel", data))

    def break_off(self) -> None:
        self.said.append("break_off")

    def end_tunnel(self) -> None:
        self.said.append("end_tunnel")

    def fail(self, error: Any) -> None:
        self.said.append(error)
