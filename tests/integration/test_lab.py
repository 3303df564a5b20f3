"""What the other integration tests stand on does what it says."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
from http.client import HTTPConnection, IncompleteRead

import pytest
from lab import accounts as lab_accounts
from lab import cluster as lab_cluster
from lab.certificates import P12_PASSWORD
from lab.processes import PYTHON, free_port, wait_until_listening

_FETCH = """
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(sys.argv[1], timeout=5).read().decode())
"""


def output(process) -> str:
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    return said.decode().strip()


@pytest.mark.root
class TestAccounts:
    def test_each_has_its_numbers_and_a_home_that_is_its_own(self, accounts):
        for login, uid in lab_accounts.LOGINS.items():
            account = accounts[login]
            assert (account.uid, account.gid) == (uid, uid)
            status = account.home.stat()
            assert (status.st_uid, status.st_mode & 0o777) == (uid, 0o700)

    def test_a_process_runs_as_the_account_with_its_groups_and_a_clean_environment(self, accounts):
        script = (
            "import os, json; print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), dict(os.environ)]))"
        )
        said = output(accounts.run_as("alice", [PYTHON, "-c", script], stdout=subprocess.PIPE))
        uids, gids, groups, environment = json.loads(said)
        assert uids == [20001] * 3
        assert gids == [20001] * 3
        assert sorted(groups) == [20001, 20100]
        environment.pop("LC_CTYPE", None)
        assert set(environment) == {"HOME", "USER", "LOGNAME", "PATH", "LANG"}

    def test_a_process_can_run_under_a_shared_group(self, accounts):
        process = accounts.run_as("alice", ["id"], gid="proj", stdout=subprocess.PIPE)
        assert output(process) == "uid=20001(alice) gid=20100(proj) groups=20100(proj),20001(alice)"

    def test_alice_cannot_end_bobs_process(self, accounts):
        bobs = accounts.run_as("bob", ["sleep", "60"])
        tries = accounts.run_as("alice", ["kill", str(bobs.pid)], stderr=subprocess.PIPE)
        _, said = tries.communicate(timeout=10)
        assert b"not permitted" in said
        assert bobs.poll() is None

    def test_alice_cannot_enter_bobs_home(self, accounts):
        tries = accounts.run_as("alice", ["ls", str(accounts["bob"].home)], stderr=subprocess.PIPE)
        _, said = tries.communicate(timeout=10)
        assert b"Permission denied" in said

    def test_making_them_again_changes_nothing(self, accounts):
        before = accounts["alice"].home.stat().st_ino
        lab_accounts.make()
        assert accounts["alice"].home.stat().st_ino == before


@pytest.mark.root
class TestCluster:
    def test_every_node_reaches_every_other_by_name_over_both_families(self, cluster, accounts, applications):
        for node in cluster.nodes:
            for address, name in ((cluster.address(node), node), (cluster.address6(node), f"{node}-6")):
                running = applications.start("alice", address=address, node=node)
                url = f"http://{name}:{running.port}/who"
                for where in (None, *cluster.nodes):
                    said = accounts.run_as("bob", [PYTHON, "-c", _FETCH, url], node=where, stdout=subprocess.PIPE)
                    answer = json.loads(output(said))
                    assert (answer["uid"], answer["node"]) == (20001, node)

    def test_a_node_has_a_name_and_a_loopback_of_its_own(self, cluster, accounts, applications):
        assert output(cluster.exec("node1", ["hostname"], stdout=subprocess.PIPE)) == "node1"
        running = applications.start("alice", node="node1")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port), 2)

    def test_a_node_has_no_way_out(self, cluster):
        routes = output(cluster.exec("node1", ["ip", "route"], stdout=subprocess.PIPE))
        assert "default" not in routes

    def test_a_listener_on_a_node_is_waited_for_there(self, cluster, accounts, applications):
        port = free_port(cluster.address("node2"), "node2")
        running = applications.start("bob", "--port", str(port), address=cluster.address("node2"), node="node2")
        wait_until_listening(cluster.address("node2"), port, node="node2", process=running.process)
        with pytest.raises(TimeoutError, match="node1"):
            wait_until_listening(cluster.address("node2"), port, node="node1", within=0.05)

    def test_making_it_again_mends_what_a_crash_left(self, cluster, accounts, applications):
        count = len(cluster.nodes) + 1  # one of its own: other test runs may use the others right now
        lab_cluster.make(count)
        subprocess.run(["ip", "link", "del", f"lab-node{count}"], check=True)
        lab_cluster.make(count)
        running = applications.start("alice", address=cluster.address6(f"node{count}"), node=f"node{count}")
        url = f"http://node{count}-6:{running.port}/who"
        answer = output(cluster.exec("node1", [PYTHON, "-c", _FETCH, url], stdout=subprocess.PIPE))
        assert json.loads(answer)["node"] == f"node{count}"

    def test_names_are_given_once(self, cluster):
        lab_cluster.make(len(cluster.nodes))
        with open("/etc/hosts", encoding="ascii") as stream:
            names = [line.split()[1] for line in stream if "lab-cluster" in line]
        assert len(names) == len(set(names))
        assert {"head", "head-6", "node1", "node1-6", "node2", "node2-6"} <= set(names)


class TestWaiting:
    def test_a_listener_on_every_address_counts_for_each(self):
        with socket.create_server(("0.0.0.0", 0)) as listener:
            wait_until_listening("127.0.0.1", listener.getsockname()[1])

    def test_a_listener_on_both_families_counts_for_ipv4(self):
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
            wait_until_listening("127.0.0.1", listener.getsockname()[1])

    def test_a_listener_of_one_address_counts_for_no_other(self):
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
            wait_until_listening("::1", listener.getsockname()[1])
            with pytest.raises(TimeoutError):
                wait_until_listening("127.0.0.1", listener.getsockname()[1], within=0.05)

    def test_a_process_that_ends_is_not_waited_for(self, processes):
        process = processes.start(["false"])
        with pytest.raises(ChildProcessError, match="ended with 1"):
            wait_until_listening("127.0.0.1", free_port(), process=process)


@pytest.fixture(scope="module")
def running(applications):
    return applications.start()


class TestApplication:
    @pytest.fixture
    def http(self, running):
        connection = HTTPConnection("127.0.0.1", running.port, timeout=5)
        yield connection
        connection.close()

    def ask(self, http, path, *, method="GET", **more):
        http.request(method, path, **more)
        answer = http.getresponse()
        return answer, answer.read()

    def test_who_tells_the_account_and_every_field_in_order(self, http):
        _, body = self.ask(http, "/who?x=1", headers={"X-One": "1", "x-two": "2"})
        answer = json.loads(body)
        assert (answer["uid"], answer["path"], answer["method"]) == (os.getuid(), "/who?x=1", "GET")
        assert answer["headers"][-2:] == [["X-One", "1"], ["x-two", "2"]]

    def test_the_connection_is_kept(self, http):
        peers = {tuple(json.loads(self.ask(http, "/who")[1])["peer"]) for _ in range(3)}
        assert len(peers) == 1

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_echo_with_a_length_and_in_chunks(self, http, method):
        body = b"0123456789" * 30_000
        answer, whole = self.ask(http, "/echo", method=method, body=body)
        assert whole == body
        assert answer.headers["Content-Length"] == str(len(body))
        answer, whole = self.ask(http, "/echo", method=method, body=iter([body, body]), encode_chunked=True)
        assert whole == body * 2
        assert answer.headers["Transfer-Encoding"] == "chunked"

    def test_bodies_of_several_kinds(self, http):
        assert self.ask(http, "/bytes/100000")[1] == b"x" * 100_000
        assert self.ask(http, "/chunks/3/5?trailers")[1] == b"y" * 15
        assert self.ask(http, "/events/2")[1] == b"data: 0\n\ndata: 1\n\n"
        assert self.ask(http, "/slow/0.01")[1] == b"done\n"
        assert self.ask(http, "/until-close/9")[1] == b"z" * 9

    def test_no_body_answers_head(self, http):
        answer, body = self.ask(http, "/bytes/5", method="HEAD")
        assert (answer.headers["Content-Length"], body) == ("5", b"")
        assert self.ask(http, "/status/204")[0].status == 204

    def test_trailers_follow_the_last_chunk(self, running):
        with socket.create_connection(("127.0.0.1", running.port), 5) as raw:
            raw.sendall(b"GET /chunks/1/2?trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            said = b"".join(iter(lambda: raw.recv(65536), b""))
        assert said.endswith(b"2\r\nyy\r\n0\r\nX-Chunks: 1\r\n\r\n")

    def test_an_answer_can_die(self, http):
        with pytest.raises((IncompleteRead, ConnectionResetError)):
            self.ask(http, "/die/10")

    @pytest.mark.parametrize(
        ("kind", "field"),
        [("path", "Location"), ("full", "Location"), ("refresh", "Refresh"), ("link", "Link")],
    )
    def test_redirects(self, http, kind, field):
        answer, _ = self.ask(http, f"/redirect/{kind}")
        assert "/" in answer.headers[field]

    def test_cookies_are_fields_of_their_own(self, http):
        answer, _ = self.ask(http, "/cookie")
        assert len(answer.headers.get_all("Set-Cookie")) == 4

    def test_an_upgraded_connection_echoes(self, running):
        with socket.create_connection(("127.0.0.1", running.port), 5) as raw:
            raw.sendall(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
            stream = raw.makefile("rb")
            assert stream.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while stream.readline().strip():
                pass
            raw.sendall(b"ping")
            raw.shutdown(socket.SHUT_WR)
            assert stream.read() == b"ping"
            stream.close()

    def test_it_listens_on_ipv6(self, applications):
        running = applications.start(address="::1")
        connection = HTTPConnection("::1", running.port, timeout=5)
        assert self.ask(connection, "/who")[0].status == 200
        connection.close()

    def test_its_log_counts_connections_and_every_byte(self, applications):
        running = applications.start()
        assert running.events("accepted") == []
        with socket.create_connection(("127.0.0.1", running.port), 5) as raw:
            until(lambda: running.events("accepted"))
            assert running.bytes_received == 0
            raw.sendall(b"GE")
            until(lambda: running.bytes_received == 2)
        until(lambda: running.events("closed"))

    def test_it_can_serve_one_connection_only(self, applications):
        running = applications.start(None, "--once")
        connection = HTTPConnection("127.0.0.1", running.port, timeout=5)
        assert self.ask(connection, "/who")[0].status == 200
        connection.close()
        assert running.process.wait(5) == 0


def test_certificates_are_good_for_what_they_are(certificates):
    for pair in (certificates.server, *certificates.client.values()):
        context = ssl.create_default_context(cafile=certificates.ca)
        context.load_cert_chain(pair.certificate, pair.private_key)
        check = ["openssl", "pkcs12", "-in", pair.p12, "-passin", f"pass:{P12_PASSWORD.decode()}", "-nokeys"]
        assert b"BEGIN CERTIFICATE" in subprocess.check_output(check)
    text = ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", certificates.client["bob"].certificate]
    said = subprocess.check_output(text, text=True)
    assert "email:bob@example.org" in said
    assert "UPN" in said


def until(holds, within=5.0):
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
