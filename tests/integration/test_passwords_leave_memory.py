"""A password that somebody typed is in the front's memory for no longer than it takes to ask about it."""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from lab.accounts import private_account
from lab.certificates import Certificates
from lab.processes import Processes
from lab.site import Head

pytestmark = pytest.mark.root

HOST_ONLY = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost", "127.0.0.1/32", "::1/128"]'}
AFTER = 1.0  # seconds
# Each is looked for by its random part, which none of the codings changes.
PASSWORD = f"p:ä {secrets.token_hex(12)}"
WRONG = f"q:ö {secrets.token_hex(12)}"


@pytest.fixture(scope="module")
def login() -> Iterator[str]:
    with private_account(PASSWORD) as made:
        yield made


@pytest.fixture(scope="module")
def head(login: str, public_copies: Any) -> Iterator[Head]:
    service = Path(f"/etc/pam.d/supercloud-tests-memory-{os.getpid()}")
    service.write_text(
        "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n"
    )
    processes = Processes()
    made = Head(public_copies.folder / "memory", Certificates(public_copies.folder), address="127.0.0.1")
    made.start(processes, logins=(), pam=service.name, plain_first=True, **HOST_ONLY)
    yield made
    made.portal.stop()
    processes.stop()
    service.unlink()


def found_in(pid: int, *needles: bytes) -> list[str]:
    """Where a process has one of these in its memory, with what stands around."""
    found = []
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            places, rights, _, _, _, *name = line.split(maxsplit=5)
            if "r" not in rights or name[:1] in (["[vvar]"], ["[vsyscall]"]):
                continue
            start, end = (int(one, 16) for one in places.split("-"))
            with suppress(OSError, ValueError):
                data = os.pread(memory.fileno(), end - start, start)
                for needle in needles:
                    at = data.find(needle)
                    while at >= 0:
                        found.append(f"{name} {start + at:#x}: {data[max(0, at - 60) : at + 60]!r}")
                        at = data.find(needle, at + 1)
    return found


def shapes(login: str, password: str) -> tuple[bytes, ...]:
    """As it may lie there: its random part, and that of its base64."""
    basic = base64.b64encode(f"{login}:{password}".encode())
    return password.split()[1].encode(), basic[-24:-8]


@contextmanager
def connected(head: Head) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(head.certificates.ca))
    with (
        socket.create_connection(("127.0.0.1", head.plain)) as plain,
        context.wrap_socket(plain, server_hostname=head.hostname) as secured,
    ):
        secured.settimeout(30)
        yield secured


def answered(secured: ssl.SSLSocket) -> int:
    answer = http.client.HTTPResponse(secured)
    answer.begin()
    answer.read()
    return answer.status


def form(head: Head, login: str, password: str) -> tuple[bytes, bytes]:
    body = urlencode({"login": login, "password": password, "next": "/"}).encode()
    fields = (
        f"POST /login HTTP/1.1\r\nHost: {head.hostname}:{head.plain}\r\nOrigin: {head.url}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return fields.encode(), body


def basic(head: Head, login: str, password: str) -> bytes:
    shown = base64.b64encode(f"{login}:{password}".encode()).decode()
    return (
        f"PROPFIND /dav/tmp/ HTTP/1.1\r\nHost: {head.hostname}:{head.plain}\r\nDepth: 0\r\nContent-Length: 0\r\n"
        f"Authorization: Basic {shown}\r\n\r\n"
    ).encode()


def assert_gone(head: Head, login: str, *passwords: str) -> None:
    time.sleep(AFTER)
    needles = [needle for password in passwords for needle in (*shapes(login, password), quote(password).encode())]
    assert found_in(head.portal.process.pid, *needles) == []


def test_the_search_finds_what_is_there(head: Head) -> None:
    """A name that was never typed as a password stays in the audit's memory, the settings in the front's."""
    assert found_in(head.portal.process.pid, head.hostname.encode())


@pytest.mark.parametrize("pieces", ["one", "two", "many"])
@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 303), (WRONG, 401)], ids=["right", "wrong"])
def test_by_the_form(head: Head, login: str, pieces: str, password: str, status: int) -> None:
    fields, body = form(head, login, password)
    sent = {
        "one": [fields + body],
        "two": [fields, body],
        "many": [fields, *(body[at : at + 9] for at in range(0, len(body), 9))],
    }
    with connected(head) as secured:
        for piece in sent[pieces]:
            secured.sendall(piece)
            time.sleep(0.05)
        assert answered(secured) == status
        assert_gone(head, login, password)  # while the connection is kept


def test_by_a_programs_field(head: Head, login: str) -> None:
    with connected(head) as secured:
        for _ in range(3):  # asked about, and remembered
            secured.sendall(basic(head, login, PASSWORD))
            assert answered(secured) == 207
            assert_gone(head, login, PASSWORD)
        secured.sendall(basic(head, login, WRONG))
        assert answered(secured) == 401
        assert_gone(head, login, PASSWORD, WRONG)


def test_by_a_programs_field_in_pieces(head: Head, login: str) -> None:
    with connected(head) as secured:
        sent = basic(head, login, PASSWORD)
        for at in range(0, len(sent), 31):
            secured.sendall(sent[at : at + 31])
            time.sleep(0.01)
        assert answered(secured) == 207
        assert_gone(head, login, PASSWORD)


def test_a_password_that_is_not_taken_is_not_kept_either(head: Head, login: str) -> None:
    """A form of another kind, one too long, one that breaks off."""
    fields, body = form(head, login, PASSWORD)
    for sent in (
        fields.replace(b"x-www-form-urlencoded", b"x-something-else") + body,
        fields + body[:-1],
        fields.replace(b"Origin: https://", b"Origin: https://evil.") + body,
    ):
        with connected(head) as secured:
            secured.sendall(sent)
            time.sleep(0.2)
        assert_gone(head, login, PASSWORD)
