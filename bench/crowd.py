"""crowd: 200 users at once, each with a worker of their own, listing and reading."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
import ssl
import time
from pathlib import Path

from bench.accounts import FIRST_UID, ordinary, users
from bench.dav import private_of
from bench.processes import MB, rss
from bench.proxies import Place
from bench.report import Row, Skipped

_USERS = 200
_ROUNDS = 5  # of listing and reading, by everybody
_LISTING = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getcontentlength/><D:getetag/></D:prop></D:propfind>'
)


def crowd(place: Place, rounds: int) -> list[Row]:
    """See the module's first line."""
    if os.geteuid() != 0:
        raise Skipped("needs root, for accounts of its own")
    from lab.certificates import Certificates
    from lab.site import Head

    with ordinary(), users(place.folder, _USERS) as logins:
        try:
            place.folder.chmod(0o755)
            certificates = Certificates(place.folder)
            head = Head(place.folder / "site", certificates, address="127.0.0.1", hostname="localhost")
            quiet = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost"]'}
            head.start(place.processes, logins=("alice",), plain_first=True, tokens=True, **quiet)
            fields = _tokens(head.folder / "state", logins)
            context = ssl.create_default_context(cafile=str(certificates.ca))
            context.set_alpn_protocols(["http/1.1"])
            people = [_Person(head.plain, context, place.folder / login, field) for login, field in fields.items()]
            return _measure(head.portal.process.pid, people)
        finally:
            place.processes.stop()


def _measure(front: int, people: list[_Person]) -> list[Row]:
    sizes, times, failures = [], [], 0
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        failures += asyncio.run(_all(people))
        times.append(time.perf_counter() - began)
        sizes.append(rss(front) / MB)
    workers = _workers(front)
    private = sum(map(private_of, workers)) / max(1, len(workers))
    note = f"first round {times[0]:.1f} s with {len(workers)} workers to start, then {min(times[1:]):.2f} s"
    grown = sizes[-1] - sizes[1]
    return [
        Row(f"{_USERS} users at once", "failures", failures, must=0, is_more_better=False, note=note),
        Row("front's growth, four more rounds", "MB", grown, must=5, is_more_better=False,
            note=f"{sizes[0]:.0f} MB after the first round; {private:.1f} MB private in each worker"),
    ]  # fmt: skip


class _Person:
    """A program of somebody's."""

    def __init__(self, port: int, context: ssl.SSLContext, home: Path, field: str) -> None:
        self._port, self._context, self._home, self._field = port, context, home, field

    async def once(self) -> bool:
        """List the home and read ten files; whether all of it was right."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context,
                                                       server_hostname="localhost")  # fmt: skip
        try:
            status, body = await self._ask(reader, writer, "PROPFIND", f"{self._home}/", _LISTING)
            is_right = status == 207 and body.count(b"getcontentlength>") >= 20
            for number in range(10):
                status, body = await self._ask(reader, writer, "GET", f"{self._home}/file-{number}")
                is_right = is_right and status == 200 and body == str(self._home).encode()
            return is_right
        finally:
            writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: bytes = b""
    ) -> tuple[int, bytes]:
        head = f"{method} /dav{path} HTTP/1.1\r\nHost: localhost:{self._port}\r\nAuthorization: {self._field}\r\n"
        writer.write(f"{head}Depth: 1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(said.split(" ", 2)[1])
        if "transfer-encoding: chunked" in said:
            pieces = []
            while size := int(await reader.readline(), 16):
                pieces.append((await reader.readexactly(size + 2))[:-2])
            await reader.readline()
            return status, b"".join(pieces)
        length = int(said.partition("content-length: ")[2].partition("\r\n")[0] or 0)
        return status, await reader.readexactly(length)


async def _all(people: list[_Person]) -> int:
    results = await asyncio.gather(*(person.once() for person in people), return_exceptions=True)
    return sum(one is not True for one in results)


def _tokens(state: Path, logins: list[str]) -> dict[str, str]:
    """A token for each, as its owner would have made it; what a program shows, by login."""
    from supercloud.authn.token_store import SqliteTokenStore, TokenRow
    from supercloud.message.authorization import TOKEN_PREFIX

    store = SqliteTokenStore(state / "tokens.sqlite", owner=state.stat().st_uid)
    store.open()
    fields, now = {}, time.time()
    for number, login in enumerate(logins):
        text = TOKEN_PREFIX + secrets.token_hex(32)
        digest = hashlib.sha256(text.encode()).digest()
        uid = FIRST_UID + number
        store.add(TokenRow(secrets.token_hex(5), digest, uid, login, "dav", "", now, now + 3600), 100)
        fields[login] = "Basic " + base64.b64encode(f"{login}:{text}".encode()).decode()
    store.close()
    return fields


def _workers(pid: int) -> list[int]:
    found = []
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        if Path(f"/proc/{child}/comm").read_text() == "sc-worker\n":
            found.append(child)
        found += _workers(child)
    return found
