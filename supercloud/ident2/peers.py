"""The UDP side: answers other nodes' questions and asks them ours, on one privileged port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from supercloud.ident2.datagram import Ancillary, Peer, same_host
from supercloud.ident2.occasional import Occasional
from supercloud.ident2.outstanding import NoAnswer, Outstanding, Reason
from supercloud.ident2.wire import Answer, Greeting, Opcode, Question, WireError, decode

_log = Logger()

Network = IPv4Network | IPv6Network
PRIVILEGED: Final = 1024  # a source port below it was opened by root (PROT_SOCK; ip_unprivileged_port_start)


class Datagrams(Protocol):
    """A bound socket; :class:`supercloud.ident2.datagram.DatagramSocket`."""

    @property
    def version(self) -> int: ...

    def send(self, data: bytes, peer: Peer, ancillary: Ancillary | None = None) -> None: ...


class Networks:
    """The networks whose nodes are asked and answered; loopback always is."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._known: dict[IPv4Address | IPv6Address, bool] = {}

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        inside = self._known.get(address)
        if inside is None:
            inside = address.is_loopback or any(address in network for network in self._networks)
            if len(self._known) >= 4096:
                self._known.clear()
            self._known[address] = inside
        return inside


class Peers:
    """Questions and answers between nodes.

    :param port: of the other nodes.
    :param submit: queues a question about this host; False when there is no room.
    :param lowest_untrusted: source ports from here on belong to anybody.
    :param in_reactor: calls something in the reactor's thread; None when `received` is called there already.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        networks: Sequence[Network],
        port: int,
        outstanding: Outstanding,
        submit: Callable[[Question, Callable[[Answer], object]], bool],
        lowest_untrusted: int = PRIVILEGED,
        in_reactor: Callable[..., object] | None = None,
    ) -> None:
        self.networks = Networks(networks)
        self._port = port
        self._outstanding = outstanding
        self._submit = submit
        self._lowest_untrusted = lowest_untrusted
        self._sockets: dict[int, Datagrams] = {}
        self._texts: dict[str, bool] = {}
        self._nodes: dict[IPv4Address | IPv6Address, tuple[Datagrams, Peer]] = {}
        self._in_reactor = in_reactor or _at_once
        self._foreign = Occasional(clock, _foreign)
        self._malformed = Occasional(clock, _malformed)
        self._full = Occasional(clock, _full)
        self._stray = Occasional(clock, _stray)

    def use(self, datagrams: Datagrams) -> None:
        """Ask nodes of that socket's address family through it."""
        self._sockets[datagrams.version] = datagrams
        self._nodes.clear()

    def ask(self, question: Question) -> Deferred[Answer]:
        """Ask the node that ``question.local`` belongs to.

        :raises NoAnswer: at once, when the node is outside the networks, or there is no socket of its address family.
        """
        datagrams, node = self._nodes.get(question.local.host) or self._node(question)

        def send(question: Question) -> None:
            datagrams.send(question.encode(), node)

        return self._outstanding.ask(question, send, node)

    def received(self, datagrams: Datagrams, data: bytes, peer: Peer, ancillary: Ancillary) -> None:
        """Judge one datagram: by its sender first, then by what it says."""
        if peer[1] >= self._lowest_untrusted or not self._admits(peer[0]):
            self._in_reactor(self._foreign.note, f"{peer[0]} port {peer[1]}")
            return
        try:
            message = decode(data)
        except WireError as error:
            self._in_reactor(self._malformed.note, f"{peer[0]}: {error}")
            return
        match message:
            case Question(opcode=Opcode.ASK_REMOTE):
                self._answer(datagrams, message, peer, ancillary)
            case Answer(opcode=Opcode.ANSWER_REMOTE):
                self._in_reactor(self._take, message, peer)
            case Greeting():
                _log.info("greeting from {host}: {text!r}", host=peer[0], text=message.text[:80])
            case _:
                self._in_reactor(self._malformed.note, f"{peer[0]}: {message.opcode.name} between nodes")

    def _node(self, question: Question) -> tuple[Datagrams, Peer]:
        """:raises NoAnswer: see `ask`."""
        host = question.local.host
        if host not in self.networks:
            raise NoAnswer(Reason.OUTSIDE, question)
        datagrams = self._sockets.get(host.version)
        if datagrams is None:
            raise NoAnswer(Reason.REFUSED, question)
        if len(self._nodes) >= 4096:
            self._nodes.clear()
        node = self._nodes[host] = datagrams, (str(host), self._port)
        return node

    def _answer(self, datagrams: Datagrams, question: Question, peer: Peer, ancillary: Ancillary) -> None:
        def deliver(answer: Answer) -> None:
            datagrams.send(answer.encode(), peer, ancillary)

        if not self._submit(question, deliver):
            self._in_reactor(self._full.note, peer[0])

    def _take(self, answer: Answer, peer: Peer) -> None:
        if not self._outstanding.answered(answer, peer):
            self._stray.note(peer[0])

    def _admits(self, text: str) -> bool:
        admits = self._texts.get(text)
        if admits is None:
            if len(self._texts) >= 4096:
                self._texts.clear()
            admits = self._texts[text] = same_host(text) in self.networks
        return admits


def _at_once(call: Callable[..., object], *args: object) -> None:
    call(*args)


def _foreign(count: int, last: str) -> None:
    _log.warn("{count} datagrams refused, last from {last}: not a peer's privileged port", count=count, last=last)


def _malformed(count: int, last: str) -> None:
    _log.warn("{count} datagrams that are not ident2, last from {last}", count=count, last=last)


def _full(count: int, last: str) -> None:
    _log.warn("{count} questions dropped, last from {last}: too many wait", count=count, last=last)


def _stray(count: int, last: str) -> None:
    _log.info("{count} answers that nobody waits for, last from {last}", count=count, last=last)
