"""dav: files through the portal as an impersonated user, beside Apache's mod_dav with TLS of its own."""

from __future__ import annotations

import os
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from bench import traffic
from bench.accounts import ordinary
from bench.proxies import CIPHER, Place, Proxy, listening, need
from bench.report import Row, Skipped, compare, interleave
from bench.traffic import BLOCK, Client
from tests.integration.lab.processes import free_port

_MEMBERS = 1000
_LARGE = 100_000_000
_LISTING = (
    b'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:displayname/><D:getlastmodified/><D:getcontentlength/>'
    b"<D:resourcetype/><D:getetag/></D:prop></D:propfind>"
)
_APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.err
LogLevel error
Listen 127.0.0.1:{port}
{modules}
User {user}
Group {user}
StartServers 2
ThreadsPerChild 25
MaxRequestWorkers 150
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 75
SSLSessionCache none
SSLEngine on
SSLCertificateFile {chain}
SSLCertificateKeyFile {key}
SSLProtocol +TLSv1.2 +TLSv1.3
SSLCipherSuite TLSv1.3 {cipher}
TypesConfig /etc/mime.types
DavLockDB {folder}/locks
DocumentRoot {files}
<Directory {files}>
  Dav On
  Require all granted
</Directory>
"""
_MODULES = ("mpm_event", "authz_core", "authn_core", "socache_shmcb", "ssl", "mime", "dav", "dav_fs", "dir")


class Site:
    """A portal of this host that alice is signed in to, and her folder.

    :ivar folder: hers, with a small file, a large one and a folder of many.
    """

    def __init__(self, place: Place) -> None:
        from lab.accounts import Accounts
        from lab.certificates import Certificates
        from lab.site import Head

        place.folder.chmod(0o755)
        accounts = Accounts(place.processes)
        self.accounts = accounts
        self.head = Head(place.folder / "site", Certificates(place.folder), address="127.0.0.1", hostname="localhost")
        quiet = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost"]'}
        self.head.start(place.processes, logins=("alice", "bob", "carol"), plain_first=True, **quiet)
        self.folder = place.folder / "files"
        self.folder.mkdir()
        _fill(self.folder)
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, accounts["alice"].uid, accounts["alice"].gid)
        self.proxy = self.of("alice")

    def of(self, login: str) -> Proxy:
        """For a client that somebody is signed in with."""
        curl = self.head.signed_in(login)
        context = ssl.create_default_context(cafile=str(self.head.certificates.ca))
        context.set_alpn_protocols(["http/1.1"])
        headers = {"Cookie": curl.cookie_header("localhost")}
        return Proxy("portal", self.head.plain, self.head.portal.process.pid, context, headers)

    def path(self, proxy: Proxy, name: str) -> str:
        """Where a file of the folder is found."""
        return f"/dav{self.folder}/{name}" if proxy.name == "portal" else f"/{name}"

    def worker(self, login: str) -> int:
        """Process of somebody's worker; 0 when there is none."""
        wanted = f"Uid:\t{self.accounts[login].uid}\t"
        for path in Path("/proc").glob("[0-9]*/status"):
            with suppress(FileNotFoundError, ProcessLookupError):
                text = path.read_text()
                if text.startswith("Name:\tsc-worker\n") and wanted in text:
                    return int(path.parent.name)
        return 0


def _fill(folder: Path) -> None:
    (folder / "1k").write_bytes(b"x" * 1024)
    (folder / "large").write_bytes(os.urandom(BLOCK) * (_LARGE // BLOCK) + bytes(_LARGE % BLOCK))
    (folder / "many").mkdir()
    for number in range(_MEMBERS):
        (folder / "many" / f"results-{number:04d}.csv").write_bytes(b"x" * number)


def _mod_dav(place: Place, site: Site) -> Proxy:
    """Apache with mod_dav_fs, on the same files, as alice."""
    port, folder = free_port(), place.folder / "apache"
    folder.mkdir()
    alice = site.accounts["alice"]
    os.chown(folder, alice.uid, alice.gid)
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES)
    pair = site.head.certificates.server
    (folder / "apache.conf").write_text(
        _APACHE.format(folder=folder, port=port, modules=modules, user="alice", chain=pair.certificate,
                       key=pair.private_key, cipher=CIPHER, files=site.folder)
    )  # fmt: skip
    program = need("apache2")
    pid = listening(place, "apache", [program, "-f", str(folder / "apache.conf"), "-D", "FOREGROUND"], port)
    return Proxy("mod_dav", port, pid, site.proxy.context)


def dav(place: Place, rounds: int) -> list[Row]:
    """Listing, small files, large files, the first request of a user, an idle worker."""
    if os.geteuid() != 0:
        raise Skipped("needs root, for accounts of its own")
    with ordinary():
        try:
            site = Site(place)
            peer = _mod_dav(place, site)
            both = (site.proxy, peer)
            return [
                _listing(site, both, rounds),
                _small(site, both, rounds),
                *_large(site, both, rounds),
                _first(site, rounds),
                _idle(site),
            ]
        finally:
            place.processes.stop()


def _listing(site: Site, both: tuple[Proxy, ...], rounds: int) -> Row:
    clients = {one.name: Client.of(one) for one in both}

    def take(proxy: Proxy) -> Callable[[], float]:
        client, path = clients[proxy.name], site.path(proxy, "many/")
        asked = client.head("PROPFIND", path, "Depth: 1", f"Content-Length: {len(_LISTING)}") + _LISTING

        def once() -> float:
            began = time.perf_counter()
            client.socket.sendall(asked)
            status, body = whole(client)
            took = time.perf_counter() - began
            if status != 207 or body.count(b"results-") < _MEMBERS:
                raise RuntimeError(f"{proxy.name}: {status} {body[:300]!r}")
            return took * 1000

        return lambda: median(once() for _ in range(5))

    measures = {one.name: take(one) for one in both}
    interleave(1, measures)
    found = interleave(rounds, measures)
    for client in clients.values():
        client.close()
    return compare("PROPFIND, 1,000 members", "ms", found, "mod_dav", must=1.2, aim=0.6, is_more_better=False)


def _small(site: Site, both: tuple[Proxy, ...], rounds: int) -> Row:
    def take(proxy: Proxy) -> Callable[[], traffic.Load]:
        url = f"https://localhost:{proxy.port}{site.path(proxy, '1k')}"
        return lambda: traffic.load(url, connections=16, seconds=2, headers=proxy.headers, pid=proxy.pid)

    measures = {one.name: take(one) for one in both}
    found = interleave(rounds, measures)
    rates = {name: [one.rate for one in loads] for name, loads in found.items()}
    return compare("GET 1 KB, 16 conn.", "1/s", rates, "mod_dav", must=0.1, aim=0.4)


def _large(site: Site, both: tuple[Proxy, ...], rounds: int) -> list[Row]:
    def take(proxy: Proxy, carry: Callable[[Client, str], None], name: str) -> Callable[[], float]:
        def once() -> float:
            client = Client.of(proxy)
            began = time.perf_counter()
            carry(client, site.path(proxy, name))
            took = time.perf_counter() - began
            client.close()
            return _LARGE / took / 1e6

        return once

    rows = []
    for what, carry, name in (("GET", _download, "large"), ("PUT", _upload, "written")):
        measures = {one.name: take(one, carry, name) for one in both}
        interleave(1, measures)
        found = interleave(rounds, measures)
        rows.append(compare(f"{what} 100 MB", "MB/s", found, "mod_dav", must=0.6, aim=0.9))
    return rows


def _download(client: Client, path: str) -> None:
    if client.download(path) != _LARGE:
        raise RuntimeError(f"{path} is not whole")


def _upload(client: Client, path: str) -> None:
    client.socket.sendall(client.head("PUT", path, f"Content-Length: {_LARGE}"))
    block, left = memoryview(bytes(BLOCK)), _LARGE
    while left:
        client.socket.sendall(block[: min(left, BLOCK)])
        left -= min(left, BLOCK)
    status, body = whole(client)
    if status not in (201, 204):
        raise RuntimeError(f"{status} {body!r}")


def _first(site: Site, rounds: int) -> Row:
    """From a request of a user without a worker to its answer."""
    proxy = site.of("bob")
    times = []
    for _ in range(rounds):
        worker = site.worker("bob")
        if worker:
            os.kill(worker, signal.SIGTERM)
            while site.worker("bob"):
                time.sleep(0.01)
            time.sleep(0.1)  # the front hears of it
        client = Client.of(proxy)
        asked = client.head("PROPFIND", "/dav/~/", "Depth: 0")
        began = time.perf_counter()
        client.socket.sendall(asked)
        status, body = whole(client)
        times.append((time.perf_counter() - began) * 1000)
        if status != 207:
            raise RuntimeError(f"{status} {body!r}")
        client.close()
    samples: dict[str, Any] = {"portal": times}
    return Row("first request of a user", "ms", median(times), must=150, aim=50, is_more_better=False, samples=samples)


def _idle(site: Site) -> Row:
    """Of a worker that answered its first request, and of one that carried all of this."""
    note = f"{private_of(site.worker('alice')):.1f} MB after all of the above"
    mine = private_of(site.worker("bob"))
    return Row("private memory of a worker", "MB", mine, must=12, aim=5, is_more_better=False, note=note)


def private_of(pid: int) -> float:
    """MB that a process shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) / 1000


def whole(client: Client) -> tuple[int, bytes]:
    """Status and body of a response, of a known length or in chunks."""
    head, rest = client.read_head()
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    status = int(head.split(b" ", 2)[1])
    if fields.get(b"transfer-encoding", b"").lower() != b"chunked":
        pieces, left = [rest], int(fields.get(b"content-length", b"0")) - len(rest)
        while left > 0:
            pieces.append(client.socket.recv(min(left, BLOCK)))
            left -= len(pieces[-1])
        return status, b"".join(pieces)
    body = bytearray()
    while True:
        while b"\r\n" not in rest:
            rest += client.socket.recv(65536)
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        while len(rest) < size + 2:
            rest += client.socket.recv(65536)
        if not size:
            return status, bytes(body)
        body += rest[:size]
        rest = rest[size + 2 :]
