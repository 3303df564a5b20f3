"""The embedded portal as one types it: twistd, TLS, curl, and an application of the same account."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.portal import ROOT, TWISTD, Curl, Twistd, is_readable_by_all, start_embedded
from lab.processes import PYTHON, Processes, free_port, wait_until_listening
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

_BODY = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def embedded(processes: Processes, tmp_path_factory: Any) -> Iterator[SimpleNamespace]:
    """A portal of whoever runs the tests, with a curl that is signed in."""
    folder = tmp_path_factory.mktemp("embedded")
    port, state = free_port(), folder / "state"
    portal = start_embedded(processes, port, state)
    curl = Curl(folder / "curl", state / "tls" / "ca.pem")
    assert curl(portal.link()).status == 200
    made = SimpleNamespace(portal=portal, port=port, state=state, ca=state / "tls" / "ca.pem", curl=curl, folder=folder)
    made.url = f"https://localhost:{port}"
    made.path = lambda target: f"https://apps.localhost:{port}/fw2/localhost:{target}"
    made.own = lambda target: f"https://localhost-{target}-u{os.geteuid()}.fh.localhost:{port}"
    assert curl(f"{made.path(1024)}/").status in (404, 503)  # signed in there, too
    yield made
    made.portal.stop()


@pytest.fixture(scope="module")
def app(applications: Any) -> Any:
    return applications.start()


def websocket(embedded: SimpleNamespace, url: str, **options: Any) -> Any:
    host = url.partition("://")[2].partition("/")[0].partition(":")[0]
    context = ssl.create_default_context(cafile=str(embedded.ca))
    # This client reads in a thread of its own. With TLS 1.3 that reads session tickets while the handshake is written,
    # which Python's TLS is not made for: once in a hundred times the handshake never leaves.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    fields = {"Cookie": embedded.curl.cookie_header(host)}
    # Chunks of *.localhost are loopback to browsers; to getaddrinfo only where the resolver knows RFC 6761.
    sock = socket.create_connection(("127.0.0.1", embedded.port))
    return connect(url, sock=sock, ssl=context, server_hostname=host, additional_headers=fields, proxy=None, **options)


def test_the_pages_of_ones_own_web_server_are_read_under_both_addresses(
    embedded: Any, processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "page.txt").write_text("made by http.server\n")
    target = free_port()
    argv = [PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(target)]
    server = processes.start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_listening("127.0.0.1", target, process=server)
    for base in (embedded.path(target), embedded.own(target)):
        answer = embedded.curl(f"{base}/page.txt")
        assert (answer.code, answer.status, answer.text) == (0, 200, "made by http.server\n"), answer


def test_the_application_is_told_who_asks_and_nothing_of_the_portals_secrets(embedded: Any, app: Any) -> None:
    forged = ["-H", "X-Forwarded-User: root", "-H", "x-forwarded-for: 6.6.6.6", "-H", "Cookie: mine=1"]
    told = embedded.curl(f"{embedded.path(app.port)}/who?a=b", *forged).json()
    fields = {name.lower(): value for name, value in told["headers"]}
    assert told["path"] == "/who?a=b"
    assert fields["host"] == f"localhost:{app.port}"
    assert fields["x-forwarded-prefix"] == f"/fw2/localhost:{app.port}"
    assert fields["x-forwarded-user"] != "root" or os.geteuid() == 0
    assert [v for n, v in told["headers"] if n.lower() == "x-forwarded-for"] == ["127.0.0.1"]
    assert "supercloud" not in fields.get("cookie", "")


def test_a_used_link_is_explained_and_a_new_one_is_printed(embedded: Any) -> None:
    stranger = Curl(embedded.folder / "stranger", embedded.ca)
    link = embedded.portal.links()[-1]
    before = len(embedded.portal.links())
    assert embedded.curl(link).status == 200
    embedded.portal.link(before + 1)
    answer = stranger(link)
    assert answer.status == 401
    assert "This link was used already, or is an old one. The terminal shows a new one." in answer.text
    assert stranger(f"{embedded.url}/").status == 401


def test_a_program_without_a_session_gets_401_and_reaches_nothing(embedded: Any, applications: Any) -> None:
    app = applications.start()
    stranger = Curl(embedded.folder / "program", embedded.ca)
    for base in (embedded.path(app.port), embedded.own(app.port)):
        assert stranger(f"{base}/who").status == 401
    assert stranger(f"{embedded.url}/fw2/localhost:{app.port}/who", follow=False).field("WWW-Authenticate") is not None
    assert app.events("accepted") == []


@pytest.mark.parametrize("where", ["path", "own"])
def test_bodies_pass_byte_for_byte(embedded: Any, app: Any, where: str) -> None:
    base = getattr(embedded, where)(app.port)
    embedded.curl(f"{base}/who")
    sent = hashlib.sha256(_BODY).hexdigest()
    plain = embedded.curl(f"{base}/echo", data=_BODY)
    chunked = embedded.curl(f"{base}/echo", "-H", "Transfer-Encoding: chunked", data=_BODY)
    for answer in (plain, chunked):
        assert (answer.code, answer.status, hashlib.sha256(answer.body).hexdigest()) == (0, 200, sent), answer
    assert (plain.field("Content-Length"), chunked.field("Transfer-Encoding")) == (str(len(_BODY)), "chunked")
    assert embedded.curl(f"{base}/bytes/5000000").body == b"x" * 5_000_000
    assert embedded.curl(f"{base}/chunks/70/1000").body == b"y" * 70_000
    assert embedded.curl(f"{base}/until-close/100000").body == b"z" * 100_000


def test_head_has_a_length_and_no_body_and_the_connection_stays_in_step(embedded: Any, app: Any) -> None:
    context = ssl.create_default_context(cafile=str(embedded.ca))
    connection = HTTPSConnection("localhost", embedded.port, context=context, timeout=10)
    host = "apps.localhost"
    fields = {"Cookie": embedded.curl.cookie_header(host), "Host": f"{host}:{embedded.port}"}
    for method, length in (("HEAD", 0), ("GET", 1234), ("HEAD", 0), ("GET", 1234)):
        connection.request(method, f"/fw2/localhost:{app.port}/bytes/1234", headers=fields)
        response = connection.getresponse()
        assert (response.status, response.getheader("Content-Length")) == (200, "1234")
        assert len(response.read()) == length
    connection.close()


def test_100_continue_is_the_applications_own(embedded: Any, app: Any) -> None:
    answer = embedded.curl(f"{embedded.path(app.port)}/echo", "-H", "Expect: 100-continue", data=_BODY)
    assert answer.statuses == [100, 200], answer
    assert answer.body == _BODY


def test_trailers_arrive(embedded: Any, app: Any) -> None:
    answer = embedded.curl(f"{embedded.path(app.port)}/chunks/3/10?trailers", "--raw")
    assert answer.body.endswith(b"0\r\nX-Chunks: 3\r\n\r\n"), answer.body[-60:]


def test_events_arrive_as_they_are_sent(embedded: Any, app: Any) -> None:
    transfer = embedded.curl.start(f"{embedded.path(app.port)}/events/20")
    begin = time.monotonic()
    assert transfer.stdout.readline() == b"data: 0\n"
    first = time.monotonic() - begin
    rest = transfer.stdout.read()
    assert transfer.wait() == 0
    transfer.stdout.close()
    assert rest.endswith(b"data: 19\n\n")
    # 20 events are sent in a second; the first one did not wait for the last.
    assert first < 0.7


def test_an_application_that_dies_within_its_answer_is_not_taken_for_complete(embedded: Any, app: Any) -> None:
    answer = embedded.curl(f"{embedded.path(app.port)}/die/5000")
    assert answer.code == 18, answer  # curl: a partial file
    assert embedded.curl(f"{embedded.path(app.port)}/who").status == 200


def test_an_upgrade_to_another_protocol_tunnels(embedded: Any, app: Any) -> None:
    context = ssl.create_default_context(cafile=str(embedded.ca))
    opened = context.wrap_socket(socket.create_connection(("127.0.0.1", embedded.port)), server_hostname="localhost")
    with opened:
        opened.settimeout(10)
        cookies = embedded.curl.cookie_header("apps.localhost")
        lines = [f"GET /fw2/localhost:{app.port}/upgrade HTTP/1.1", f"Host: apps.localhost:{embedded.port}"]
        lines += [f"Cookie: {cookies}", "Upgrade: echo", "Connection: Upgrade", "", ""]
        opened.sendall("\r\n".join(lines).encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += opened.recv(4096)
        assert got.startswith(b"HTTP/1.1 101 ")
        opened.sendall(b"\x00\xffbytes of no protocol")
        got = got.partition(b"\r\n\r\n")[2]
        while len(got) < 22:
            got += opened.recv(4096)
        assert got == b"\x00\xffbytes of no protocol"


@pytest.mark.parametrize("where", ["path", "own"])
def test_websocket_messages_of_every_size_come_back(embedded: Any, processes: Processes, where: str) -> None:
    script = ROOT / "tests" / "integration" / "lab" / "websocket_echo.py"
    server = processes.start([TWISTD[0].replace("twistd", "python"), str(script)], stdout=subprocess.PIPE, text=True)
    target = int(server.stdout.readline())
    base = getattr(embedded, where)(target)
    embedded.curl(f"{base}/")  # a session on that origin
    with websocket(embedded, base.replace("https", "wss") + "/echo", max_size=None, compression=None) as opened:
        for message in ("grüße ☃", b"\x00\x01\xff", "x" * 70_000, os.urandom(16 << 20)):
            opened.send(message)
            assert opened.recv(timeout=20) == message
        opened.close(4321, "enough")
    assert (opened.close_code, opened.close_reason) == (4321, "enough")
    closing = websocket(embedded, base.replace("https", "wss") + "/close", compression=None)
    with closing as opened, pytest.raises(ConnectionClosed):
        opened.recv(timeout=10)
    assert (opened.close_code, opened.close_reason) == (4000, "closed by the application")


def test_a_websocket_from_another_origins_page_is_refused(embedded: Any, applications: Any) -> None:
    app = applications.start()
    fields = ["-H", "Upgrade: websocket", "-H", "Connection: Upgrade", "-H", "Sec-WebSocket-Version: 13"]
    fields += ["-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "-H", "Origin: https://evil.example"]
    assert embedded.curl(f"{embedded.path(app.port)}/upgrade", *fields).status == 403
    assert app.events("accepted") == []


def test_a_second_portal_leaves_the_first_its_port_and_its_state(embedded: Any, tmp_path: Path) -> None:
    def begin(port: int, state: Path) -> str:
        argv = [*TWISTD, "--port", str(port), "--state", str(state)]
        ended = subprocess.run(argv, cwd="/", capture_output=True, text=True, timeout=30)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stdout + ended.stderr
        return ended.stdout

    assert f"127.0.0.1 port {embedded.port}: Address already in use; name another by --port" in begin(
        embedded.port, tmp_path / "state"
    )
    assert "another portal runs with this folder, or ends just now; stop it, or name another by --state" in begin(
        free_port(), embedded.state
    )
    assert embedded.curl(f"{embedded.url}/tokens").status == 200


def test_whoever_connects_between_two_portals_waits_where_the_service_manager_holds_the_port(
    processes: Processes, tmp_path: Path
) -> None:
    def start(port: int, held: socket.socket) -> Twistd:
        script = 'exec 3<&"$0"; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=portal; exec "$@"'
        options = ["--port", str(port), "--state", str(tmp_path / "state")]
        argv = ["bash", "-c", script, str(held.fileno()), *TWISTD, *options]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return Twistd(processes.start(argv, pass_fds=[held.fileno()], **pipes))

    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        for _ in range(2):
            early = socket.create_connection(("127.0.0.1", port))  # nobody would be there, but for the manager
            portal = start(port, held)
            portal.link()
            context = ssl.create_default_context(cafile=str(tmp_path / "state/tls/ca.pem"))
            with context.wrap_socket(early, server_hostname="localhost") as connection:
                connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
                assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
            portal.stop()
        wrong = start(free_port(), held)
        assert wrong.process.wait(20) == 1
        wrong.wait_for(f"the service manager bound 127.0.0.1 {port}, where front.listen has no listener")


def test_nothing_listens_is_a_page_that_waits(embedded: Any) -> None:
    answer = embedded.curl(f"{embedded.path(free_port())}/", "-H", "Accept: text/html")
    assert (answer.status, answer.field("Retry-After")) == (503, "2")
    assert "Nothing listens there now" in answer.text


def test_the_portals_own_listener_is_no_target(embedded: Any) -> None:
    assert embedded.curl(f"{embedded.path(embedded.port)}/").status == 404


def test_the_session_survives_a_restart(embedded: Any, app: Any, processes: Processes) -> None:
    embedded.curl(f"{embedded.own(app.port)}/who")
    embedded.portal.stop()
    embedded.portal = start_embedded(processes, embedded.port, embedded.state)
    for base in (embedded.path(app.port), embedded.own(app.port)):
        answer = embedded.curl(f"{base}/who")
        assert answer.statuses == [200], answer


def test_stopping_lets_an_exchange_finish_and_closes_the_port(app: Any, processes: Processes, tmp_path: Path) -> None:
    port = free_port()
    portal = start_embedded(processes, port, tmp_path / "state")
    curl = Curl(tmp_path / "curl", tmp_path / "state" / "tls" / "ca.pem")
    curl(portal.link())
    transfer = curl.start(f"https://localhost:{port}/fw2/localhost:{app.port}/events/30")
    assert transfer.stdout.readline() == b"data: 0\n"
    portal.tell_to_stop()
    rest = transfer.stdout.read()
    transfer.stdout.close()
    assert transfer.wait() == 0
    assert rest.endswith(b"data: 29\n\n")
    portal.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_stopping_tells_a_websocket_that_the_portal_goes_away(processes: Processes, tmp_path: Path) -> None:
    port = free_port()
    portal = start_embedded(processes, port, tmp_path / "state")
    ca = tmp_path / "state" / "tls" / "ca.pem"
    curl = Curl(tmp_path / "curl", ca)
    curl(portal.link())
    script = ROOT / "tests" / "integration" / "lab" / "websocket_echo.py"
    server = processes.start([TWISTD[0].replace("twistd", "python"), str(script)], stdout=subprocess.PIPE, text=True)
    target = int(server.stdout.readline())
    curl(f"https://apps.localhost:{port}/fw2/localhost:{target}/")  # a session on that origin
    made = type("Made", (), {"curl": curl, "ca": ca, "port": port})
    with websocket(made, f"wss://apps.localhost:{port}/fw2/localhost:{target}/echo") as opened:
        opened.send("open")
        assert opened.recv(timeout=5) == "open"
        portal.tell_to_stop()
        with pytest.raises(ConnectionClosed):
            opened.recv(timeout=10)
        assert opened.close_code == 1012
    portal.stop()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TWISTD, *options], capture_output=True, text=True, cwd="/", timeout=30)


def test_check_says_what_would_run(tmp_path: Path) -> None:
    done = run("--port", "9999", "--state", str(tmp_path / "state"), "--check")
    assert done.returncode == 0
    assert done.stdout.startswith("settings are good\n")
    assert "https://localhost" in done.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[front]\nlisten = ["tls:0.0.0.0:PORT"]\nhostnam = "x"\n', ["front.hostnam", "did you mean 'hostname'"]),
        ('[front]\nlisten = ["tcp:0.0.0.0:PORT"]\n', ["front.listen", "tls:ADDRESS:PORT"]),
        ('[front]\nlisten = ["tls:0.0.0.0:PORT"]\n[authn.session]\nidle = 5\n', ["authn.session.idle", "8h"]),
        ("not TOML", ["it must be TOML"]),
        ('[front]\nlisten = ["tls:127.0.0.1:PORT"]\ncertificate = "/no/such.pem"\naccount = ""\n', ["/no/such.pem"]),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_wrong_settings_end_with_1_before_anything_is_bound(
    tmp_path: Path, text: str, told: list[str], check: bool
) -> None:
    port = free_port()
    file = tmp_path / "portal.toml"
    file.write_text(f'state = "{tmp_path}/state"\n' + text.replace("PORT", str(port)))
    done = run("--config", str(file), *(["--check"] if check else []))
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    for word in told:
        assert word in said
    assert "Traceback" not in said
    assert "starting on" not in said


@pytest.mark.root
class TestOtherAccounts:
    def test_a_listener_of_another_account_is_not_even_touched(
        self, embedded: Any, applications: Any, accounts: Any
    ) -> None:
        foreign = applications.start("carol", "--once")
        for base in (embedded.path(foreign.port), embedded.own(foreign.port)):
            for options in ([], ["-H", "Accept: text/html"], ["-X", "POST", "-d", "x"]):
                answer = embedded.curl(f"{base}/who", *options)
                assert answer.status in (
                    (404,) if "POST" not in options or base.startswith(embedded.url) else (404, 401)
                )
        assert foreign.process.poll() is None
        assert foreign.events("accepted") == []

    def test_another_accounts_curl_does_not_even_get_tls(self, embedded: Any, accounts: Any) -> None:
        for address in ("127.0.0.1", "[::1]"):
            argv = ["curl", "-sk", "--noproxy", "*", "--max-time", "10", f"https://{address}:{embedded.port}/healthz"]
            stranger = accounts.run_as("carol", argv, stdout=subprocess.PIPE)
            assert stranger.communicate()[0] == b""
            assert stranger.returncode in (35, 52, 56)  # curl: TLS handshake failed, empty reply, receive failed
        assert embedded.curl(f"{embedded.url}/healthz").status == 200

    def test_a_persons_own_portal_opens_their_applications_and_nobody_elses(
        self, applications: Any, accounts: Any, processes: Processes, public_copies: Any
    ) -> None:
        if not is_readable_by_all(ROOT / "setup.py"):
            pytest.skip("this checkout lies where other accounts cannot read it")
        alice = accounts["alice"]
        port, state = free_port(), alice.home / "portal-state"

        def as_alice(argv: list[str], node: str | None = None, **pipes: Any) -> Any:
            return accounts.run_as("alice", argv, node=node, **pipes)

        portal: Twistd = start_embedded(processes, port, state, start=as_alice)
        ca = public_copies.folder / "alice-ca.pem"
        ca.write_bytes((state / "tls" / "ca.pem").read_bytes())
        ca.chmod(0o644)
        # Root's curl is admitted too.
        curl = Curl(public_copies.folder / "curl-alice", ca)
        assert curl(portal.link()).status == 200
        hers, bobs, roots = applications.start("alice"), applications.start("bob"), applications.start()
        told = curl(f"https://localhost:{port}/fw2/localhost:{hers.port}/who").json()
        assert told["uid"] == alice.uid
        assert dict(told["headers"])["X-Forwarded-User"] == "alice"
        for other in (bobs, roots):
            assert curl(f"https://localhost:{port}/fw2/localhost:{other.port}/who").status == 404
            assert other.events("accepted") == []
        listed = curl(f"https://localhost:{port}/open/", "-H", "Accept: text/html").text
        assert re.search(rf"localhost:{hers.port}\b", listed)
        assert str(bobs.port) not in listed
        assert json.loads(curl(f"https://localhost-{hers.port}.fh.localhost:{port}/who").body)["uid"] == alice.uid
        portal.stop()
