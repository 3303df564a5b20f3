"""The responder as a Twisted service: answers who holds a socket of this host, and asks the responders of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from supercloud.errors import PortalError
from supercloud.ident2.addresses import OwnAddresses
from supercloud.ident2.client import DaemonConnection, Ident2Client, InProcess
from supercloud.ident2.clients import LocalClients
from supercloud.ident2.datagram import Ancillary, DatagramSocket, Peer
from supercloud.ident2.lookup import HolderSearch, Lookup
from supercloud.ident2.outstanding import Outstanding
from supercloud.ident2.peers import PRIVILEGED, Network, Peers
from supercloud.ident2.processes import Processes
from supercloud.ident2.seqpacket import PacketPort
from supercloud.ident2.sockets import Sockets
from supercloud.ident2.threads import LookupThreads
from supercloud.ident2.wire import Answer, Question

_log = Logger()

_UNPRIVILEGED_START = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")  # of both address families
PENDING: Final = 4096  # questions that wait; twice what two a connect and 2,000 connects/s need at 0.5 s
ANYBODYS: Final = 65536  # no source port is refused: tests only


class UnsafePort(Exception):
    """Unprivileged users may bind the port that the answers' truth depends on."""


@contextmanager
def _named(what: str) -> Iterator[None]:
    """An error of the system says what could not be bound."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{what}: {error.strerror}") from error


class Responder(Service):
    """Answers for this host: in-process, to local clients on ``socket_path``, to peers on ``udp``.

    Sockets are bound in ``privilegedStartService``; rights may be dropped after it. To see the processes of all
    accounts it needs CAP_SYS_PTRACE (and CAP_DAC_READ_SEARCH where /proc hides processes).

    :param udp: addresses and ports, at most one an address family; empty for none.
    :param networks: whose nodes are asked and answered; loopback always is.
    :param socket_path: of the unix socket for local clients; None for none.
    :param socket_gid: the group that may connect to it.
    :param timeout: seconds of each try. :param tries: questions sent before giving up.
    :param peer_port: port of the others; None: the same as ours.
    :param allow_any_port: for tests: ports that anybody may bind, ours and the others'.
    :param only_answers: this process has nothing else to do: datagrams are read and answered in one thread.
    :param answer: instead of this host's kernel, for tests; blocks, in a thread.
    """

    def __init__(
        self,
        reactor: Any,  # IReactorTime, IReactorFDSet and IReactorFromThreads in one
        *,
        udp: Sequence[tuple[str, int]] = (),
        networks: Sequence[Network] = (),
        socket_path: str | None = None,
        socket_gid: int | None = None,
        timeout: float = 0.5,
        tries: int = 3,
        peer_port: int | None = None,
        allow_any_port: bool = False,
        unprivileged_start: Path = _UNPRIVILEGED_START,
        answer: Callable[[Question], Answer] | None = None,
        only_answers: bool = False,
    ) -> None:
        self._reactor = reactor
        self._udp = tuple(udp)
        self._socket_path = socket_path
        self._socket_gid = socket_gid
        self._allow_any_port = allow_any_port
        self._only_answers = only_answers
        self._unprivileged_start = unprivileged_start
        self._datagrams: list[DatagramSocket] = []
        self._port: PacketPort | None = None
        self.sockets = Sockets()
        self.processes = Processes()
        self.own = OwnAddresses(reactor)
        lookup = Lookup(self.sockets, self.processes)
        self._lookup = lookup
        self._threads = LookupThreads(answer or lookup.quick, answer or lookup.answer, whose=lookup.whose)
        self._outstanding = Outstanding(reactor, timeout=timeout, tries=tries, limit=PENDING)
        self.peers = Peers(
            reactor,
            networks=networks,
            port=peer_port or (self._udp[0][1] if self._udp else 0),
            outstanding=self._outstanding,
            submit=self._threads.answer_here if only_answers else self._threads.submit,
            lowest_untrusted=ANYBODYS if allow_any_port else PRIVILEGED,
            in_reactor=reactor.callFromThread if only_answers else None,
        )
        here = InProcess(reactor, self._outstanding, self._threads.answer_here)
        self._clients = LocalClients(reactor, own=self.own, here=here, elsewhere=self.peers)
        self.client = Ident2Client(reactor, own=self.own, here=here, elsewhere=self.peers)

    def search_by(self, find: HolderSearch) -> None:
        """Have holders searched by somebody who sees all accounts' processes, as this process does not."""

        def search(question: Question, deliver: Callable[[Answer], object]) -> None:
            self._reactor.callFromThread(begin, question, deliver)

        def begin(question: Question, deliver: Callable[[Answer], object]) -> None:
            answering = Deferred.fromCoroutine(self._lookup.answer_by(find, question)).addCallback(deliver)
            answering.addErrback(_no_answer, question)

        self._threads.elsewhere = search

    @property
    def udp_ports(self) -> list[int]:
        """Of the bound sockets; what port 0 became."""
        return [datagrams.port for datagrams in self._datagrams]

    def privilegedStartService(self) -> None:
        """Bind the sockets.

        :raises UnsafePort: when unprivileged users could bind such a port.
        :raises SocketTaken: when somebody answers on the unix socket already.
        :raises OSError: when a socket cannot be bound.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self._datagrams or self._port is not None:
            return
        for _, port in self._udp:
            self._check(port)
        try:
            for host, port in self._udp:
                with _named(f"ident2.udp: {host} port {port}"):
                    self._datagrams.append(self._bind(host, port))
            if self._socket_path is not None:
                with _named(f"ident2.socket: {self._socket_path}"):
                    self._port = PacketPort(
                        self._reactor, self._socket_path, self._clients.accepted, gid=self._socket_gid
                    )
        except BaseException:
            self._close()
            raise

    def startService(self) -> None:
        """Begin to answer."""
        self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        self.own.start()
        self._threads.start()
        for datagrams in self._datagrams:
            (datagrams.start_thread if self._only_answers else datagrams.start)()
        if self._port is not None:
            self._port.start()

    def stopService(self) -> None:
        """Stop answering; questions that wait fail."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._threads.stop()  # before the sockets that they send through
        self._close()
        self._clients.close()
        self._outstanding.stop()
        self.own.stop()
        self.sockets.close()

    def _bind(self, host: str, port: int) -> DatagramSocket:
        def received(data: bytes, peer: Peer, ancillary: Ancillary) -> None:
            self.peers.received(datagrams, data, peer, ancillary)

        datagrams = DatagramSocket(self._reactor, host, port, received)
        self.peers.use(datagrams)
        return datagrams

    def _check(self, port: int) -> None:
        if self._allow_any_port:
            return
        start = int(self._unprivileged_start.read_text())
        if port >= min(start, PRIVILEGED) or port == 0:
            raise UnsafePort(
                f"ident2.udp: port {port}: anybody may bind ports from {min(start, PRIVILEGED)}; take one below, as 99"
            )

    def _close(self) -> None:
        for datagrams in self._datagrams:
            datagrams.close()
        self._datagrams = []
        if self._port is not None:
            self._port.close()
            self._port = None


def _no_answer(failure: Failure, question: Question) -> None:
    """Silence: the asker asks again, and then refuses."""
    if not isinstance(failure.value, PortalError):
        _log.failure("no answer about {local}", failure, local=str(question.local))


class DaemonService(Service):
    """The other way: no responder of our own, but the one that runs on this host already, ours or the original.

    :ivar client: asks through it.
    """

    def __init__(self, reactor: Any, *, socket_path: str, timeout: float = 0.5, tries: int = 3) -> None:
        self.own = OwnAddresses(reactor)
        self._outstanding = Outstanding(reactor, timeout=timeout, tries=tries, limit=PENDING)
        self._daemon = DaemonConnection(reactor, self._outstanding, socket_path)
        self.client = Ident2Client(reactor, own=self.own, here=self._daemon, elsewhere=self._daemon)

    def startService(self) -> None:
        """Know the own addresses; the daemon is connected to with the first question."""
        super().startService()  # type: ignore[no-untyped-call]
        self.own.start()

    def stopService(self) -> None:
        """Questions that wait fail."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._daemon.close()
        self._outstanding.stop()
        self.own.stop()
