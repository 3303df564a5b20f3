"""TLS toward browsers over real sockets, with the system's OpenSSL on the other side."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lab.processes import Processes

from supercloud.front.authority import ensure, issue, make_ca

_SERVER = Path(__file__).parent / "lab" / "tls_server.py"
_PROJECT = Path(__file__).parents[2]


class Server:
    """lab/tls_server.py in a process of its own."""

    def __init__(self, processes: Processes, *files: Path) -> None:
        self._process = processes.start(
            [sys.executable, str(_SERVER), *map(str, files)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(_PROJECT)},
            text=True,
        )
        self.port = self._said()

    def _said(self):
        return json.loads(self._process.stdout.readline())

    def reload(self) -> str | None:
        self._process.send_signal(signal.SIGHUP)
        return self._said()


@pytest.fixture
def processes():
    made = Processes()
    yield made
    made.stop()


@pytest.fixture
def files(certificates, tmp_path):
    """Copies that a test may change: certificate, key, authorities, revocation list."""
    found = (certificates.server.certificate, certificates.server.private_key, certificates.ca, certificates.empty_crl)
    return [Path(shutil.copy(file, tmp_path)) for file in found]


@pytest.fixture
def plain(processes, files):
    return Server(processes, *files[:2])


@pytest.fixture
def asking(processes, certificates, files):
    shutil.copy(certificates.crl, files[3])
    return Server(processes, *files)


def context(certificates, login=None, version=None):
    made = ssl.create_default_context(cafile=certificates.ca)
    if login is not None:
        pair = certificates.client[login]
        made.load_cert_chain(pair.certificate, pair.private_key)
    if version is not None:
        made.minimum_version = made.maximum_version = version
    return made


def connect(server, made, session=None):
    tcp = socket.create_connection(("127.0.0.1", server.port), 5)
    try:
        return made.wrap_socket(tcp, server_hostname="localhost", session=session)
    except BaseException:
        tcp.close()
        raise


def who(connection) -> str:
    connection.sendall(b"who\n")
    return connection.recv(1000).decode().strip()


def s_client(server, *options: str) -> str:
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *options]
    return subprocess.run(argv, input=b"", capture_output=True, timeout=20).stdout.decode()


BOTH = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@BOTH
def test_tls_1_2_and_1_3_are_spoken(plain, certificates, version):
    with connect(plain, context(certificates, version=version)) as connection:
        assert who(connection) == "None"


def test_tls_1_1_is_refused(plain):
    old = s_client(plain, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in old


@pytest.mark.parametrize(
    "ciphers", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "aNULL"]
)
def test_ciphers_without_forward_secrecy_or_authenticated_encryption_are_refused(plain, ciphers):
    assert "Cipher is (NONE)" in s_client(plain, "-tls1_2", "-cipher", f"{ciphers}:@SECLEVEL=0")


def test_renegotiation_is_refused(plain):
    argv = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{plain.port}"]
    done = subprocess.run(argv, input=b"R\n", capture_output=True, timeout=20)
    assert b"no renegotiation" in done.stderr


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None)]
)
def test_alpn(plain, certificates, offered, chosen):
    made = context(certificates)
    if offered:
        made.set_alpn_protocols(offered)
    with connect(plain, made) as connection:
        assert connection.selected_alpn_protocol() == chosen


def test_a_client_that_only_speaks_h2_gets_the_alert_for_it(plain, certificates):
    made = context(certificates)
    made.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="alert no application protocol"):
        connect(plain, made)


@BOTH
@pytest.mark.parametrize("login", [None, "alice"])
def test_a_session_is_resumed_with_and_without_a_client_certificate(asking, certificates, version, login):
    made = context(certificates, login, version)
    with connect(asking, made) as first:
        subject = who(first)
        session = first.session
        assert not first.session_reused
    with connect(asking, made, session) as second:
        assert who(second) == subject == ("CN=alice,O=Lab" if login else "None")
        assert second.session_reused


@pytest.mark.parametrize("login", ["alice", "bob", "carol"])
def test_a_good_certificate_is_told_to_the_application(asking, certificates, login):
    with connect(asking, context(certificates, login)) as connection:
        assert who(connection) == f"CN={login},O=Lab"


@BOTH
@pytest.mark.parametrize(
    ("login", "alert"),
    [("expired", "certificate expired"), ("revoked", "certificate revoked"), ("stranger", "unknown ca")],
)
def test_a_bad_certificate_fails_the_handshake(asking, certificates, version, login, alert):
    with pytest.raises(ssl.SSLError, match=alert), connect(asking, context(certificates, login, version)) as connection:
        who(connection)


def test_browsers_are_told_whose_certificates_are_wanted(asking, plain):
    assert "Acceptable client certificate CA names\nO = Lab, CN = Lab CA" in s_client(asking)
    assert "No client certificate CA names sent" in s_client(plain)


def test_a_listener_that_does_not_ask_gets_none(plain, certificates):
    with connect(plain, context(certificates, "alice")) as connection:
        assert who(connection) == "None"


def test_a_large_body_goes_through_whole(plain, certificates):
    sent = bytes(range(256)) * 20_000
    received = bytearray()
    with connect(plain, context(certificates)) as connection:
        for at in range(0, len(sent), 100_000):
            piece = sent[at : at + 100_000]
            connection.sendall(piece)
            while len(received) < at + len(piece):
                received += connection.recv(1 << 18)
    assert received == sent


class TestReload:
    def test_new_connections_get_the_new_certificate_and_open_ones_go_on(self, plain, certificates, files):
        with connect(plain, context(certificates)) as old:
            before = old.getpeercert()
            renewed = _renew(certificates)
            shutil.copy(renewed.server.certificate, files[0])
            shutil.copy(renewed.server.private_key, files[1])
            assert plain.reload() is None
            assert who(old) == "None"
        with connect(plain, context(renewed)) as new:
            assert new.getpeercert()["serialNumber"] != before["serialNumber"]

    def test_bad_files_change_nothing_and_are_named(self, plain, certificates, files):
        shutil.copy(certificates.client["alice"].private_key, files[1])
        assert plain.reload() == f"{files[1]}: is not the key of the certificate in {files[0]}"
        with connect(plain, context(certificates)) as connection:
            assert who(connection) == "None"

    @BOTH
    def test_a_certificate_revoked_since_is_refused_even_when_resumed(self, processes, certificates, files, version):
        server = Server(processes, *files)
        made = context(certificates, "revoked", version)
        with connect(server, made) as first:
            assert who(first) == "CN=alice,O=Lab"
            session = first.session
        shutil.copy(certificates.crl, files[3])
        assert server.reload() is None
        with pytest.raises(ssl.SSLError, match="revoked"), connect(server, made, session) as second:
            who(second)


def _renew(certificates):
    folder = certificates.folder / "renewed"
    folder.mkdir(exist_ok=True)
    return type(certificates)(folder)


def test_a_client_that_trusts_the_embedded_portals_own_authority_accepts_all_its_names(processes, tmp_path):
    made = ensure(tmp_path / "tls", "localhost")
    server = Server(processes, made.certificate, made.private_key)
    for name in ("localhost", "localhost-9000.fh.localhost", "mine.fn.localhost", "127.0.0.1"):
        context = ssl.create_default_context(cafile=made.ca)
        tcp = socket.create_connection(("127.0.0.1", server.port), 5)
        with context.wrap_socket(tcp, server_hostname=name) as connection:
            assert who(connection) == "None"


def test_the_embedded_portals_own_authority_is_good_for_nothing_else(tmp_path):
    now = datetime.now(UTC)
    ca, key = make_ca("localhost", now=now)
    foreign, _ = issue(ca, key, "bank.example", now=now)
    good, _ = issue(ca, key, "localhost", now=now)
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    said = []
    for certificate in (foreign, good):
        (tmp_path / "leaf.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        argv = ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.pem", tmp_path / "leaf.pem"]
        done = subprocess.run(argv, capture_output=True, text=True)
        said.append(re.sub(r".*leaf.pem", "leaf", done.stdout.strip()) or done.stderr)
    assert "permitted subtree violation" in said[0]
    assert said[1] == "leaf: OK"
