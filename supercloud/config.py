"""Settings: TOML to frozen structs. Every key, default and unit is in this file; unknown keys are errors."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from supercloud.config_values import Duration, Listen, Network, TcpAddress, UdpAddresses, parse_nodes

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Bytes = Annotated[int, msgspec.Meta(ge=1)]
FieldName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,64}\*?$")]
Uid = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 2)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the settings file."""


class PerPrincipal(Section, frozen=True):
    """``[front.per_principal]``: what one account may hold open at once.

    :ivar connections: connections toward applications.
    :ivar streams: requests under way, WebSockets and tunnels included.
    """

    connections: Count = 200
    streams: Count = 500


class Limits(Section, frozen=True):
    """``[front.limits]``: bounds on one connection; never on the whole time or size of a body.

    :ivar head: bytes of request line and fields (nginx 32 KiB, node.js 80 KiB).
    :ivar fields: number of fields (Apache 100).
    :ivar head_time: from the first byte of a head to its last (slowloris).
    :ivar idle: a kept-alive connection between requests (nginx 75 s).
    :ivar silence: an exchange in which neither side sends anything.
    :ivar ping: between pings to both ends of a WebSocket.
    :ivar connect: for a TCP connection to an application.
    :ivar connections: open connections of one portal process, all viewers together. When they are used up, the account
        or the network (an IPv4 address, a /64 of IPv6, all of loopback) that has most gives up what was idle longest.
    :ivar handshakes: those whose TLS handshake is not finished.
    :ivar handshake_time: for it.
    """

    head: Bytes = 64 * 1024
    fields: Count = 100
    head_time: Duration = Duration(15)
    idle: Duration = Duration(75)
    silence: Duration = Duration(3600)
    ping: Duration = Duration(25)
    connect: Duration = Duration(5)
    connections: Count = 20000
    handshakes: Count = 500
    handshake_time: Duration = Duration(10)


class Front(Section, frozen=True):
    """``[front]``

    :ivar listen: at least one; ``tls-cert`` asks browsers for a client certificate; ``apps`` is for applications under
        path prefixes, where a site has one name only.
    :ivar hostname: applications live at ``NODE-PORT-uUID.fh.HOSTNAME`` and ``NAME-uUID.fn.HOSTNAME``.
    :ivar applications: another registrable domain for them; ``""`` means under ``hostname``.
    :ivar applications_host: name of a host for applications under path prefixes, those of one viewer together, where
        there is no wildcard or no label for them; ``""``: none.
    :ivar paths: ``"apart"``: path prefixes lead from the portal's own origin to where applications live;
        ``"portal"``: they are served there, and whatever runs in their pages can do what their viewer can here.
    :ivar public_port: the port in the portal's own links; 0 means that of the first listener.
    :ivar private_key: readable by the front's group, so that a reload works without root.
    :ivar hsts: for which browsers come by HTTPS only to the portal and to each application; ``"0s"``: not said.
    :ivar account: whom the front runs as once its ports are bound; ``""`` means whoever started it.
    :ivar stop_within: for exchanges under way when the portal stops.
    :ivar notices: TOML file of what the site tells everybody, and of maintenance; ``""``: none; see authn.notices.
    :ivar audit: file of audit lines; ``""`` means the service's own log.
    :ivar metrics: where ``/metrics`` is, for Prometheus: numbers alone, without TLS; ``""``: nowhere.
    :ivar paths_for_others: node names whose applications may be served under path prefixes even when somebody else
        owns them. It hands that owner whatever the viewer can do at the other applications there.
    :ivar identity_fields: that the site's applications believe, beside `message.claims`; ``NAME*``: all that begin so.
    """

    listen: Annotated[tuple[Listen, ...], msgspec.Meta(min_length=1)] = (Listen.parse("tls:0.0.0.0:443"),)
    hostname: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] = "localhost"
    applications: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$")] = ""
    applications_host: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$")] = ""
    paths: Literal["apart", "portal"] = "apart"
    public_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    certificate: Path = Path("/etc/supercloud/tls/fullchain.pem")
    private_key: Path = Path("/etc/supercloud/tls/key.pem")
    hsts: Duration = Duration(365 * 86400)
    account: str = "supercloud"
    stop_within: Duration = Duration(10)
    notices: Annotated[str, msgspec.Meta(pattern=r"^(/.*)?$")] = "/etc/supercloud/notices.toml"
    audit: str = ""
    metrics: TcpAddress = TcpAddress.parse("127.0.0.1:9446")
    paths_for_others: tuple[str, ...] = ()
    identity_fields: tuple[FieldName, ...] = ()
    per_principal: PerPrincipal = PerPrincipal()
    limits: Limits = Limits()


class CertificateScheme(Section, frozen=True):
    """``[authn.certificate]``

    :ivar ca: PEM file of the authorities that sign people's certificates.
    :ivar crl: PEM file of revocation lists; ``""`` means that none is checked.
    :ivar map: TOML file that maps subject, e-mail or UPN to an account.
    """

    ca: str = ""
    crl: str = ""
    map: str = ""


class PasswordScheme(Section, frozen=True):
    """``[authn.password]``

    :ivar pam_service: file in /etc/pam.d for passwords and for the sessions of workers; ``""``: the site has no PAM.
    """

    pam_service: str = "supercloud-portal"


class SessionLife(Section, frozen=True):
    """``[authn.session]``

    :ivar idle: without a request.
    :ivar absolute: from sign-in, whatever happens.
    """

    idle: Duration = Duration(8 * 3600)
    absolute: Duration = Duration(24 * 3600)


class Authn(Section, frozen=True):
    """``[authn]``

    :ivar schemes: how people and programs may say who they are.
    :ivar min_uid: accounts below it are not let in.
    :ivar shells: "etc-shells" lets in accounts whose shell is in this host's /etc/shells and is neither ``nologin`` nor
        ``false``; "any" lets in all others too.
    """

    schemes: tuple[str, ...] = ("session", "certificate", "password", "token")
    min_uid: Uid = 1000
    shells: Literal["etc-shells", "any"] = "etc-shells"
    certificate: CertificateScheme = CertificateScheme()
    password: PasswordScheme = PasswordScheme()
    session: SessionLife = SessionLife()


class Nodes(Section, frozen=True):
    """``[nodes]``

    :ivar allow: names, bracket ranges (``node[1-4]``) and networks; anything else is refused before any look-up.
    :ivar ports: lowest and highest.
    """

    allow: tuple[str, ...] = ()
    ports: tuple[Port, Port] = (1024, 65535)


class Firewall(Section, frozen=True):
    """``[firewall]``

    :ivar shared_gids: groups that never permit, because everybody is in them.
    """

    shared_gids: tuple[Uid, ...] = ()


class Forwards(Section, frozen=True):
    """``[forwards]``: names that people give to their applications.

    :ivar directory: of their files, mode 1777 as /tmp; where it is not there, or ``""``, there are no forwards.
    :ivar ca: PEM file of the authorities of applications that speak HTTPS; ``""``: such applications are not opened.
    :ivar verify: false opens them whatever their certificates are.
    :ivar certificate: PEM file of the portal's own, shown to applications that ask for one; ``""``: none is.
    """

    directory: Annotated[str, msgspec.Meta(pattern=r"^(/.*)?$")] = "/home/gridsan/portal-url-fw"
    ca: str = ""
    verify: bool = True
    certificate: str = ""
    private_key: str = ""


class Ident2(Section, frozen=True):
    """``[ident2]``

    :ivar responder: answer for this host.
    :ivar socket: local clients' unix socket; ``""`` switches it off.
    :ivar udp: several allowed, one an address family; ``""`` switches it off.
    :ivar peers: networks whose nodes are asked and answered.
    :ivar timeout: each try.
    :ivar tries: questions asked before refusing.
    """

    responder: bool = True
    socket: str = "/run/ident2d.sock"
    udp: UdpAddresses = UdpAddresses.parse("0.0.0.0:99")
    peers: tuple[Network, ...] = ()
    timeout: Duration = Duration(0.5)
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3


class Dav(Section, frozen=True):
    """``[dav]``

    :ivar roots: address below ``/dav`` to folder; ``~`` is the user's home.
    """

    roots: dict[str, str] = msgspec.field(default_factory=lambda: {"/": "/"})


class Workers(Section, frozen=True):
    """``[workers]``: the processes that act as users.

    :ivar idle: without a request, after which a worker ends.
    :ivar limit: workers of one portal process at once.
    :ivar umask: of the files that they make, in octal digits; ``""``: what PAM sets, else 022.
    """

    idle: Duration = Duration(600)
    limit: Count = 2000
    umask: Annotated[str, msgspec.Meta(pattern=r"^(0?[0-7]{3})?$")] = ""


class Scheduler(Section, frozen=True):
    """``[scheduler]``

    :ivar kind: what starts people's jobs: the cluster's SLURM, or this host itself.
    """

    kind: Literal["slurm", "local"] = "slurm"


class Applications(Section, frozen=True):
    """``[applications]``

    :ivar folders: with a folder for each application that people can start.
    :ivar shipped: offer those too that come with the portal; one in ``folders`` of the same name goes before.
    :ivar idle: without use, after which those end that say how it is judged; their owners are warned in the last
        quarter of the time; ``"0s"`` ends none.
    """

    folders: tuple[Annotated[str, msgspec.Meta(pattern=r"^/")], ...] = ("/etc/supercloud/apps",)
    shipped: bool = True
    idle: Duration = Duration(12 * 3600)

    @property
    def all_folders(self) -> tuple[str, ...]:
        """Of the site, and what is shipped."""
        return (*self.folders, *(str(folder) for folder in _SHIPPED if self.shipped and folder.is_dir()))


class Settings(Section, frozen=True):
    """The whole file. Without ``[front]`` this host is a compute node: it answers ident2 and nothing else.

    :ivar state: own CA, sealing key, sessions, tokens, locks; mode 0700.
    :ivar run: sockets of the portal and of the workers; made when it is not there.
    """

    state: Path = Path("/var/lib/supercloud")
    run: Path = Path("/run/supercloud")
    front: Front | None = None
    authn: Authn = Authn()
    nodes: Nodes = Nodes()
    firewall: Firewall = Firewall()
    forwards: Forwards = Forwards()
    ident2: Ident2 = Ident2()
    dav: Dav = Dav()
    workers: Workers = Workers()
    scheduler: Scheduler = Scheduler()
    applications: Applications = Applications()


class WrongSettings(Exception):
    """The settings cannot be used; the text names the file, the key, what is wrong and what would be right."""


def _from_text(kind: type, value: Any) -> Any:
    """Read the types above; msgspec adds the key's place to what is raised."""
    if kind is Path:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a path; write it as text")
        return Path(value)
    return kind.parse(value)  # type: ignore[attr-defined]


_WHERE = re.compile(r"(.*?) - at `\$\.?(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


def _section(path: str) -> type[Section]:
    found: Any = Settings
    for name in filter(None, path.split(".")):
        kind = {field.name: field.type for field in msgspec.structs.fields(found)}.get(name)
        found = next((one for one in (kind, *getattr(kind, "__args__", ())) if _is_section(one)), found)
    return found  # type: ignore[no-any-return]


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _explain(file: Path, error: msgspec.ValidationError) -> str:
    found = _WHERE.fullmatch(str(error))
    what, where = (found[1], found[2]) if found else (str(error), "")
    if unknown := _UNKNOWN.fullmatch(what):
        known = [field.encode_name for field in msgspec.structs.fields(_section(where))]
        if where and unknown[1] in {field.encode_name for field in msgspec.structs.fields(Settings)}:
            return f"{file}: {where}.{unknown[1]}: this key is not known; put {unknown[1]} above the first [table]"
        near = difflib.get_close_matches(unknown[1], known, 1)
        key = f"{where}.{unknown[1]}".lstrip(".")
        right = f"did you mean {near[0]!r}?" if near else f"keys here are {', '.join(known)}"
        return f"{file}: {key}: this key is not known; {right}"
    if what.startswith("Invalid enum value"):
        section, _, name = where.rpartition(".")
        kind = next(field.type for field in msgspec.structs.fields(_section(section)) if field.encode_name == name)
        what += f"; write {' or '.join(f'{one!r}' for one in kind.__args__)}"
    return f"{file}: {where or 'the file'}: {what}"


def read(file: Path) -> Settings:
    """Read a settings file.

    :raises WrongSettings: names the file, the key, what is wrong, and what would be right.
    """
    try:
        settings: Settings = msgspec.toml.decode(file.read_bytes(), type=Settings, dec_hook=_from_text)
    except OSError as error:
        raise WrongSettings(f"{file}: {error.strerror}; name a settings file that can be read") from None
    except msgspec.ValidationError as error:
        raise WrongSettings(_explain(file, error)) from None
    except msgspec.DecodeError as error:
        raise WrongSettings(f"{file}: {error}; it must be TOML") from None
    for key, wrong in _doubts(settings):
        raise WrongSettings(f"{file}: {key}: {wrong}")
    return settings


# "link" is the embedded portal's: its links are printed on the terminal of the one account that it serves.
_SCHEMES = ("session", "certificate", "password", "token")


def _doubts(settings: Settings) -> Iterator[tuple[str, str]]:
    """What types cannot say: each key with what is wrong and what would be right."""
    low, high = settings.nodes.ports
    if low > high:
        yield "nodes.ports", f"{low} is above {high}; write the lowest port first, as [1024, 65535]"
    for pattern in settings.nodes.allow:
        try:
            parse_nodes(pattern)
        except ValueError as error:
            yield "nodes.allow", str(error)
    for key, path in (("state", settings.state), ("run", settings.run)):
        if not path.is_absolute():
            yield key, f"{str(path)!r} is not an absolute path"
    for address, folder in settings.dav.roots.items():
        if not address.startswith("/") or (address != "/" and address.endswith("/")):
            yield "dav.roots", f'{address!r} is not an address below /dav; write it as "/" or "/data"'
        if not folder.startswith("/") and folder != "~":
            yield "dav.roots", f'{folder!r} is neither an absolute path nor "~"'
    for scheme in settings.authn.schemes:
        if scheme not in _SCHEMES:
            yield "authn.schemes", f"{scheme!r} is not a scheme; known are {', '.join(_SCHEMES)}"
    forwards = settings.forwards
    if bool(forwards.certificate) != bool(forwards.private_key):
        yield "forwards.certificate", "and forwards.private_key go together; name both files, or neither"
    if forwards.certificate and forwards.verify and not forwards.ca:
        yield "forwards.certificate", "is shown to nobody: name the authorities of applications in forwards.ca too"
    if (front := settings.front) is None:
        return
    if "session" not in settings.authn.schemes:
        yield "authn.schemes", 'must hold "session", which carries people from page to page'
    yield from _doubts_of_origins(front)
    if any(one.asks_certificate for one in front.listen):
        for key, kind in (("ca", "PEM"), ("map", "TOML")):
            if not getattr(settings.authn.certificate, key):
                yield f"authn.certificate.{key}", f"must name a {kind} file; front.listen has a tls-cert listener"
    if settings.authn.session.idle > settings.authn.session.absolute:
        yield "authn.session.idle", "is longer than authn.session.absolute; make it shorter"


def _doubts_of_origins(front: Front) -> Iterator[tuple[str, str]]:
    ports = {one.port for one in front.listen if not one.is_shared}
    if not ports:
        yield "front.listen", 'has only listeners for applications; add the portal\'s own, as "tls:0.0.0.0:443"'
    if any(one.port and one.port in ports for one in front.listen if one.is_shared):
        yield "front.listen", "an apps listener needs a port that no other listener has: browsers tell them by it"
    labels = tuple(f".{kind}.{front.applications or front.hostname}" for kind in ("fh", "fn"))
    if front.applications_host and (
        front.applications_host == front.hostname or f".{front.applications_host}".endswith(labels)
    ):
        yield "front.applications_host", f"{front.applications_host} has another use; write apps.{front.hostname}"


# In a checkout, and where an installation puts them.
_SHIPPED = (Path(__file__).parents[1] / "conf" / "apps", Path(sys.prefix) / "share" / "supercloud" / "apps")


def embedded(state: Path, *, port: int = 8443) -> Settings:
    """The portal of the one account that starts it: this host only, own CA, one-time link."""
    return Settings(
        state=state,
        run=state / "run",
        front=Front(
            listen=(Listen.parse(f"tls:127.0.0.1:{port}"), Listen.parse(f"tls:[::1]:{port}")),
            hostname="localhost",
            applications_host="apps.localhost",
            account="",
            notices="",
            metrics=TcpAddress.parse(""),
            certificate=state / "tls" / "fullchain.pem",
            private_key=state / "tls" / "key.pem",
        ),
        authn=Authn(schemes=("session", "link", "token"), min_uid=0),
        nodes=Nodes(allow=("localhost", "127.0.0.1/32", "::1/128")),
        ident2=Ident2(responder=True, socket="", udp=UdpAddresses()),
        scheduler=Scheduler(kind="local"),
        applications=Applications(idle=Duration(0)),
    )
