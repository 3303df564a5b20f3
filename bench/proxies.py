"""The portal and its peers, each a process that listens on loopback with the same certificate."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from bench.accounts import Account
from bench.report import Skipped
from tests.integration.lab.processes import Processes, free_port, wait_until_listening

CIPHER = "TLS_AES_128_GCM_SHA256"  # the portal's first choice, for everybody
ROOT = Path(__file__).parents[1]
NODE_MODULES = Path("/var/tmp/supercloud-bench")
_LINK = re.compile(r"^Open (https://localhost:\d+)(/login\?link=\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the processes of one measure live.

    :ivar folder: for their files; removed at the end.
    """

    processes: Processes
    folder: Path

    def start(self, argv: list[str], name: str, **popen: Any) -> subprocess.Popen[Any]:
        """Start one; what it says is in ``name``.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return self.processes.start(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **popen)

    def start_module(self, name: str, account: Account) -> int:
        """Start one of this package's applications as an account; says its port."""
        # A copy: the checkout may lie where the account cannot read it.
        copy = self.folder / "copy/bench"
        copy.mkdir(parents=True, exist_ok=True)
        for file in ("__init__.py", "application.py", "echo.py", "frames.py", "hostile.py"):
            shutil.copy(ROOT / "bench" / file, copy)
        self.folder.chmod(0o755)
        port = free_port()
        argv = [*account.prefix, "/usr/bin/python3", "-m", f"bench.{name}", str(port)]
        process = self.start(argv, f"{name}-{port}", cwd=copy.parent)
        wait_until_listening("127.0.0.1", port, process=process)
        return port


@dataclass(frozen=True, slots=True)
class Proxy:
    """Something that answers https://localhost:PORT/.

    :ivar headers: what a request must bring.
    """

    name: str
    port: int
    pid: int
    context: ssl.SSLContext
    headers: dict[str, str] = field(default_factory=dict)

    def path(self, upstream: int, path: str, node: str = "localhost") -> str:
        """Where an application's path is found; a peer knows one application only."""
        return f"/fw2/{node}:{upstream}{path}" if self.name == "portal" else path


class Portal:
    """Starts one embedded portal and signs in.

    :ivar proxy: for a signed-in client.
    """

    def __init__(self, place: Place, *, room: dict[str, Any] | None = None) -> None:
        self.port = free_port()
        self.state = place.folder / f"portal-{self.port}"
        self._log = place.folder / f"portal-{self.port}.log"
        argv = [str(ROOT / ".venv/bin/twistd"), "-n", "--pidfile="]
        environment = dict(os.environ)
        if room is None:
            argv += ["supercloud-portal", "--port", str(self.port), "--state", str(self.state)]
        else:
            argv += ["-y", str(ROOT / "bench/portal.tac")]
            usual = {"uid": os.geteuid(), "connections": 200, "streams": 500, "nodes": [], "udp": [], "peers": []}
            usual["forwards"] = ""
            environment["SUPERCLOUD_BENCH"] = json.dumps({"port": self.port, "state": str(self.state), **usual, **room})
        self.process = place.start(argv, self._log.stem, env=environment, cwd=ROOT)
        wait_until_listening("127.0.0.1", self.port, process=self.process, within=20)
        self._links = 0
        link = self.link()
        context = ssl.create_default_context(cafile=str(self.state / "tls/ca.pem"))
        context.set_alpn_protocols(["http/1.1"])
        together = f"apps.localhost:{self.port}"
        cookies = self._signed_in(link, f"https://{together}/fw2/localhost:1/", context)[together]
        self.proxy = Proxy("portal", self.port, self.process.pid, context, {"Host": together, "Cookie": cookies})

    def _signed_in(self, link: str, then: str, context: ssl.SSLContext) -> dict[str, str]:
        """Cookies by host, once one was at two addresses, wherever they lead."""
        jar: dict[str, dict[str, str]] = {}
        for url in (link, then):
            while url:
                host, slash, target = url.removeprefix("https://").partition("/")
                known = jar.setdefault(host, {})
                fields = {"Host": host, "Cookie": "; ".join(f"{name}={value}" for name, value in known.items())}
                connection = HTTPSConnection("localhost", self.port, context=context)
                connection.request("GET", slash + target, headers=fields)
                answer = connection.getresponse()
                for one in answer.headers.get_all("Set-Cookie") or []:
                    name, _, value = one.partition(";")[0].partition("=")
                    known[name] = value
                url = answer.getheader("Location", "")
                connection.close()
        return {host: "; ".join(f"{name}={value}" for name, value in known.items()) for host, known in jar.items()}

    def link(self) -> str:
        """A one-time sign-in link that nobody used yet; the portal prints a new one after each."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            # Audit lines make a long log; links are printed at its start and after each use.
            found = _LINK.findall(self._log.read_text(errors="replace"))
            if len(found) > self._links:
                self._links = len(found)
                return "".join(found[-1])
            time.sleep(0.02)
        raise TimeoutError(f"no new sign-in link in {self._log}")

    @property
    def certificate(self) -> tuple[Path, Path]:
        """Files of the chain and the key, for the peers."""
        return self.state / "tls/fullchain.pem", self.state / "tls/key.pem"


def need(program: str) -> str:
    """Where a program is.

    :raises Skipped: it is not installed.
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise Skipped(f"{program} is not installed (as root: .ci/packages bench)")
    return found


def listening(place: Place, name: str, argv: list[str], port: int, **popen: Any) -> int:
    """Start a server, once it listens; says its pid."""
    process = place.start(argv, f"{name}-{port}", **popen)
    wait_until_listening("127.0.0.1", port, process=process, within=20)
    return process.pid


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error error; {user}
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout {keepalive}; client_max_body_size 0;
  client_body_temp_path {folder}/nb; proxy_temp_path {folder}/np; fastcgi_temp_path {folder}/nf;
  scgi_temp_path {folder}/ns; uwsgi_temp_path {folder}/nu;
  sendfile on; tcp_nopush on; open_file_cache max=100; open_file_cache_valid 600s;
{body}
}}
"""


def start_nginx(
    place: Place, body: str, port: int, *, keepalive: int = 75, within: tuple[str, ...] = (), name: str = "nginx"
) -> int:
    """Start nginx with one worker; says its pid.

    :param within: a command that runs it on another node or as another account; nobody waits for it here then.
    """
    # The master opens the listener and a worker accepts: with two accounts the portal would rightly refuse.
    user = "user root;" if os.geteuid() == 0 and not within else ""
    folder = place.folder / f"{name}-{port}"
    folder.mkdir()
    folder.chmod(0o777)
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, user=user, body=body, keepalive=keepalive))
    argv = [*within, need("nginx"), "-e", "stderr", "-c", str(conf)]
    if within:
        return place.start(argv, f"{name}-{port}").pid
    return listening(place, name, argv, port)


def nginx(place: Place, portal: Portal, upstream: int, *, uploads: int = 0, keepalive: int = 64) -> Proxy:
    """nginx as a proxy.

    :param uploads: port of the application behind /upload.
    :param keepalive: connections kept to the application; 0 for a new one each time.
    """
    port, (chain, key) = free_port(), portal.certificate
    keep = f"keepalive {keepalive};" if keepalive else ""
    common = 'proxy_http_version 1.1; proxy_set_header Connection "";'
    body = f"""
  upstream application {{ server 127.0.0.1:{upstream}; {keep} }}
  upstream uploads {{ server 127.0.0.1:{uploads or upstream}; {keep} }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=1024; ssl_certificate {chain}; ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_conf_command Ciphersuites {CIPHER};
    location / {{ proxy_pass http://application; {common} proxy_max_temp_file_size 0; proxy_buffers 16 64k; }}
    location /upload {{ proxy_pass http://uploads; {common} proxy_request_buffering off; }}
  }}"""
    return Proxy("nginx", port, start_nginx(place, body, port), portal.proxy.context)


_APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.err
LogLevel error
Listen 127.0.0.1:{port}
{modules}
{user}
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
ProxyPass / http://127.0.0.1:{upstream}/ keepalive=On
{more}
"""


def apache(place: Place, portal: Portal, upstream: int, *, modules: tuple[str, ...] = (), more: str = "") -> Proxy:
    """Apache's mod_proxy, mpm_event, which checks nothing.

    :param modules: beside those that it needs; ``more`` is their settings.
    """
    port, (chain, key) = free_port(), portal.certificate
    folder = "/usr/lib/apache2/modules"
    program = need("apache2")
    names = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http", *modules)
    loads = "\n".join(f"LoadModule {name}_module {folder}/mod_{name}.so" for name in names)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    conf = place.folder / "apache.conf"
    conf.write_text(
        _APACHE.format(folder=place.folder, port=port, modules=loads, user=user, more=more, chain=chain, key=key,
                       cipher=CIPHER, upstream=upstream)
    )  # fmt: skip
    pid = listening(place, "apache", [program, "-f", str(conf), "-D", "FOREGROUND"], port)
    return Proxy("apache", port, pid, portal.proxy.context)


def chp(place: Place, portal: Portal, upstream: int) -> Proxy:
    """configurable-http-proxy, JupyterHub's; installed from npm at first use."""
    program = NODE_MODULES / "node_modules/.bin/configurable-http-proxy"
    if not program.exists():
        argv = [need("npm"), "install", "--no-audit", "--no-fund", "--prefix", str(NODE_MODULES), program.name]
        NODE_MODULES.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            raise Skipped(f"npm install {program.name}: {done.stderr.strip()[-200:]}")
    port, api, (chain, key) = free_port(), free_port(), portal.certificate
    argv = [need("node"), str(program), "--ip", "127.0.0.1", "--port", str(port), "--api-ip", "127.0.0.1",
            "--api-port", str(api), "--ssl-cert", str(chain), "--ssl-key", str(key), "--ssl-ciphers", CIPHER,
            "--default-target", f"http://127.0.0.1:{upstream}", "--log-level", "error"]  # fmt: skip
    environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": "bench", "NODE_ENV": "production"}
    pid = listening(place, "chp", argv, port, env=environment)
    return Proxy("chp", port, pid, portal.proxy.context)
