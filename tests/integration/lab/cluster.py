"""Nodes of a cluster: network namespaces on one bridge of this machine, with names of their own.

node1 is 10.77.0.11 and fd77::11, node2 the next; this host is "head", 10.77.0.1 and fd77::1. The bridge has no way out.
Accounts, files and processes are the machine's own on every node.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from lab.processes import NODE_FOLDER, Processes, enter

_BRIDGE = "lab0"
_HOSTS = Path("/etc/hosts")
_MARK = "# lab-cluster"
# Says that tests made the cluster, so that they may remove it; one that was there before them stays.
_MADE = NODE_FOLDER.parent / "made-by-supercloud-tests"


class Cluster:
    """The nodes that are up.

    :ivar nodes: their names.
    """

    def __init__(self, processes: Processes, count: int) -> None:
        self.nodes = tuple(f"node{number}" for number in range(1, count + 1))
        self._processes = processes

    def address(self, node: str) -> str:
        """IPv4 of a node or of "head"."""
        return _address(node)

    def address6(self, node: str) -> str:
        """IPv6 of a node or of "head"."""
        return _address6(node)

    def exec(self, node: str, argv: list[str], **popen: Any) -> subprocess.Popen[Any]:
        """Start ``argv`` on a node as root; it is ended when the tests end."""
        return self._processes.start([*enter(node), *argv], **popen)


def make(count: int) -> None:
    """Make what is not there yet; more nodes than ``count`` may be there."""
    NODE_FOLDER.mkdir(parents=True, exist_ok=True)
    if not _succeeds("mountpoint", "-q", str(NODE_FOLDER)):
        # A name space can be mounted on a file only below a private mount.
        _run("mount", "--bind", str(NODE_FOLDER), str(NODE_FOLDER))
        _run("mount", "--make-private", str(NODE_FOLDER))
    if not _succeeds("ip", "link", "show", _BRIDGE):
        _MADE.touch()
        _run("ip", "link", "add", _BRIDGE, "type", "bridge", "forward_delay", "0")
    _run("ip", "addr", "replace", f"{_address('head')}/24", "dev", _BRIDGE)
    _run("ip", "-6", "addr", "replace", f"{_address6('head')}/64", "dev", _BRIDGE, "nodad")
    _run("ip", "link", "set", _BRIDGE, "up")
    for number in range(1, count + 1):
        _make_node(f"node{number}")
    _name_hosts(["head", *sorted(file.name for file in NODE_FOLDER.iterdir())])


def remove() -> None:
    """Remove the cluster if tests made it."""
    if not _MADE.exists():
        return
    for file in sorted(NODE_FOLDER.iterdir()):
        _succeeds("ip", "link", "del", f"lab-{file.name}")
        _succeeds("ip", "netns", "del", file.name)
        _succeeds("umount", str(file))
        file.unlink()
    _succeeds("ip", "link", "del", _BRIDGE)
    _succeeds("umount", str(NODE_FOLDER))
    _name_hosts([])
    _MADE.unlink()
    NODE_FOLDER.rmdir()


def _make_node(node: str) -> None:
    if not Path(f"/run/netns/{node}").exists():
        _run("ip", "netns", "add", node)
    names = NODE_FOLDER / node
    if not _succeeds("mountpoint", "-q", str(names)):
        names.touch()
        _run("unshare", f"--uts={names}", "--", "hostname", node)
    if not _succeeds("ip", "link", "show", f"lab-{node}"):
        _run("ip", "link", "add", f"lab-{node}", "type", "veth", "peer", "name", "eth0", "netns", node)
    _run("ip", "link", "set", f"lab-{node}", "master", _BRIDGE, "up")
    # Always the same: after a crash other nodes still hold the address in their neighbour tables.
    _run("ip", "-n", node, "link", "set", "eth0", "address", f"02:00:0a:4d:00:{_number(node):02x}")
    _run("ip", "-n", node, "link", "set", "lo", "up")
    _run("ip", "-n", node, "addr", "replace", f"{_address(node)}/24", "dev", "eth0")
    _run("ip", "-n", node, "-6", "addr", "replace", f"{_address6(node)}/64", "dev", "eth0", "nodad")
    _run("ip", "-n", node, "link", "set", "eth0", "up")


def _name_hosts(nodes: list[str]) -> None:
    """Give the names their addresses: NODE (IPv4) and NODE-6 (IPv6); none takes ours away."""
    others = [line for line in _HOSTS.read_text().splitlines() if not line.endswith(_MARK)]
    ours = [f"{_address(node)} {node} {_MARK}" for node in nodes]
    ours += [f"{_address6(node)} {node}-6 {_MARK}" for node in nodes]
    # In place: in a container the file may be a mount of its own.
    _HOSTS.write_text("\n".join([*others, *ours]) + "\n")


def _number(node: str) -> int:
    return 1 if node == "head" else 10 + int(node.removeprefix("node"))


def _address(node: str) -> str:
    return f"10.77.0.{_number(node)}"


def _address6(node: str) -> str:
    return f"fd77::{_number(node)}"


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True).returncode == 0


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
