"""A workstation's commands as one types them: a real portal, real TLS, real jobs; and servers that want the token."""

from __future__ import annotations

import http.server
import json
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.certificates import Certificates
from lab.portal import ROOT, Curl, is_readable_by_all, start_embedded, until
from lab.processes import Processes, free_port

from supercloud.entry import Entry, Failed
from supercloud.https import Https, NoAnswer
from supercloud.workstation import Workstation

_SUPERCLOUD = str(Path(sys.executable).with_name("supercloud"))
_PAGE = ("-H", "Sec-Fetch-Site: none", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: document")
_SERVE = "command=echo served from $PWD; exec python3 -u -m http.server {port}"
_TOKEN = f"scp_{'ab' * 32}"


class Hers:
    """Alice's own portal, and her terminal.

    :ivar curl: a browser of hers that is signed in.
    """

    def __init__(self, processes: Processes, accounts: Any, folder: Path) -> None:
        self._processes = processes
        self._accounts = accounts
        self.account = accounts["alice"]
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.state = self.account.home / "workstation-state"
        self.socket = ("--socket", str(self.state / "run" / "portal.sock"))
        self.ca = folder / "workstation-ca.pem"
        self.start_portal()
        self.ca.write_bytes((self.state / "tls" / "ca.pem").read_bytes())
        self.curl = Curl(folder / "curl-workstation", self.ca)
        assert self.curl(self.portal.link()).status == 200

    def start_portal(self) -> None:
        self.portal = start_embedded(self._processes, self.port, self.state, start=self._as_alice)

    def _as_alice(self, argv: list[str], node: str | None = None, **pipes: Any) -> Any:
        return self._accounts.run_as("alice", argv, node=node, **pipes)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Begin a command."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return self._as_alice([_SUPERCLOUD, *words], env={"BROWSER": "true", **env}, text=True, **pipes)

    def __call__(self, *words: str, typed: str = "", **env: str) -> SimpleNamespace:
        """Run a command to its end."""
        process = self.start(*words, **env)
        out, err = process.communicate(typed, timeout=60)
        return SimpleNamespace(status=process.returncode, out=out, err=err)

    def token(self, scope: str, name: str = "") -> str:
        made = self("token", *self.socket, "create", "--for", scope, "--name", name)
        assert made.status == 0, made
        return str(made.out).strip()


@pytest.fixture(scope="module")
def hers(processes: Processes, accounts: Any, public_copies: Any) -> Iterator[Hers]:
    """A terminal of alice's that is logged in."""
    if not is_readable_by_all(ROOT / "setup.py"):
        pytest.skip("this checkout lies where other accounts cannot read it")
    made = Hers(processes, accounts, public_copies.folder)
    done = made("login", made.url, "--ca", str(made.ca), typed=made.token("jobs") + "\n")
    assert done.status == 0, done
    yield made
    for job in json.loads(made("jobs", "--json").out):
        made("stop", job["id"])
    made.portal.stop()


def _launched(hers: Hers, *words: str) -> str:
    done = hers("launch", "web", "minutes=10m", *words)
    assert done.status == 0, done
    return str(done.out).split()[0]


@pytest.mark.root
def test_from_login_to_an_application_that_is_stopped(hers: Hers) -> None:
    kept = hers.account.home / ".config/supercloud/portal.toml"
    assert (kept.stat().st_mode & 0o777, kept.stat().st_uid) == (0o600, hers.account.uid)
    assert "Web application" in hers("apps").out
    assert "command" in hers("apps", "web").out
    done = hers("launch", "web", "minutes=10m", _SERVE, "--wait")
    job, address = str(done.out).split()
    assert (done.status, address, done.err.endswith("ready\n")) == (0, f"{hers.url}/open/{job}", True), done
    opened = hers.curl(address, *_PAGE)
    assert (opened.status, "Directory listing" in opened.text) == (200, True), opened
    row = next(line for line in hers("jobs").out.splitlines() if line.startswith(f"{job} "))
    assert row.split()[1:3] == ["web", "ready"]
    assert "localhost:" in row and "in 10m" in row
    assert hers("open", job, "--print").out == f"{address}\n"
    assert hers("open", job).status == 0
    log = hers("logs", job).out
    assert f"served from {hers.account.home}\n" in log and '"GET / HTTP/1.1" 200' in log
    done = hers("stop", job, "9999999")
    assert (done.status, done.out) == (1, f"stopped {job}\n")
    assert "job 9999999: There is no job" in done.err
    until(lambda: hers("open", job).status == 1, "the end of the job")


@pytest.mark.root
def test_what_is_wrong_in_a_form_is_said_with_what_would_be_right(hers: Hers) -> None:
    done = hers("launch", "web", "comand=x")
    assert (done.status, "comand: there is no such field; did you mean command?" in done.err) == (1, True)
    done = hers("launch", "web", "minutes=soon")
    assert "command: this is needed" in done.err and "minutes: " in done.err
    assert (
        hers("launch", "none").err
        == "Error: There is no such application, or it cannot be started. See the list of all.\n"
    )


@pytest.mark.root
def test_a_log_is_followed_through_a_restart_of_the_portal(hers: Hers) -> None:
    go = hers.account.home / "go-on"
    job = _launched(hers, f"command=echo begins ☃; until [ -e {go} ]; do sleep 0.1; done; echo ends")
    following = hers.start("logs", job, "--follow")
    assert following.stdout is not None and following.stderr is not None
    assert following.stdout.readline() == "begins ☃\n"
    hers.portal.stop()
    assert "(asking again)" in following.stderr.readline()
    hers.start_portal()
    assert following.stderr.readline() == "it answers again\n"
    go.touch()
    assert following.communicate(timeout=60) == ("ends\n", "")
    assert following.returncode == 0


@pytest.mark.root
def test_ctrl_c_ends_a_wait_and_leaves_the_job(hers: Hers) -> None:
    waiting = hers.start("launch", "web", "minutes=10m", "command=sleep 600", "--wait")
    assert waiting.stdout is not None and waiting.stderr is not None
    job = waiting.stdout.readline().strip()
    told = waiting.stderr.readline()
    assert "starting" in told
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, f"job {job} was started" in err, "Traceback" in err) == (130, True, False), err
    assert hers("open", job, "--print").status == 0


@pytest.mark.root
def test_a_token_that_is_revoked_or_for_something_else_says_where_to_make_one(hers: Hers) -> None:
    env = {"SUPERCLOUD_PORTAL": hers.url, "SUPERCLOUD_CA": str(hers.ca)}
    token = hers.token("jobs", "one-more")
    assert hers("jobs", **env, SUPERCLOUD_TOKEN=token).status == 0
    for line in hers("token", *hers.socket, "list").out.splitlines():
        if " one-more" in line:
            hers("token", *hers.socket, "revoke", line.split()[0])
    until(lambda: hers("jobs", **env, SUPERCLOUD_TOKEN=token).status == 1, "the end of the token")
    done = hers("jobs", **env, SUPERCLOUD_TOKEN=token)
    assert f"Make a new one for jobs at {hers.url}/tokens" in done.err, done
    done = hers("jobs", **env, SUPERCLOUD_TOKEN=hers.token("dav"))
    assert (done.status, f"Your tokens are at {hers.url}/tokens" in done.err) == (1, True), done


@pytest.mark.root
def test_without_the_sites_authority_nothing_is_sent(hers: Hers) -> None:
    done = hers("login", hers.url, typed=_TOKEN)
    assert (done.status, f"supercloud login {hers.url} --ca FILE" in done.err) == (1, True), done


class _Recorder(http.server.BaseHTTPRequestHandler):
    """Notes what it is asked, and sends on to wherever the server says."""

    server: Any

    def do_GET(self) -> None:
        self.server.heads.append(str(self.headers))
        self.send_response(307 if self.server.onward else 200)
        if self.server.onward:
            self.send_header("Location", self.server.onward)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _recording(address: str, pair: Any | None, onward: str = "") -> Iterator[SimpleNamespace]:
    """A server in a thread.

    :param pair: its certificate; None speaks plain HTTP.
    """
    server: Any = http.server.HTTPServer((address, 0), _Recorder)
    server.heads, server.onward = [], onward
    server.handle_error = lambda *_: None  # a handshake that is refused
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.private_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield SimpleNamespace(port=server.server_address[1], heads=server.heads)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _asking(host: str, port: int, ca: Path) -> Callable[[], object]:
    url = f"https://{host}:{port}"
    return Workstation(Https(Entry(url, _TOKEN, str(ca))).send, url).jobs


def test_another_host_is_never_told_the_token(certificates: Certificates) -> None:
    with _recording("127.0.0.1", certificates.server) as evil:
        onward = f"https://localhost:{evil.port}/api/jobs"
        with _recording("127.0.0.1", certificates.server, onward) as portal:
            with pytest.raises(Failed, match="which is not followed"):
                _asking("localhost", portal.port, certificates.ca)()
            assert _TOKEN in portal.heads[0]
        assert evil.heads == []


def test_a_certificate_of_an_unknown_authority_is_shown_nothing(certificates: Certificates) -> None:
    with _recording("127.0.0.1", certificates.server) as server:
        with pytest.raises(NoAnswer, match=r"not trusted.*so nothing was sent.*--ca FILE"):
            _asking("localhost", server.port, certificates.other_ca)()
        with pytest.raises(NoAnswer, match="not trusted"):
            Https(Entry(f"https://localhost:{server.port}", _TOKEN)).send("GET", "/")
        assert server.heads == []


def test_a_certificate_of_another_name_is_shown_nothing(certificates: Certificates) -> None:
    with _recording("127.0.0.2", certificates.server) as server:
        with pytest.raises(NoAnswer, match=r"not trusted by .*mismatch.*so nothing was sent"):
            _asking("127.0.0.2", server.port, certificates.ca)()
        assert server.heads == []


def test_what_speaks_no_tls_is_shown_nothing(certificates: Certificates) -> None:
    with _recording("127.0.0.1", None) as server:
        with pytest.raises(NoAnswer, match="no TLS there"):
            _asking("localhost", server.port, certificates.ca)()
        assert server.heads == []


def test_a_portal_that_is_not_there_is_not_reachable(certificates: Certificates) -> None:
    with pytest.raises(NoAnswer, match="not reachable: Connection refused"):
        _asking("localhost", free_port(), certificates.ca)()
