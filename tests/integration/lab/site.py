"""A site: nodes with a responder each, and a portal on the head that people enter with client certificates."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.certificates import Certificates
from lab.cluster import Cluster
from lab.portal import Curl, Twistd, start_configured, start_twistd, until
from lab.processes import Processes, free_port

HOSTNAME = "portal.test"
PEERS = '["10.77.0.0/24", "fd77::/64"]'
_NODES = '["node[1-4]", "node[1-4]-6", "10.77.0.0/24", "fd77::/64"]'
# Whom the front runs as once its ports are bound; every Unix has it.
FRONT = "nobody"


def certificate_map(folder: Path, logins: tuple[str, ...]) -> Path:
    """A map that knows these people."""
    file = folder / "certmap.toml"
    file.write_text("".join(f'[[account]]\nlogin = "{one}"\nemail = "{one}@example.org"\n' for one in logins))
    return file


def start_node(cluster: Cluster, processes: Processes, folder: Path, node: str) -> Twistd:
    """The responder of a node, once it answers."""
    file = folder / f"{node}.toml"
    file.write_text(f'[ident2]\nsocket = "{folder}/{node}.sock"\nudp = ["0.0.0.0:99", "[::]:99"]\npeers = {PEERS}\n')
    responder = start_twistd(processes, ["--config", file], node=node)
    until(lambda: (folder / f"{node}.sock").exists() or responder.process.poll() is not None, f"responder of {node}")
    responder.wait_for("starting up")
    return responder


@dataclass
class Head:
    """A portal on the head.

    :ivar port: asks for a client certificate; ``plain`` does not.
    """

    folder: Path
    certificates: Certificates
    address: str = "10.77.0.1"
    hostname: str = HOSTNAME
    port: int = field(init=False, default=0)
    plain: int = field(init=False, default=0)
    portal: Twistd = field(init=False)
    _home: int = field(init=False)
    _apps: int = field(init=False, default=0)

    def start(
        self,
        processes: Processes,
        *,
        logins: tuple[str, ...],
        ident2: str = "",
        more: str = "",
        plain_first: bool = False,
        account: str = FRONT,
        nodes: str = _NODES,
        pam: str = "",
        tokens: bool = False,
        front: str = "",
        apart: str = "label",
        **how: Any,
    ) -> None:
        """Start it.

        :param ident2: the table of the settings; default: answers on the cluster's addresses of the head.
        :param pam: service of PAM; people may sign in by password and token then.
        :param tokens: programs may be let in by token.
        :param front: more of that table.
        :param apart: where applications are: ``label``, each at its own origin; where there are no wildcards, ``host``
            or ``port``.
        :param how: see `portal.start_twistd`.
        :param plain_first: the portal's own links lead to the listener that asks for no certificate.
        """
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        state, run = self.folder / "state", self.folder / "run"
        found = pwd.getpwnam(account or "root")
        for own in (state, run):
            own.mkdir(mode=0o755, exist_ok=True)
            os.chown(own, found.pw_uid, found.pw_gid)
        state.chmod(0o700)
        if not self.port:
            self.port, self.plain = free_port(self.address), free_port(self.address)
        made, address = self.certificates, self.address
        ident2 = ident2 or (f'socket = "{run}/ident2.sock"\nudp = ["10.77.0.1:99", "[fd77::1]:99"]\npeers = {PEERS}\n')
        listen = [f"tls-cert:{address}:{self.port}", f"tls:{address}:{self.plain}"]
        pair = made.server if apart == "label" else made.narrow
        if apart == "port":
            self._apps = self._apps or free_port(address)
        self._home = self.port
        if plain_first:
            listen.reverse()
            self._home = self.plain
        if self._apps:
            listen.append(f"apps:{address}:{self._apps}")
        file = self.folder / "portal.toml"
        schemes = ["session", "certificate", *(["password"] if pam else []), *(["token"] if pam or tokens else [])]
        file.write_text(
            f'state = "{state}"\nrun = "{run}"\n'
            f"[front]\nlisten = {json.dumps(listen)}\n"
            f'hostname = "{self.hostname}"\napplications_host = "{"" if self._apps else f"apps.{self.hostname}"}"\n'
            f'account = "{account}"\naudit = "{self.audit}"\n'
            f'notices = "{self.notices}"\n'
            f'certificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"\n{front}'
            f'[authn]\nschemes = {json.dumps(schemes)}\n[authn.password]\npam_service = "{pam}"\n'
            f'[authn.certificate]\nca = "{made.ca}"\ncrl = "{made.crl}"\n'
            f'map = "{certificate_map(self.folder, logins)}"\n'
            f"[nodes]\nallow = {nodes}\n"
            f"[ident2]\n{ident2}\n{more}"
        )
        self.portal = start_configured(processes, file, [(address, self.port), (address, self.plain)], **how)

    @property
    def audit(self) -> Path:
        return self.folder / "run" / "audit.jsonl"

    @property
    def notices(self) -> Path:
        """What the site tells everybody; not there at first."""
        return self.folder / "notices.toml"

    @property
    def url(self) -> str:
        return f"https://{self.hostname}:{self._home}"

    @property
    def together(self) -> str:
        """Where somebody's own applications are under path prefixes."""
        return f"https://{self.hostname}:{self._apps}" if self._apps else f"https://apps.{self.hostname}:{self._home}"

    def own(self, label: str) -> str:
        """Address of an application's own origin."""
        return f"https://{label}.fh.{self.hostname}:{self._home}"

    def forward(self, label: str) -> str:
        """Address of a forward's own origin."""
        return f"https://{label}.fn.{self.hostname}:{self._home}"

    def curl(self, who: str | None = None) -> Curl:
        """A new curl, with somebody's certificate."""
        number = sum(1 for one in self.folder.iterdir() if one.name.startswith("curl-"))
        pair = self.certificates.client[who] if who else None
        return Curl(
            self.folder / f"curl-{number}",
            self.certificates.ca,
            certificate=(pair.certificate, pair.private_key) if pair else None,
            resolve=[f"*:{port}:{self.address}" for port in (self.port, self.plain, self._apps) if port],
        )

    def signed_in(self, who: str) -> Curl:
        """A curl of somebody's that is signed in."""
        curl = self.curl(who)
        answer = curl(f"https://{self.hostname}:{self.port}/login")
        if answer.status != 200:
            raise PermissionError(f"{who}: {answer}")
        curl(f"{self.together}/fw2/localhost:1/")  # nothing is there, but now there is a session
        return curl

    def audited(self, request: str) -> dict[str, Any]:
        """The audit line of a request whose path has this text in it, once it is written."""

        def find() -> dict[str, Any] | None:
            lines = self.audit.read_text().splitlines() if self.audit.exists() else []
            return next((line for line in map(json.loads, reversed(lines)) if request in line.get("path", "")), None)

        return until(find, f"audit line of {request}")  # type: ignore[return-value]
