"""A portal that asks PAM: the form, Basic, tokens from the command line, and their end."""

from __future__ import annotations

import itertools
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab.certificates import Certificates
from lab.portal import Answer, Curl, until
from lab.processes import Processes
from lab.sharing import shared
from lab.site import Head

pytestmark = pytest.mark.root

HOST_ONLY = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost", "127.0.0.1/32", "::1/128"]'}
# Of these tests alone: others lock, expire and rename the accounts that all tests share.
ERIN, UID = "supercloud-erin", 20071
PASSWORD = "pass:wörd"
COMMAND = str(Path(sys.executable).with_name("supercloud"))


def _make(login: str = ERIN, uid: int = UID) -> None:
    _remove(login)
    home = f"/tmp/{login}"
    subprocess.run(
        ["useradd", "--uid", str(uid), "--user-group", "--create-home", "--home-dir", home, login], check=True
    )
    subprocess.run(["chpasswd"], input=f"{login}:{PASSWORD}", text=True, check=True)


def _remove(login: str = ERIN) -> None:
    subprocess.run(["userdel", "--remove", login], check=False, capture_output=True)


@pytest.fixture(scope="module")
def pam() -> Iterator[str]:
    """A service that does not wait after what was wrong."""
    file = Path(f"/etc/pam.d/supercloud-tests-sign-in-{os.getpid()}")
    file.write_text("auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n")
    yield file.name
    file.unlink()


@contextmanager
def _portal(pam: str, folder: Path, certificates: Path) -> Iterator[Head]:
    processes = Processes()
    made = Head(folder, Certificates(certificates), address="127.0.0.1")
    made.start(processes, logins=(), pam=pam, plain_first=True, **HOST_ONLY)
    yield made
    if made.portal.process.poll() is None:
        made.portal.stop()
    processes.stop()


@pytest.fixture(scope="module")
def erin() -> Iterator[None]:
    with shared(ERIN, _make, _remove):
        yield


@pytest.fixture(scope="module")
def head(erin: None, pam: str, public_copies: Any) -> Iterator[Head]:
    with _portal(pam, public_copies.folder / "sign-in", public_copies.folder) as made:
        yield made


@pytest.fixture
def guessed(erin: None, pam: str, public_copies: Any, tmp_path: Path) -> Iterator[Head]:
    """A portal at which others guess: what it remembers of them would delay other tests' sign-ins."""
    certificates = public_copies.folder / f"guessed-{tmp_path.name}.tls"
    certificates.mkdir(mode=0o755)  # another portal's are not to take the place of the first's
    with _portal(pam, certificates.with_suffix(""), certificates) as made:
        yield made


@pytest.fixture
def curl(head: Head) -> Curl:
    return head.curl()


def form(head: Head, curl: Curl, password: str, *options: str, login: str = ERIN) -> Answer:
    fields = ["--data-urlencode", f"login={login}", "--data-urlencode", f"password={password}"]
    fields += ["--data-urlencode", "next=/.portal/portal.css"]
    return curl(f"{head.url}/login", *fields, *options)


def token(head: Head, *words: str, login: str = ERIN) -> subprocess.CompletedProcess[str]:
    """The command line as that account."""
    become = ["setpriv", "--reuid", login, "--regid", login, "--init-groups", "--"]
    socket = str(head.folder / "run" / "portal.sock")
    return subprocess.run(
        [*become, COMMAND, "token", "--socket", socket, *words], capture_output=True, text=True, check=False, cwd="/"
    )


def create(head: Head, login: str = ERIN) -> str:
    made = token(head, "create", "--for", "dav", "--expires", "1h", "--name", "tests", login=login)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_the_form_signs_in_and_leads_on(head: Head, curl: Curl) -> None:
    signed_in = form(head, curl, PASSWORD)
    assert (signed_in.status, signed_in.field("content-type")) == (200, "text/css; charset=utf-8")
    home = curl(f"{head.url}/dav/tmp/{ERIN}/", "--request", "PROPFIND", "--header", "Depth: 0")
    assert home.status == 207


def test_a_wrong_password_signs_nobody_in(head: Head, curl: Curl) -> None:
    assert form(head, curl, "wrong").status == 401
    assert curl(f"{head.url}/").status == 401


def test_another_sites_form_is_refused(head: Head, curl: Curl) -> None:
    assert form(head, curl, PASSWORD, "--header", "Origin: https://evil.test").status == 403


def test_a_drive_is_asked_for_a_password_and_writes_as_its_account(head: Head, curl: Curl) -> None:
    url = f"{head.url}/dav/tmp/{ERIN}/by-password"
    asked = curl(url, "--request", "PUT", data=b"text", follow=False)
    assert (asked.status, asked.field("www-authenticate")) == (401, 'Basic realm="SuperCloud portal", charset="UTF-8"')
    assert curl(url, "--request", "PUT", "--user", f"{ERIN}:{PASSWORD}", data=b"text").status == 201
    written = Path("/tmp", ERIN, "by-password")
    assert (written.read_bytes(), written.stat().st_uid) == (b"text", UID)


def test_a_token_of_the_command_line_opens_files_and_nothing_else(head: Head, curl: Curl) -> None:
    text = create(head)
    authorization = ("--header", f"Authorization: Bearer {text}")
    listing = curl(f"{head.url}/dav/tmp/{ERIN}/", "--request", "PROPFIND", "--header", "Depth: 1", *authorization)
    assert listing.status == 207
    as_password = curl(f"{head.url}/dav/tmp/{ERIN}/", "--head", "--user", f"{ERIN}:{text}")
    assert as_password.status == 200
    assert curl(f"{head.url}/tokens", *authorization).status == 401
    shown = token(head, "list").stdout
    assert re.search(r"dav  made .* used 20.* tests\n", shown)
    assert text not in shown


def test_a_revoked_token_opens_nothing_two_seconds_later(head: Head, curl: Curl) -> None:
    text = create(head)
    url, how = f"{head.url}/dav/tmp/{ERIN}/", ("--head", "--header", f"Authorization: Bearer {text}")
    assert curl(url, *how).status == 200
    last = token(head, "list").stdout.splitlines()[-1].split()[0]
    began = time.monotonic()
    assert token(head, "revoke", last).stdout == "revoked\n"
    until(lambda: curl(url, *how).status == 401, "the token to be over", within=2)
    assert time.monotonic() - began < 2


def test_an_administrator_ends_all_tokens_of_an_account(head: Head, curl: Curl) -> None:
    text = create(head)
    url, how = f"{head.url}/dav/tmp/{ERIN}/", ("--head", "--header", f"Authorization: Bearer {text}")
    assert curl(url, *how).status == 200
    state = head.folder / "state"
    told = subprocess.run(
        [COMMAND, "admin", "--state", str(state), "revoke-tokens", ERIN], check=True, capture_output=True, text=True
    )
    assert re.fullmatch(r"revoked [1-9][0-9]*\n", told.stdout)
    assert {one.stat().st_uid for one in state.iterdir()} == {state.stat().st_uid}
    until(lambda: curl(url, *how).status == 401, "the token to be over", within=2)


def test_nobody_makes_tokens_for_whom_the_site_does_not_let_in(head: Head) -> None:
    refused = token(head, "create", "--for", "dav", login="root")
    assert refused.returncode == 1
    assert "uid 0" in refused.stderr


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/opt/no-such-shell"])
def test_an_account_without_a_shell_is_not_let_in_by_any_way(head: Head, curl: Curl, fay: str, shell: str) -> None:
    """As ssh and su refuse it; what was open before ends within half a minute."""
    uid = pwd.getpwnam(fay).pw_uid
    text, home = create(head, fay), f"{head.url}/dav/tmp/{fay}/"
    signed_in = head.curl()
    assert form(head, signed_in, PASSWORD, login=fay).status == 200
    assert signed_in(home, "--head").status == 200
    assert _processes_of(uid), "its worker"
    _give_certificate(head, fay)
    subprocess.run(["usermod", "--shell", shell, fay], check=True)
    for way, answer in {
        "form": lambda: form(head, curl, PASSWORD, login=fay),
        "session": lambda: signed_in(home),
        "token": lambda: head.curl()(home, "--header", f"Authorization: Bearer {text}"),
        "password": lambda: head.curl()(home, "--user", f"{fay}:{PASSWORD}"),
        "certificate": lambda: head.curl("alice")(f"https://{head.hostname}:{head.port}/login"),
    }.items():
        until(lambda answer=answer: answer().status == 403, way, within=30)  # type: ignore[misc]
        assert "no login shell" in answer().text, way
    assert form(head, curl, "wrong", login=fay).status == 401, "who does not know the password is told nothing"
    until(lambda: not _processes_of(uid), "the end of its worker", within=30)
    command = [COMMAND, "admin", "--config", str(head.folder / "portal.toml"), "why", fay, home]
    why = subprocess.run(command, capture_output=True, text=True, check=False)
    assert why.returncode == 1
    assert "no login shell" in why.stdout + why.stderr


@pytest.fixture
def fay() -> Iterator[str]:
    """The login of an account of this test's own, which gets another shell."""
    number = os.getpid() % 1000 * 10 + next(_COUNT)
    login = f"supercloud-fay-{number}"
    _make(login, 21000 + number)
    yield login
    _remove(login)


def _give_certificate(head: Head, login: str) -> None:
    """The certificate of alice's leads to that account from now on."""
    file = head.folder / "certmap.toml"
    file.write_text(f'[[account]]\nlogin = "{login}"\nemail = "alice@example.org"\n')
    head.portal.process.send_signal(signal.SIGHUP)
    until(lambda: head.curl("alice")(f"https://{head.hostname}:{head.port}/login").status != 401, "the map", within=10)


_COUNT = itertools.count()


def _processes_of(uid: int) -> list[str]:
    return [one.name for one in Path("/proc").glob("[0-9]*") if _is_of(one, uid)]


def _is_of(process: Path, uid: int) -> bool:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[:2] == ["Uid:", str(uid)] for line in lines)


def test_the_log_holds_no_secret(head: Head, curl: Curl) -> None:
    text = create(head)
    curl(f"{head.url}/dav/", "--user", f"{ERIN}:{text}")
    form(head, curl, "hunter2")
    form(head, curl, PASSWORD)
    head.audited("/login")
    told = "".join(head.portal.printed) + head.audit.read_text()
    for secret in (text, "hunter2", PASSWORD, "w%C3%B6rd"):
        assert secret not in told


# Runs as an account of its own: a socket that lingers for an hour goes to the portal only; then come connections.
_HOLDS_UP = """
import contextlib, socket, struct, sys, time
import msgspec
from supercloud.desk.token_wire import ListTokens
from supercloud.desk.wire import VERSION, Hello

def connected():
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.connect(sys.argv[1])
    return made

with socket.create_server(("127.0.0.1", 0)) as listening:
    slow = socket.create_connection(listening.getsockname())
    peer, _ = listening.accept()
slow.setblocking(False)
with contextlib.suppress(BlockingIOError):
    while True:
        slow.send(bytes(65536))
slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
first = connected()
first.send(msgspec.msgpack.encode(Hello(VERSION)))
while True:
    try:
        socket.send_fds(first, [msgspec.msgpack.encode(ListTokens())], [slow.fileno()])
        break
    except PermissionError:  # not let in yet
        time.sleep(0.01)
slow.close()
first.recv(65536)
for _ in range(1130):
    with connected() as made, contextlib.suppress(OSError):
        socket.send_fds(made, [b"x"], [1])
print("done", flush=True)
sys.stdin.read()
"""


def test_one_accounts_lingering_socket_and_a_thousand_connections_hold_up_nobody_at_the_desk(
    head: Head, accounts: Any
) -> None:
    become = ["setpriv", "--reuid", ERIN, "--regid", ERIN, "--init-groups", "--"]
    path = str(head.folder / "run" / "portal.sock")
    with subprocess.Popen(
        [*become, sys.executable, "-c", _HOLDS_UP, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    ) as attacker:
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        try:
            assert attacker.stdout.readline() == b"done\n"
            for _ in range(3):
                told = token(head, "list", login=accounts["bob"].login)
                assert told.returncode == 0, told.stderr
        finally:
            attacker.stdin.close()


class Guessers:
    """Clients of one address that try wrong passwords, one after the other, until they are told to end."""

    def __init__(self, head: Head, logins: list[str]) -> None:
        self.answers: Counter[int] = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._guess, args=(head, login)) for login in logins]

    def __enter__(self) -> Guessers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _guess(self, head: Head, login: str) -> None:
        curl = head.curl()
        while not self._over.is_set():
            fields = ("--data-urlencode", f"login={login}", "--data-urlencode", "password=wrong")
            self.answers[curl(f"{head.url}/login", *fields, "--max-time", "5").status] += 1


def test_fourteen_clients_that_guess_keep_no_neighbour_of_their_address_out(guessed: Head) -> None:
    curl = guessed.curl()
    with Guessers(guessed, [f"supercloud-none{n}" for n in range(14)]) as guessers:
        until(lambda: guessers.answers[503], "the address' places to be taken", within=60)
        assert form(guessed, curl, PASSWORD).status == 200


def test_who_is_guessed_at_gets_in_by_the_browser_that_has_been_here_before(guessed: Head) -> None:
    curl = guessed.curl()
    assert form(guessed, curl, PASSWORD).status == 200
    with Guessers(guessed, [ERIN] * 14) as guessers:
        until(lambda: guessers.answers[503], "the address' places to be taken", within=60)
        assert form(guessed, curl, PASSWORD).status == 200
