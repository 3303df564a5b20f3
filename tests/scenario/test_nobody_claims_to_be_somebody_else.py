"""What only a gateway may tell an application reaches it from nobody else, in a head or in trailers."""

from __future__ import annotations

import pytest

from tests.fakes.portal import OK, ORIGIN, TOGETHER, Browser, FakePortal, get, requests_in

CLAIMS = [
    "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-For", "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Access-Token", "X-FORWARDED-PREFERRED-USERNAME", "Forwarded",
    "X-Auth-Request-User", "X-Auth-User", "X-Auth-Username", "X-Auth-Email", "X-Auth-Groups", "X-Auth-Userid",
    "Remote-User", "Remote-Groups", "REMOTE-ADDR", "X-Remote-User", "X-Remote-Group", "X-Remote-Extra-Scopes",
    "X-Username", "X-User", "X-User-Id", "X-User-Name", "X-UserId", "X-User-Email", "X-User-Groups", "X-Email",
    "X-WEBAUTH-USER", "X-WEBAUTH-ROLE", "X-Grafana-User", "X-Jupyterhub-User", "X-RStudio-Username",
    "X-RStudio-Root-Path", "X-Shiny-User", "RStudio-Connect-Credentials", "Shiny-Server-Credentials",
    "Kubeflow-Userid", "X-Zeppelin-User", "X-Trusted-Username", "SM-USER", "SM-UNIVERSALID", "iv-user", "iv-groups",
    "OAM-Remote-User", "CT-Remote-User", "CAS-User", "Mellon-Name-Id", "OIDC-Claim-Email", "OIDC-CLAIM-sub", "eppn",
    "Shib-Session-ID", "GAP-Auth", "X-Vouch-User", "X-Authentik-Username", "X-Authentik-Groups",
    "X-Pomerium-Jwt-Assertion", "X-Pomerium-Claim-Email", "X-Consumer-Username", "X-Consumer-Id",
    "X-Credential-Identifier", "X-Authenticated-Userid", "X-Userinfo", "X-Id-Token", "Teleport-Jwt-Assertion",
    "SSL-Client-Cert", "SSL-Client-S-DN", "X-SSL-Client-Verify", "X-SSL-Client-Cert", "X-Client-Cert", "Client-Cert",
    "Client-Cert-Chain", "X-ARR-ClientCert", "X-Client-Verify", "X-Client-DN", "X-TLS-Client-Cert", "X-Amzn-Oidc-Data",
    "X-Amzn-Oidc-Identity", "X-Amzn-Mtls-Clientcert", "X-Goog-Authenticated-User-Email", "X-Goog-IAP-JWT-Assertion",
    "X-AppEngine-User-Email", "X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-NAME", "X-MS-TOKEN-AAD-ID-TOKEN",
    "X-Azure-ClientIP", "X-Envoy-External-Address", "X-Envoy-Internal", "Tailscale-User-Login", "Tailscale-User-Name",
    "CF-Connecting-IP", "Cf-Access-Jwt-Assertion", "Cf-Access-Authenticated-User-Email", "True-Client-IP",
    "Fastly-Client-IP", "Fly-Client-IP", "X-Real-IP", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP",
    "X-ProxyUser-Ip", "X-Originating-IP", "WL-Proxy-Client-IP", "X-NF-Client-Connection-IP", "X-Original-URL",
    "X-Rewrite-URL", "X-Script-Name", "X-Ingress-Path", "X-Host", "X-Scheme", "Front-End-Https", "X-Request-Id",
    "X-Supercloud-Authorization", "X-Supercloud-User", "Proxy",
]  # fmt: skip
# A client's own, and what libraries send of themselves.
OWN = [
    "X-CSRF-Token", "X-CSRFToken", "X-XSRFToken", "X-XSRF-TOKEN", "X-RS-CSRF-Token", "X-Requested-With", "X-API-Key",
    "Api-Key", "X-Auth-Token", "X-Auth-Key", "X-Access-Token", "Private-Token", "X-Goog-Api-Key", "X-Amz-Date",
    "X-Amz-Content-Sha256", "X-Ms-Version", "X-Ms-Date", "User-Agent", "X-User-Agent", "Sec-Fetch-User",
    "X-Gradio-User",
    "Last-Event-ID", "X-Grafana-Org-Id", "X-HTTP-Method-Override", "X-Upload-Content-Length", "Upload-Offset",
    "Tus-Resumable", "Content-Disposition", "Idempotency-Key", "Traceparent", "X-B3-TraceId", "Grpc-Timeout",
    "X-Grpc-Web", "X-Client-Version", "X-Client-Id", "HX-Request", "X-Inertia", "DPoP", "From", "Prefer", "If-Match",
    "SOAPAction", "X-Token",
]  # fmt: skip
# Never a trailer, as they say where a message ends, who sent it, or under which conditions (RFC 9110 section 6.5.1).
HEADS_ONLY = [
    "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer", "Via",
    "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "Origin", "Referer", "Content-Type", "Expect",
    "Range", "If-Match", "Cache-Control", "Sec-Fetch-Site", "Sec-WebSocket-Protocol", "Proxy-Connection",
]  # fmt: skip
BENIGN = ["X-Sum", "Digest", "Content-Digest", "Server-Timing", "X-Amz-Checksum-Crc32c", "Grpc-Status"]

PUT = b"PUT %b HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n%b%b\r\n"


def put(portal: FakePortal, trailers: bytes, extra: bytes = b"", path: bytes = b"/", host: str = ORIGIN) -> Browser:
    """A chunked request of alice's."""
    browser = portal.browser()
    browser.send(
        PUT % (path, host.encode(), extra, portal.cookie(origin=host)) + b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n"
    )
    return browser


def trailers_in(received: bytes) -> list[bytes]:
    """The trailer lines behind the only chunked body in some bytes."""
    _, last, lines = received.partition(b"\r\n0\r\n")
    assert last
    assert lines.endswith(b"\r\n")
    return lines.split(b"\r\n")[:-2]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_in_a_head_reaches_nobody(portal: FakePortal, name: str) -> None:
    portal.browser().send(get(portal, extra=f"{name}: evil\r\n".encode()))
    assert len(requests_in(portal.dialer[0].received)) == 1
    assert b"evil" not in portal.dialer[0].received


@pytest.mark.parametrize("name", [*CLAIMS, *HEADS_ONLY])
def test_a_claim_in_trailers_reaches_nobody(portal: FakePortal, name: str) -> None:
    browser = put(portal, f"{name}: evil\r\n{name.upper()}: evil\r\nX-Sum: 1\r\n".encode())
    [upstream] = portal.dialer
    assert trailers_in(upstream.received) == [b"X-Sum: 1"]
    upstream.send(OK)
    assert browser.status == 200


@pytest.mark.parametrize("name", CLAIMS)
def test_nor_does_it_reach_a_worker(portal: FakePortal, name: str) -> None:
    claim = f"{name}: evil\r\n".encode()
    put(portal, claim, claim, b"/dav/x", "portal.test")
    sent = portal.worker_dialer[0].received
    assert b"evil" not in sent
    assert trailers_in(sent) == []


def test_a_portals_token_in_trailers_reaches_nobody(portal: FakePortal) -> None:
    token = b"X-Supercloud-Authorization: Bearer scp_" + b"0" * 64 + b"\r\n"
    put(portal, token + token.replace(b"X-Supercloud-", b""))
    assert b"scp_" not in portal.dialer[0].received


@pytest.mark.parametrize("name", OWN)
def test_what_is_a_clients_own_passes(portal: FakePortal, name: str) -> None:
    portal.browser().send(get(portal, extra=f"{name}: mine\r\nAuthorization: Bearer theirs\r\n".encode()))
    [(request, _)] = requests_in(portal.dialer[0].received)
    fields = dict(request.headers)
    assert fields[name.lower().encode()] == b"mine"
    assert fields[b"authorization"] == b"Bearer theirs"


@pytest.mark.parametrize("name", BENIGN)
def test_other_trailers_pass_both_ways(portal: FakePortal, name: str) -> None:
    line = f"{name}: 1".encode()
    browser = put(portal, line + b"\r\n")
    assert trailers_in(portal.dialer[0].received) == [line]
    portal.dialer[0].send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + line + b"\r\n\r\n"
    )
    assert trailers_in(browser.received) == [line]


@pytest.mark.parametrize("name", [b"X_Forwarded_User", b"Remote_User", b"X.Forwarded.User", b"X!", b"X#Y", b"X|Y"])
def test_a_trailer_of_an_unusual_name_is_left_out_and_the_request_is_whole(portal: FakePortal, name: bytes) -> None:
    """The head is on its way by then: an application that got half of the request would be left to guess."""
    browser = put(portal, name + b": evil\r\nX-Sum: 1\r\n")
    [upstream] = portal.dialer
    assert trailers_in(upstream.received) == [b"X-Sum: 1"]
    upstream.send(OK)
    assert browser.status == 200


def test_what_the_connection_field_names_is_no_trailer(portal: FakePortal) -> None:
    put(portal, b"X-Sum: 1\r\nX-Other: 2\r\n", b"Connection: x-sum\r\n")
    assert trailers_in(portal.dialer[0].received) == [b"X-Other: 2"]


@pytest.mark.parametrize("as_trailer", [True, False])
def test_a_site_adds_names_of_its_own(as_trailer: bool) -> None:
    portal = FakePortal(identity_fields=("X-Lab-Badge", "X-Lab-Id-*"))
    lines = b"x-lab-BADGE: evil\r\nX-Lab-Id-Number: evil\r\nX-Lab: 1\r\nX-Username: evil\r\n"
    put(portal, lines if as_trailer else b"", b"" if as_trailer else lines)
    put(portal, lines if as_trailer else b"", b"" if as_trailer else lines, b"/dav/x", "portal.test")
    for sent in (portal.dialer[0].received, portal.worker_dialer[0].received):
        assert b"evil" not in sent
        assert b"X-Lab: 1\r\n" in sent


# What an application says behind its body.

OF_A_HEAD = [
    "Set-Cookie: a=b; Domain=portal.test", "Set-Cookie2: a=b", "Location: https://evil.test/", "Via: 1.1 evil",
    "Clear-Site-Data: \"*\"", "Strict-Transport-Security: max-age=0", "Alt-Svc: h3=\":443\"", "NEL: {}",
    "Reporting-Endpoints: a=\"https://evil.test/\"", "Report-To: {}", "Service-Worker-Allowed: /",
    "Origin-Agent-Cluster: ?1", "Public-Key-Pins: x", "Content-Length: 1", "Transfer-Encoding: gzip",
    "Connection: close", "Content-Type: text/html", "Content-Encoding: gzip", "Content-Range: bytes 0-1/2",
    "WWW-Authenticate: Basic", "Proxy-Authenticate: Basic", "Cache-Control: public", "Expires: 0", "Age: 1",
    "Cross-Origin-Resource-Policy: cross-origin", "Upgrade: x", "Refresh: 0;url=https://evil.test/", "Vary: *",
]  # fmt: skip


def answer(portal: FakePortal, trailer: str, path: bytes, host: str) -> bytes:
    browser = portal.browser()
    browser.send(get(portal, path, origin=host))
    upstream = portal.worker_dialer[0] if path.startswith(b"/dav") else portal.dialer[0]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"
    upstream.send(head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n" + trailer.encode() + b"\r\n\r\n")
    assert browser.status == 200
    return browser.received


@pytest.mark.parametrize("trailer", OF_A_HEAD)
def test_what_a_head_could_not_say_on_an_origin_of_many_no_trailer_says(portal: FakePortal, trailer: str) -> None:
    assert trailers_in(answer(portal, trailer, b"/fw2/localhost:8080/", TOGETHER)) == [b"X-Sum: 1"]


@pytest.mark.parametrize("trailer", OF_A_HEAD)
def test_of_a_workers_none_passes_but_what_its_heads_may_say(portal: FakePortal, trailer: str) -> None:
    assert trailers_in(answer(portal, trailer, b"/dav/x", "portal.test")) == []


# Of an origin that is its own an application may say these, in its heads too.
OF_ITS_ORIGIN = ("NEL", "Report", "Origin-Agent-Cluster", "Public-Key-Pins")


@pytest.mark.parametrize("trailer", [one for one in OF_A_HEAD if not one.startswith(OF_ITS_ORIGIN)])
def test_nor_does_one_on_an_applications_own(portal: FakePortal, trailer: str) -> None:
    assert trailers_in(answer(portal, trailer, b"/", ORIGIN)) == [b"X-Sum: 1"]


def test_a_link_in_trailers_is_written_for_the_browser_as_one_in_a_head_is(portal: FakePortal) -> None:
    received = answer(portal, "Link: <http://localhost:8080/a>; rel=next", b"/fw2/localhost:8080/", TOGETHER)
    assert trailers_in(received) == [
        b"X-Sum: 1",
        b"Link: <https://" + TOGETHER.encode() + b"/fw2/localhost:8080/a>; rel=next",
    ]


def test_what_an_applications_connection_field_names_is_no_trailer(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-sum\r\n\r\n"
    portal.dialer[0].send(head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX_Other: 2\r\nX-Other: 2\r\n\r\n")
    assert trailers_in(browser.received) == [b"X-Other: 2"]


def test_the_pages_of_a_worker_have_no_trailers(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/jobs", origin="portal.test"))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    portal.worker_dialer[0].send(head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nLocation: /x\r\n\r\n")
    assert trailers_in(browser.received) == []
