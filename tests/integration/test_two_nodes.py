"""Two nodes with their own responders, a portal on the head, real accounts: one's own opens, others' does not."""

from __future__ import annotations

import contextlib
import grp
import pwd
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.accounts import PROJ_GID
from lab.certificates import Certificates
from lab.processes import PYTHON, Processes
from lab.sharing import shared
from lab.site import PEERS, Head, start_node

pytestmark = pytest.mark.root

# An account whose primary group is one that others are in, as at sites without user private groups.
SHARER, SHARER_UID = "lab-sharer", 20042


@pytest.fixture(scope="module")
def site(accounts: Any, cluster: Any, public_copies: Any) -> Iterator[SimpleNamespace]:
    """node1 and node2 with responders, and a portal that knows alice, bob and carol."""
    processes = Processes()
    folder = public_copies.folder / "two-nodes"
    folder.mkdir()
    # Where the front's account can read them once it has left root behind.
    certificates = Certificates(public_copies.folder)
    # Port 99 of the cluster's addresses can be had once on this machine.
    with shared("ident2-port-99", lambda: None, lambda: None), contextlib.ExitStack() as stack:
        stack.callback(processes.stop)
        nodes = {node: start_node(cluster, processes, folder, node) for node in ("node1", "node2")}
        head = Head(folder / "head", certificates)
        head.start(processes, logins=("alice", "bob", "carol"))
        made = SimpleNamespace(head=head, nodes=nodes, folder=folder, processes=processes, cluster=cluster)
        made.alice, made.bob, made.carol = (head.signed_in(login) for login in ("alice", "bob", "carol"))
        yield made
        head.portal.stop()
        for responder in nodes.values():
            responder.stop()


@pytest.fixture(scope="module")
def strict(site: Any) -> Iterator[Head]:
    """Another portal that asks the first one's responder, knows alice and bob only, and trusts no project group."""
    head = Head(site.folder / "strict", site.head.certificates)
    ident2 = f'responder = false\nsocket = "{site.head.folder}/run/ident2.sock"\nudp = ""\npeers = {PEERS}\n'
    more = f"[firewall]\nshared_gids = [{PROJ_GID}]\n"
    # As root: the responder's socket is for root and the group ident2, which this machine need not have.
    head.start(site.processes, logins=("alice", "bob"), ident2=ident2, more=more, plain_first=True, account="")
    yield head
    head.portal.stop()


@pytest.fixture(scope="module")
def sharer(accounts: Any) -> Iterator[str]:
    def make() -> None:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(SHARER)
            return
        argv = ["useradd", "-u", str(SHARER_UID), "-g", "proj", "-M", "-d", "/nonexistent", "-c", "supercloud-tests"]
        subprocess.run([*argv, SHARER], check=True, capture_output=True)

    with shared("sharer", make, lambda: subprocess.run(["userdel", "-f", SHARER], check=True, capture_output=True)):
        yield SHARER


def address_of(site: Any, node: str, family: str) -> str:
    return site.cluster.address6(node) if family == "IPv6" else site.cluster.address(node)


@pytest.mark.parametrize("node", ["node1", "node2"])
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_alice_reaches_hers_on_every_node_by_every_address(
    site: Any, applications: Any, accounts: Any, node: str, family: str
) -> None:
    address = address_of(site, node, family)
    hers = applications.start("alice", address=address, node=node)
    name = node if family == "IPv4" else f"{node}-6"
    literal = f"[{address}]" if family == "IPv6" else address
    head = site.head
    bases = [
        f"{head.together}/fw2/{name}:{hers.port}",
        f"{head.together}/fw2/{literal}:{hers.port}",
        f"{head.together}/rnode/{name}/{hers.port}",
        head.own(f"{name}-{hers.port}"),
    ]
    for base in bases:
        answer = site.alice(f"{base}/who")
        assert answer.status == 200, (base, answer)
        told = answer.json()
        assert (told["uid"], told["node"]) == (accounts["alice"].uid, node)
        assert dict(told["headers"])["X-Forwarded-User"] == "alice"


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_carol_gets_404_and_not_even_a_connection_arrives(site: Any, applications: Any, family: str) -> None:
    hers = applications.start("alice", "--once", address=address_of(site, "node1", family), node="node1")
    name = "node1" if family == "IPv4" else "node1-6"
    head = site.head
    for base in (f"{head.together}/fw2/{name}:{hers.port}", f"{head.together}/node/{name}/{hers.port}"):
        for options in ([], ["-H", "Accept: text/html"], ["-X", "PUT", "-d", "secret"]):
            assert site.carol(f"{base}/who", *options).status == 404
    for label in (f"{name}-{hers.port}", f"{name}-{hers.port}-u20001", f"{name}-{hers.port}-u20003"):
        answer = site.carol(f"{head.own(label)}/who")
        assert (answer.code, answer.status) == (0, 404), answer
    assert hers.process.poll() is None
    assert hers.events("accepted") == []


def test_bob_does_not_reach_alices_just_because_they_share_a_group(site: Any, applications: Any) -> None:
    hers = applications.start("alice", "--once", address="10.77.0.11", node="node1")
    assert site.bob(f"{site.head.together}/fw2/node1:{hers.port}/who").status == 404
    assert hers.events("accepted") == []


def test_bob_reaches_what_alice_runs_under_their_group_at_the_owners_label(
    site: Any, applications: Any, accounts: Any
) -> None:
    shared_one = applications.start("alice", address="10.77.0.11", node="node1", gid="proj")
    head = site.head
    label = f"node1-{shared_one.port}-u20001"
    first = site.bob(f"{head.together}/fw2/node1:{shared_one.port}/who?x=1", follow=False)
    assert (first.status, first.field("Location")) == (303, f"{head.own(label)}/who?x=1")
    # The viewer's own label leads there too.
    for begin in (f"{head.together}/fw2/node1:{shared_one.port}", head.own(f"node1-{shared_one.port}")):
        answer = site.bob(f"{begin}/who?x=1", "--write-out", "\n%{url_effective}")
        assert answer.status == 200, answer
        body, _, url = answer.text.rpartition("\n")
        assert url == f"{head.own(label)}/who?x=1"
        assert f'"uid": {accounts["alice"].uid}' in body
        assert '["X-Forwarded-User", "bob"]' in body
        assert answer.field("Cache-Control") == "no-store"
    line = head.audited(f"{shared_one.port}/who")
    assert (line["principal"], line["verdict"]) == ("bob", "member of the group that the holder took")
    assert site.bob(f"{head.own(label)}/sw.js", "-H", "Service-Worker: script").status == 403
    # Alice's own is at the very same one.
    hers = site.alice(f"{head.own(f'node1-{shared_one.port}')}/who", "--write-out", "\n%{url_effective}")
    assert hers.text.rpartition("\n")[2] == f"{head.own(label)}/who"
    assert site.carol(f"{head.own(label)}/who").status == 404


def test_a_shared_primary_group_does_not_permit(site: Any, accounts: Any, sharer: str) -> None:
    script = (
        "import socket; s = socket.create_server(('10.77.0.11', 0)); print(s.getsockname()[1], flush=True); s.accept()"
    )
    argv = ["setpriv", f"--reuid={SHARER_UID}", f"--regid={PROJ_GID}", "--clear-groups", PYTHON, "-c", script]
    process = site.cluster.exec("node1", argv, stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())
    assert "bob" in grp.getgrgid(PROJ_GID).gr_mem
    assert site.bob(f"{site.head.together}/fw2/node1:{port}/primary").status == 404
    line = site.head.audited(f"{port}/primary")
    assert "the group is the holder's primary group, not taken on purpose" in line["reason"]
    assert process.poll() is None  # It would have ended with its first connection.
    process.terminate()


def test_shared_gids_never_permit(strict: Head, applications: Any) -> None:
    shared_one = applications.start("alice", "--once", address="10.77.0.11", node="node1", gid="proj")
    bob = strict.signed_in("bob")
    assert bob(f"{strict.together}/fw2/node1:{shared_one.port}/shared").status == 404
    assert "the group is shared by everybody" in strict.audited("/shared")["reason"]
    assert shared_one.events("accepted") == []
    alice = strict.signed_in("alice")
    assert alice(f"{strict.together}/fw2/node1:{shared_one.port}/who").status == 200


def test_roots_listener_is_nobodys(site: Any, applications: Any) -> None:
    script = (
        "import socket; s = socket.create_server(('10.77.0.11', 0)); print(s.getsockname()[1], flush=True); s.accept()"
    )
    process = site.cluster.exec("node1", [PYTHON, "-c", script], stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())
    assert site.alice(f"{site.head.together}/fw2/node1:{port}/").status == 404
    assert process.poll() is None
    process.terminate()


def test_a_node_that_is_down_is_502_in_bounded_time(site: Any) -> None:
    begin = time.monotonic()
    answer = site.alice(f"{site.head.together}/fw2/10.77.0.99:12000/", "-H", "Accept: text/html")
    assert answer.status == 502, answer
    assert time.monotonic() - begin < 4
    assert "could not find out whose application this is" in answer.text


def test_a_node_without_its_responder_is_502_and_nothing_arrives(site: Any, applications: Any) -> None:
    hers = applications.start("alice", address="10.77.0.12", node="node2")
    site.nodes.pop("node2").stop()
    try:
        begin = time.monotonic()
        assert site.alice(f"{site.head.together}/fw2/node2:{hers.port}/who").status == 502
        assert time.monotonic() - begin < 4
        assert hers.events("accepted") == []
    finally:
        site.nodes["node2"] = start_node(site.cluster, site.processes, site.folder, "node2")
    assert site.alice(f"{site.head.together}/fw2/node2:{hers.port}/who").status == 200


@pytest.mark.parametrize("target", ["node9:12000", "example.org:12000", "192.0.2.1:12000", "node1:80", "[::1]:12000"])
def test_what_is_not_the_clusters_is_refused_before_any_look_up(site: Any, target: str) -> None:
    assert site.alice(f"{site.head.together}/fw2/{target}/").status == 404


def test_the_portals_own_listeners_are_no_target_by_any_of_their_addresses(site: Any) -> None:
    for port in (site.head.port, site.head.plain):
        assert site.alice(f"{site.head.together}/fw2/10.77.0.1:{port}/").status == 404


def test_the_audit_line_tells_who_what_whose_and_how_and_holds_no_query(
    site: Any, applications: Any, accounts: Any
) -> None:
    hers = applications.start("alice", address="10.77.0.11", node="node1")
    begin = time.time()
    body = b"b" * 5000
    site.alice(f"{site.head.together}/fw2/node1:{hers.port}/echo?token=sesame", data=body)
    line = site.head.audited(f"{hers.port}/echo")
    assert set(line) >= {"time", "id", "principal", "address", "method", "origin", "path", "target", "verdict", "rule"}
    assert set(line) >= {"pid", "uid", "gid", "age", "up", "down", "seconds", "outcome"}
    assert (line["principal"], line["address"], line["method"]) == ("alice", "10.77.0.1", "POST")
    assert (line["origin"], line["path"]) == (f"apps.portal.test:{site.head.port}", f"/fw2/node1:{hers.port}/echo")
    assert (line["target"], line["verdict"], line["rule"]) == (f"node1:{hers.port}", "same user", "connection")
    assert (line["pid"], line["uid"], line["gid"]) == (hers.process.pid, accounts["alice"].uid, accounts["alice"].gid)
    assert (line["up"], line["down"], line["outcome"], line["status"]) == (5000, 5000, "served", 200)
    assert 0 <= line["age"] < 2
    assert 0 < line["seconds"] < time.time() - begin
    site.carol(f"{site.head.together}/fw2/node1:{hers.port}/refused?token=sesame")
    refused = site.head.audited(f"{hers.port}/refused")
    assert (refused["principal"], refused["outcome"], refused["status"]) == ("carol", "refused", 404)
    assert "somebody else's" in refused["reason"]
    assert "sesame" not in site.head.audit.read_text()
    assert "sesame" not in "\n".join(site.head.portal.printed)


def test_the_certificates_listener_signs_in_for_the_portals_own_port(strict: Head, applications: Any) -> None:
    hers = applications.start("alice", address="10.77.0.11", node="node1")
    alice = strict.curl("alice")
    answer = alice(f"https://portal.test:{strict.port}/login", follow=False)
    assert (answer.status, answer.field("Location")) == (303, f"{strict.url}/")
    for url in (f"{strict.together}/fw2/node1:{hers.port}/who", f"{strict.own(f'node1-{hers.port}')}/who"):
        assert alice(url).status == 200, url


class TestCertificates:
    def test_a_good_one_signs_in_and_leads_back_to_where_one_wanted_to_go(self, site: Any, applications: Any) -> None:
        hers = applications.start("alice", address="10.77.0.11", node="node1")
        alice = site.head.curl("alice")
        answer = alice(f"{site.head.url}/fw2/node1:{hers.port}/who?q=1", "-H", "Accept: text/html")
        assert (answer.statuses[0], answer.status) == (303, 200)
        assert answer.json()["path"] == "/who?q=1"

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1"])
    def test_signing_in_leads_nowhere_else(self, site: Any, target: str) -> None:
        answer = site.head.curl("alice")(
            f"{site.head.url}/login", "-G", "--data-urlencode", f"next={target}", follow=False
        )
        assert (answer.status, answer.field("Location")) == (303, f"{site.head.url}/")

    def test_none_gets_the_page_that_says_what_is_needed(self, site: Any) -> None:
        answer = site.head.curl()(f"{site.head.url}/", "-H", "Accept: text/html")
        assert answer.status == 401
        assert "client certificate" in answer.text

    def test_one_that_the_map_does_not_know_gets_a_friendly_page(self, strict: Head) -> None:
        answer = strict.curl("carol")(f"https://portal.test:{strict.port}/login")
        assert answer.status == 401
        assert "Your certificate is valid, but no account here belongs to it." in answer.text
        assert "CN=carol" in answer.text

    @pytest.mark.parametrize("bad", ["revoked", "expired", "stranger"])
    def test_a_bad_one_gets_nothing(self, site: Any, bad: str) -> None:
        curl = site.head.curl(bad)
        answer = curl(f"{site.head.url}/login")
        assert answer.code in (35, 55, 56), answer  # curl: TLS refused, at the handshake or with the first read
        assert answer.status == 0
        assert curl(f"https://portal.test:{site.head.plain}/login").status == 401

    def test_many_looks_at_the_sign_in_page_delay_nobody(self, site: Any) -> None:
        stranger = site.head.curl()
        begin = time.monotonic()
        assert stranger(*[f"{site.head.url}/login"] * 20).status == 401
        assert site.head.curl("alice")(f"{site.head.url}/login", follow=False).status == 303
        assert time.monotonic() - begin < 3


def test_the_front_has_left_root_behind(site: Any) -> None:
    status = Path(f"/proc/{site.head.portal.process.pid}/status").read_text()
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    assert f"Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}\n" in status
