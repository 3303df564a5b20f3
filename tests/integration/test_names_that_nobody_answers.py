"""A DNS server that answers about one domain and never about another: who asks for names of the other waits alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# The portal's own look-ups under a reactor of their own, beside the server that they ask; prints seconds.
_SCRIPT = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.names import dns, server
from twisted.names.error import DNSNameError
from supercloud.errors import Busy
from supercloud.offload import Offload
from supercloud.routing.dns import Files, NodeNames
from supercloud.routing.nodes import Nodes
from supercloud.routing.names import PLACES
from supercloud.target import Application

class Zone:
    def query(self, query, timeout=None):
        name = query.name.name.decode()
        if name.endswith("evil.test"):
            return Deferred()
        answered = Deferred()
        if name == "node1.cluster.test" and query.type == dns.A:
            answered.callback(([dns.RRHeader(name, payload=dns.Record_A("10.77.0.1"))], [], []))
        else:
            answered.errback(DNSNameError())
        return answered

factory = server.DNSServerFactory(clients=[Zone()])
protocol = dns.DNSDatagramProtocol(factory)
port = reactor.listenUDP(0, protocol, interface="127.0.0.1").getHost().port
folder = Path(sys.argv[1])
offload = Offload(reactor, name="names", threads=PLACES)
found = NodeNames(offload, reactor, Files(folder / "nsswitch", folder / "resolv", folder / "hosts"), port=port)
nodes = Nodes(found.addresses, reactor, allow=("10.77.0.0/24",), ports=(1024, 65535))

async def attack():
    told = [Deferred.fromCoroutine(nodes.resolve(Application(f"n{n}.evil.test", 8080), 1001)) for n in range(450)]
    refused = []
    for one in told:
        one.addErrback(lambda failure: refused.append(failure.type))
    began = reactor.seconds()
    target = await nodes.resolve(Application("node1", 8080), 1002)
    print(target.addresses[0], refused.count(Busy), f"{reactor.seconds() - began:.3f}")

def go():
    offload.start()
    done = Deferred.fromCoroutine(attack())
    done.addErrback(lambda failure: failure.printTraceback())
    done.addBoth(lambda _: (offload.stop(), reactor.stop()))

reactor.callWhenRunning(go)
reactor.callLater(30, reactor.stop)
reactor.run()
"""


def test_450_names_whose_dns_never_answers_keep_nobody_else_from_a_node(tmp_path: Path) -> None:
    (tmp_path / "nsswitch").write_text("hosts: files dns\n")
    (tmp_path / "resolv").write_text("nameserver 127.0.0.1\nsearch cluster.test\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    words = ran.stdout.split()
    assert words[:2] == ["10.77.0.1", str(450 - 3 - 20)], ran.stderr
    assert float(words[2]) < 10
