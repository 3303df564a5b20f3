"""Which origin a ``Host`` names: the portal's own, or an application's (design: an origin belongs to one owner)."""

from __future__ import annotations

import re
from functools import lru_cache

from supercloud.errors import BadAddress, Misdirected
from supercloud.target import Application, Forward, Origin

# One label of at most 63 letters, digits and dashes; the last dash before the port separates, so that node-5-12637
# is port 12637 of node-5. The owner's uid stands behind it.
_LABEL = re.compile(
    r"(?P<node>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-(?P<port>[1-9][0-9]{0,4})(?:-u(?P<uid>0|[1-9][0-9]{0,9}))?"
)
# As short as it can be, so that what looks like an owner's suffix is one: a forward whose name ends like that has no
# label.
_NAME = re.compile(r"(?P<name>[a-z0-9](?:[a-z0-9-]*?[a-z0-9])??)(?:-u(?P<uid>0|[1-9][0-9]{0,9}))?")
_MAX_LABEL = 63
_PORT = re.compile(r"[0-9]{1,5}")


class Hosts:
    """Reads ``Host`` fields, and makes the addresses of applications.

    :param hostname: of the portal.
    :param applications: domain under which ``fh`` and ``fn`` lie.
    :param ports: public ports of the listeners; the first is that of the portal's own links.
    :param shared_host: name of the origin that all applications of a viewer share; ``""``: the site has none.
    :param shared_ports: of listeners for applications: there, the portal's own name is that origin.
    :param has_wildcards: browsers find the labels below ``fh`` and ``fn``, and trust their certificate.
    :param serves_prefixes: applications are served under path prefixes of the portal's own origin, as the site wishes.
    """

    def __init__(
        self,
        hostname: str,
        *,
        applications: str = "",
        ports: tuple[int, ...] = (443,),
        shared_host: str = "",
        shared_ports: tuple[int, ...] = (),
        has_wildcards: bool = True,
        serves_prefixes: bool = False,
    ) -> None:
        self._hostname = hostname
        self._ports = ports
        self._shared_hosts = frozenset(filter(None, [shared_host]))
        self._shared_ports = shared_ports
        self._domain = f"fh.{applications or hostname}"
        self._forwards = f"fn.{applications or hostname}"
        self.has_wildcards = has_wildcards
        self.portal = Origin(_authority(hostname, ports[0]), has_prefixes=serves_prefixes)
        self.shared: Origin | None = None
        if shared_host:
            self.shared = _shared(shared_host, ports[0])
        elif shared_ports:
            self.shared = _shared(hostname, shared_ports[0])
        # As many as a few thousand viewers use at once; a guess costs 2 microseconds.
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, host: bytes) -> Origin:
        """The origin that a ``Host`` names, in lower case.

        :raises Misdirected: none of ours.
        :raises BadAddress: under the applications' domain, but no application's name.
        """
        text = host.decode("ascii")
        name, colon, port = text.partition(":") if not text.startswith("[") else (text, "", "")
        number = 443 if not colon else int(port) if _PORT.fullmatch(port) else 0
        # Whose a request is its Host says, and not the listener: browsers hold origins apart by what is in it.
        if number in self._shared_ports and name in (self._hostname, *self._shared_hosts):
            return _shared(name, number)
        if number not in self._ports:
            raise Misdirected(f"Host {text!r}: port", public=self._where())
        if name == self._hostname:
            return Origin(_authority(name, number), has_prefixes=self.portal.has_prefixes)
        if name in self._shared_hosts:
            return _shared(name, number)
        label, dot, domain = name.partition(".")
        if dot and domain == self._forwards:
            return self._of_forward_label(label, _authority(name, number))
        if not dot or domain != self._domain:
            raise Misdirected(f"Host {text!r}", public=self._where())
        found = _LABEL.fullmatch(label) if len(label) <= _MAX_LABEL else None
        if not found or int(found["port"]) > 65535:
            raise BadAddress(f"label {label!r}")
        application = Application(found["node"], int(found["port"]))
        return Origin(_authority(name, number), application, None if found["uid"] is None else int(found["uid"]))

    def own(self, where: Application | str, owner: int | None) -> Origin | None:
        """The own origin of an application, or of a forward of that name; None when it has no label.

        :param owner: uid; None for the label without one, which leads to the viewer's.
        """
        suffix = "" if owner is None else f"-u{owner}"
        if isinstance(where, str):
            label = where + suffix
            found = _NAME.fullmatch(label)
            is_label = found is not None and found["name"] == where
            domain, application, forward = self._forwards, None, where
        else:
            label = f"{where.node}-{where.port}{suffix}"
            found = _LABEL.fullmatch(label)
            is_label = found is not None and found["node"] == where.node
            domain, application, forward = self._domain, where, None
        if not is_label or len(label) > _MAX_LABEL:
            return None
        return Origin(_authority(f"{label}.{domain}", self._ports[0]), application, owner, forward)

    def address(self, where: Application | str, owner: int, path: str = "/", *, is_viewers: bool) -> str | None:
        """Where an application is shown: at its own origin, else under its prefix at the one that the viewer's share.

        :param where: node and port, or a forward's name.
        :param path: of the application, with its query.
        :param is_viewers: it belongs to who looks; what belongs to others never shares an origin.
        :returns: a whole URL; None where the site has no place for it.
        """
        own = self.own(where, owner) if self.has_wildcards else None
        if own is not None:
            return own.url + path
        prefix = f"/fw/{where}" if isinstance(where, str) else f"/fw2/{where}"
        if not is_viewers:
            return None
        if self.shared is not None:
            return self.shared.url + prefix + path
        return self.portal.url + prefix + path if self.portal.has_prefixes else None

    def _of_forward_label(self, label: str, authority: str) -> Origin:
        found = _NAME.fullmatch(label) if len(label) <= _MAX_LABEL else None
        if not found:
            raise BadAddress(f"label {label!r}")
        owner = None if found["uid"] is None else int(found["uid"])
        return Origin(authority, owner=owner, forward=found["name"])

    @property
    def patterns(self) -> tuple[str, ...]:
        """All of the applications' origins, as a Content-Security-Policy names them (CSP3 section 2.3.1)."""
        own = tuple(f"https://*.{_authority(domain, self._ports[0])}" for domain in (self._domain, self._forwards))
        return own if self.shared is None else (*own, self.shared.url)

    def _where(self) -> str:
        return f"This portal does not serve that host name. Its own address is {self.portal.url}/."


def name_of(application: Application, forward: Forward | None) -> Application | str:
    """What an application is called by, however it is addressed: node and port, or the name of a forward."""
    return application if forward is None else forward.name


def _shared(name: str, port: int) -> Origin:
    return Origin(_authority(name, port), is_shared=True, has_prefixes=True)


def _authority(name: str, port: int) -> str:
    return name if port == 443 else f"{name}:{port}"
