"""workspace: 100 people with five jobs each, all with a page open, on a SLURM of this machine's."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode

from bench.accounts import users
from bench.processes import cpu_seconds
from bench.proxies import Place
from bench.report import Row, Skipped

_PEOPLE = 100
_JOBS = 5  # of each
_PAGES = ("/", "/jobs")
_SECONDS = 60.0  # of the measurement
_EVERY = 10.0  # seconds between two pages that somebody opens
_PASSWORD = "bench-secret"
_SERVICE = "supercloud-bench"
_PAM = "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n"
# What squeue asks of slurmctld.
_QUESTIONS = re.compile(r"REQUEST_JOB_(?:USER_INFO|INFO|INFO_SINGLE)\s.*count:(\d+)\s+ave_time:\d+\s+total_time:(\d+)")


def workspace(place: Place, rounds: int) -> list[Row]:
    """See the module's first line."""
    if os.geteuid() != 0:
        raise Skipped("needs root, for accounts, network name spaces and a SLURM of its own")
    from lab import cluster
    from lab.certificates import Certificates
    from lab.cluster import Cluster
    from lab.sharing import shared
    from lab.site import Head
    from lab.slurm import Slurm, is_installed

    if not is_installed():
        raise Skipped("SLURM and munge are not installed")
    place.folder.chmod(0o755)
    slurm_folder = place.folder / "slurm"
    slurm_folder.mkdir(mode=0o755)
    service = Path("/etc/pam.d", _SERVICE)
    with shared("cluster", lambda: cluster.make(3), cluster.remove), users(place.folder, _PEOPLE) as logins:
        slurm = Slurm(slurm_folder, Cluster(place.processes, 3), place.processes)
        try:
            said = "".join(f"{login}:{_PASSWORD}\n" for login in logins)
            subprocess.run(["chpasswd"], input=said, text=True, check=True)
            service.write_text(_PAM)
            slurm.start()
            _submit(logins)
            head = Head(place.folder / "site", Certificates(place.folder), hostname="portal.test")
            quiet = {"ident2": 'socket = ""\nudp = ""\n', "more": '[scheduler]\nkind = "slurm"\n'}
            head.start(place.processes, logins=("alice",), pam=_SERVICE, plain_first=True, **quiet)
            context = ssl.create_default_context(cafile=str(head.certificates.ca))
            people = [_Person(head.plain, context, login) for login in logins]
            return [row for _ in range(rounds) for row in asyncio.run(_measure(people, head.audit, slurm))]
        finally:
            service.unlink(missing_ok=True)
            slurm.stop()
            place.processes.stop()


@dataclass(frozen=True, slots=True)
class _Counted:
    """What slurmctld says that it did.

    :ivar seconds: that it took to answer.
    :ivar cpu: seconds of processor time of the whole process.
    """

    at: float
    questions: int
    seconds: float
    cpu: float

    @classmethod
    def of(cls, slurm: Any) -> _Counted:
        said = subprocess.run(["sdiag"], capture_output=True, text=True, check=True).stdout
        found = [(int(count), int(total)) for count, total in _QUESTIONS.findall(said.partition("by user")[0])]
        seconds = sum(total for _, total in found) / 1e6
        cpu = cpu_seconds(slurm.daemons["slurmctld"].pid)
        return cls(time.monotonic(), sum(count for count, _ in found), seconds, cpu)


async def _measure(people: list[_Person], audit: Path, slurm: Any) -> list[Row]:
    began = time.monotonic()
    for person in people:
        await person.sign_in()
    signed_in = time.monotonic() - began
    first = [await person.load("/") for person in people]  # which starts a worker for each
    pages = [asyncio.ensure_future(person.keep_open()) for person in people]
    await asyncio.sleep(5)
    lines = audit.read_bytes().count(b"\n")
    before = _Counted.of(slurm)
    loads = [person.look_around(number * _EVERY / len(people)) for number, person in enumerate(people)]
    wrong = [one for one in await asyncio.gather(*loads, return_exceptions=True) if one is not None]
    after = _Counted.of(slurm)
    told = sum(person.told for person in people)
    is_open = sum(not page.done() for page in pages)
    for page in pages:
        page.cancel()
    await asyncio.gather(*pages, return_exceptions=True)
    if wrong or is_open < len(people) or min(first) != 200 or max(first) != 200:
        raise RuntimeError(f"pages: {wrong[:3]}, {len(people) - is_open} streams ended, first {set(first)}")
    await asyncio.sleep(0.5)  # the last audit lines
    asked = [json.loads(line) for line in audit.read_bytes().splitlines()[lines:]]
    times = [line["seconds"] * 1000 for line in asked if line["path"] in _PAGES and line["status"] == 200]
    over = after.at - before.at
    rate, load = (after.questions - before.questions) / over, (after.cpu - before.cpu) / over * 100
    each = (after.seconds - before.seconds) / max(1, after.questions - before.questions) * 1000
    count = f"{len(times)} pages in {over:.0f} s; {signed_in:.0f} s to sign {len(people)} people in"
    who = f"{len(people)} people, {len(people) * _JOBS} jobs"
    return [
        Row(f"page, median: {who}", "ms", median(times), must=300, is_more_better=False, note=count),
        Row("page, 95th percentile", "ms", quantiles(times, n=20)[-1], must=300, is_more_better=False),
        Row("page, slowest", "ms", max(times), is_more_better=False),
        Row("questions to slurmctld", "1/s", rate, must=25, is_more_better=False,
            note=f"{told} changes told; {each:.2f} ms of slurmctld each"),
        Row("slurmctld", "% of a core", load, is_more_better=False),
    ]  # fmt: skip


class _Person:
    """Somebody's browser.

    :ivar told: changes that its open page was told.
    """

    def __init__(self, port: int, context: ssl.SSLContext, login: str) -> None:
        self._port, self._context, self._login = port, context, login
        self._cookie = ""
        self.told = 0

    async def sign_in(self) -> None:
        """By the form, as anybody."""
        body = urlencode({"login": self._login, "password": _PASSWORD}).encode()
        status, head = await self._ask("POST", "/login", body)
        found = re.search(r"^set-cookie: ([^;\r]*)", head, re.IGNORECASE | re.MULTILINE)
        if status != 303 or found is None:
            raise PermissionError(f"{self._login}: {status}")
        self._cookie = found[1]

    async def load(self, path: str) -> int:
        """Open a page."""
        return (await self._ask("GET", path))[0]

    async def look_around(self, wait: float) -> None:
        """Open pages by turns, for as long as is measured."""
        end = time.monotonic() + _SECONDS
        await asyncio.sleep(wait)
        number = 0
        while time.monotonic() < end:
            began = time.monotonic()
            path = _PAGES[number % len(_PAGES)]
            status = await self.load(path)
            if status != 200:
                raise RuntimeError(f"{self._login}: {path} is {status}")
            number += 1
            await asyncio.sleep(max(0.0, _EVERY - (time.monotonic() - began)))

    async def keep_open(self) -> None:
        """Hold a page's stream of changes; each has the page fetched again, as its script does."""
        reader, writer = await self._connect()
        try:
            writer.write(self._head("GET", "/api/events", "Sec-Fetch-Dest: empty\r\n"))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(f"{self._login}: {head[:200]!r}")
            while line := await reader.readline():
                if line.startswith(b"data:"):
                    self.told += 1
                    await self.load("/")
        finally:
            writer.close()

    async def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        reader, writer = await self._connect()
        try:
            more = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if body else ""
            writer.write(self._head(method, path, f"Connection: close\r\n{more}") + body)
            said = await reader.read()
        finally:
            writer.close()
        head = said.partition(b"\r\n\r\n")[0].decode("latin-1")
        return int(head.split(" ", 2)[1]), head

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("10.77.0.1", self._port, ssl=self._context, server_hostname="portal.test")

    def _head(self, method: str, path: str, more: str) -> bytes:
        origin = f"https://portal.test:{self._port}"
        fields = f"Host: portal.test:{self._port}\r\nOrigin: {origin}\r\nSec-Fetch-Site: same-origin\r\n"
        cookie = f"Cookie: {self._cookie}\r\n" if self._cookie else ""
        return f"{method} {path} HTTP/1.1\r\n{fields}{cookie}{more}\r\n".encode()


def _submit(logins: list[str]) -> None:
    """Five jobs of everybody's: a few run, the others wait for their turn."""
    one = "sbatch --quiet --chdir=/ --output=/dev/null --time=60 --wrap 'sleep 3000'"
    for login in logins:
        gid = str(pwd.getpwnam(login).pw_gid)
        argv = ["setpriv", "--reuid", login, "--regid", gid, "--init-groups", "--", "sh", "-ec", f"{one};" * _JOBS]
        subprocess.run(argv, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
