"""A portal's TLS and nothing else: tells who came, then echoes; SIGHUP reads the files again.

usage: tls_server.py CERTIFICATE KEY [CLIENT_CA [CRL]]

Says JSON lines on standard output: the port, then after each SIGHUP what was wrong (null: nothing).
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from supercloud.front.tls import TlsFactory, TlsFiles, TlsMaterial, peer_certificate


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        if data == b"who\n":
            found = peer_certificate(self.transport)
            self.transport.write(f"{found.subject.rfc4514_string() if found else None}\n".encode())
        else:
            self.transport.write(data)


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    material = TlsMaterial(TlsFiles(*map(Path, sys.argv[1:])))

    def reload(*_: object) -> None:
        wrong = material.reload()
        say(str(wrong) if wrong else None)

    port = reactor.listenTCP(0, TlsFactory(material, Factory.forProtocol(Echo), reactor), interface="127.0.0.1")
    reactor.callWhenRunning(lambda: signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload)))
    reactor.callWhenRunning(lambda: say(port.getHost().port))
    reactor.run()


main()
