"""Fields by which gateways tell an application who looks at it, from where, and under which address.

Applications believe them, and take them from whoever sends them: so what a browser or a program sends under such a name
reaches no application, be it a field of a head or a trailer. A site adds what its own applications believe.

The names are those of nginx, Apache (mod_ssl, mod_auth_openidc, mod_auth_mellon, Shibboleth, CAS), HAProxy, Traefik,
Envoy, Kong, APISIX, oauth2-proxy, Vouch, Authelia, Authentik, Pomerium, Teleport, Tailscale, Cloudflare, Fastly,
Akamai, Vercel, Netlify, Fly, AWS, Azure, Google, WebLogic, SiteMinder, WebSEAL, Oracle; and of what sits behind them:
Grafana, JupyterHub, RStudio, Shiny, Kubeflow, Kubernetes. ``Proxy`` is none of these; CGI programs take it for a
setting of theirs. A client's own credentials pass: ``Authorization``, ``X-API-Key``, ``X-Auth-Token``,
``X-CSRF-Token`` and their like.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_NAMES: Final = frozenset(
    b"forwarded proxy x-real-ip x-real-port x-client-ip client-ip x-cluster-client-ip true-client-ip x-true-client-ip "
    b"x-originating-ip x-source-ip x-peer-ip x-proxy-client-ip proxy-client-ip incap-client-ip x-sucuri-clientip "
    b"do-connecting-ip x-host x-external-host x-original-host x-original-uri x-original-url x-original-forwarded-for "
    b"x-rewrite-url x-script-name x-ingress-path x-scheme x-url-scheme x-https front-end-https x-user x-login x-email "
    b"x-mail x-uid x-gid x-group x-groups x-role x-roles x-userinfo x-id-token x-jwt-assertion x-rh-identity "
    b"x-endpoint-api-userinfo x-apigateway-api-userinfo eppn".split()
)
_BEGINNINGS: Final = tuple(
    b"x-forwarded x-supercloud- x-auth-request- x-auth-user x-auth-email x-auth-group x-auth-login x-auth-name "
    b"x-auth-role x-auth-subject x-authenticated- x-remote- remote- x-webauth- x-proxy-user x-proxyuser- x-user-dn "
    b"x-user-email x-user-group x-user-id x-user-info x-user-login x-user-mail x-user-name x-user-principal "
    b"x-user-role x-username x-userid x-sso- x-ldap- x-krb "
    b"x-jupyterhub- x-rstudio-user x-rstudio-root rstudio-connect- x-shiny- shiny-server- x-grafana-user kubeflow- "
    b"oidc- x-oidc- shib- x-shib- mellon- x-mellon- cas- x-cas- saml- x-saml- gap- x-vouch- x-authelia- x-authentik- "
    b"x-pomerium- teleport- x-teleport- x-consumer- x-credential- x-anonymous- x-spiffe- sm-user sm-universal sm-group "
    b"iv- oam- osso- ct-remote- wl-proxy- "
    b"x-amzn-oidc- x-amzn-mtls- x-goog-authenticated- x-goog-iap- x-appengine- x-ms-client-principal x-ms-token- "
    b"x-azure- x-arr- cf- fastly- fly- x-nf- x-vercel- akamai- x-akamai- x-envoy- tailscale- "
    b"ssl- x-ssl- x-tls- x-mtls- client-cert x-client-cert x-client-dn x-client-i-dn x-client-s-dn x-client-subject "
    b"x-client-verif".split()
)
# Whatever else ends so tells who somebody is. Fetch Metadata's Sec-Fetch-User tells that somebody clicked, and Gradio's
# own pages whether a person or a program uses them.
_ENDINGS: Final = (b"-user", b"-username", b"-user-name", b"-userid", b"-user-id", b"-user-email", b"-remote-addr")
_REMEMBERED: Final = 64  # bytes of a name; a head holds one of 64 KiB, and memory is not to hold thousands of these
_NOBODY: Final = frozenset({b"sec-fetch-user", b"x-gradio-user"})


class Claims:
    """Knows these names.

    :param more: of the site's; one that ends with ``*`` stands for all that begin so.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        lower = [name.lower().encode("ascii") for name in more]
        self._names = _NAMES.union(name for name in lower if not name.endswith(b"*"))
        self._beginnings = _BEGINNINGS + tuple(name[:-1] for name in lower if name.endswith(b"*"))
        self._hold_again = lru_cache(maxsize=4096)(self._hold)  # requests repeat their names

    def hold(self, name: bytes) -> bool:
        """Whether a name, in lower case, is one of them."""
        return self._hold_again(name) if len(name) <= _REMEMBERED else self._hold(name)

    def _hold(self, name: bytes) -> bool:
        if name in self._names or name.startswith(self._beginnings):
            return True
        return name.endswith(_ENDINGS) and name not in _NOBODY


USUAL: Final = Claims()
