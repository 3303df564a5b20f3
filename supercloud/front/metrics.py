"""``/metrics`` for monitoring, as Prometheus reads it: numbers alone, at an address of its own and without TLS."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from supercloud.deadline import Deadline

_MOST: Final = 16  # connections at once: whoever is on this host may make some
_LARGEST: Final = 8192  # bytes of a request
_WITHIN: Final = 5.0  # seconds for the whole exchange
_KIND: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics(Factory):
    """Answers whoever asks.

    :param outcomes: exchanges that are over, by the outcome of their audit lines.
    :param connections: counts those of browsers and programs.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, outcomes: Mapping[str, int], connections: Callable[[], int]) -> None:
        self.clock = clock
        self.open = 0
        self._outcomes = outcomes
        self._connections = connections

    def buildProtocol(self, addr: IAddress | None) -> _Asked | None:
        """None closes the connection."""
        return None if self.open >= _MOST else _Asked(self)

    def text(self) -> bytes:
        """All numbers, in Prometheus's text format; what only a file could tell is the host's to tell."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        lines = ["# TYPE supercloud_exchanges_total counter"]
        lines += [f'supercloud_exchanges_total{{outcome="{name}"}} {n}' for name, n in sorted(self._outcomes.items())]
        for name, kind, value in (
            ("supercloud_connections", "gauge", self._connections()),
            ("process_cpu_seconds_total", "counter", round(used.ru_utime + used.ru_stime, 2)),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join([*lines, ""]).encode("ascii")


class _Asked(Protocol):
    """One connection, for one request."""

    transport: Any

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._head = b""
        self._bound = Deadline(metrics.clock, self._end)

    def connectionMade(self) -> None:
        self._metrics.open += 1
        self._bound.set(_WITHIN)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._metrics.open -= 1
        self._bound.cancel()

    def dataReceived(self, data: bytes) -> None:
        self._head += data
        if len(self._head) > _LARGEST:
            self._end()
        elif b"\r\n\r\n" in self._head:
            is_asked = self._head.startswith(b"GET /metrics HTTP/1.")
            status, body = (b"200 OK", self._metrics.text()) if is_asked else (b"404 Not Found", b"see /metrics\n")
            self._head = b""
            fields = b"Content-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (_KIND, len(body))
            self.transport.write(b"HTTP/1.1 %b\r\n%b%b" % (status, fields, body))
            self.transport.loseConnection()

    def _end(self) -> None:
        self.transport.abortConnection()
