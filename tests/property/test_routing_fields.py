"""What holds for every head and every path, whatever a browser or an application writes."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from supercloud.errors import BadAddress, BadMessage, PortalError
from supercloud.message.fields import HOP_BY_HOP
from supercloud.message.head import parse_request, parse_response
from supercloud.routing.hosts import Hosts
from supercloud.routing.place import Place, inward, outward
from supercloud.routing.prefixes import read_prefix
from supercloud.target import Application, Origin

APPLICATION = Application("node1", 8080)
OWN = Place(Origin("node1-8080-u7.fh.portal.test", APPLICATION, 7), APPLICATION)
CUT = Place(Origin("portal.test", has_prefixes=True), APPLICATION, b"/fw2/node1:8080")
KEPT = Place(Origin("portal.test", has_prefixes=True), APPLICATION, b"/node/node1/8080", False)
FOREIGN = Place(Origin("node1-8080-u7.fh.portal.test", APPLICATION, 7), APPLICATION, is_foreign=True)
places = st.sampled_from([OWN, CUT, KEPT, FOREIGN])

_told = ["X-Forwarded-For", "X-Forwarded-User", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
         "Remote-User", "X-Remote-User", "Forwarded", "X-Real-IP", "X-Supercloud-Authorization"]  # fmt: skip
_signs = st.sampled_from(["-", "_", ".", "~", "!"])


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """A name that only the portal may write, in some spelling."""
    name = draw(st.sampled_from(_told))
    letters = [letter.upper() if draw(st.booleans()) else letter.lower() for letter in name]
    return "".join(draw(_signs) if letter == "-" and draw(st.booleans()) else letter for letter in letters).encode()


_values = st.binary(max_size=30).map(lambda value: bytes(byte for byte in value if byte in b"\t" or 32 <= byte < 127))
_names = st.sampled_from(
    [b"Cookie", b"Referer", b"Accept", b"Connection", b"Via", b"TE", b"Keep-Alive", b"Authorization", b"Origin",
     b"Proxy-Connection", b"X-Y", b"Trailer", b"Expect", b"Sec-Fetch-Site", b"Range"]
)  # fmt: skip
_cookies = st.lists(
    st.sampled_from(
        [b"a=b", b"__Host-Http-supercloud=SECRET", b"__HOST-HTTP-x=SECRET", b" __host-http-y = SECRET", b'q="x', b'y"',
         b"__Host-Http-=SECRET", b"\t__Host-Http-supercloud=SECRET", b"", b"plain", b"__Host-ok=1"]
    ),
    max_size=6,
).map(b";".join)  # fmt: skip
_fields = st.lists(
    st.one_of(
        st.tuples(_names, _values),
        st.tuples(st.just(b"Cookie"), _cookies),
        st.tuples(st.just(b"Connection"), st.sampled_from([b"close", b"X-Forwarded-User", b"host, via", b"cookie"])),
    ),
    max_size=8,
)
_sent = {"login": "alice", "address": "192.0.2.7", "via": b"1.1 me"}


def _request(fields: list[tuple[bytes, bytes]], target: bytes = b"/fw2/node1:8080/x") -> bytes:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    return b"GET " + target + b" HTTP/1.1\r\nHost: portal.test\r\n" + lines + b"\r\n"


@given(_fields, places)
def test_no_portal_cookie_ever_goes_inward(fields: list[tuple[bytes, bytes]], place: Place) -> None:
    out = inward(parse_request(_request(fields)), place, **_sent)
    cookies = [line for line in out.split(b"\r\n") if line.lower().startswith(b"cookie:")]
    assert not any(b"__host-http-" in line.lower() for line in cookies)
    assert not any(b"SECRET" in line for line in cookies)


@given(spelled(), places)
def test_what_only_the_portal_tells_never_survives_in_any_spelling(name: bytes, place: Place) -> None:
    try:
        head = parse_request(_request([(name, b"evil-value")]))
    except BadMessage:
        return
    assert b"evil-value" not in inward(head, place, **_sent)


@given(_fields, places)
def test_inward_is_a_head_that_reads_as_itself(fields: list[tuple[bytes, bytes]], place: Place) -> None:
    out = inward(parse_request(_request(fields)), place, **_sent)
    again = parse_request(out)
    assert again.host == b"node1:8080"
    assert again.get_all(b"x-forwarded-user") == [b"alice"]
    assert not {lower for lower, _, _ in again.fields} & (HOP_BY_HOP | {b"origin"})


@given(_fields)
def test_dropping_hop_by_hop_twice_is_dropping_it_once(fields: list[tuple[bytes, bytes]]) -> None:
    def core(raw: bytes) -> list[bytes]:
        out = inward(parse_request(raw), OWN, **_sent)
        return [line for line in out.split(b"\r\n") if not line.startswith((b"Via:", b"Host:", b"Referer:"))]

    once = inward(parse_request(_request(fields, b"/x")), OWN, **_sent)
    assert core(once) == core(_request(fields, b"/x"))


_url_bits = st.sampled_from(
    [b"/", b"//", b"\\", b"node1:8080", b"NODE1:8080", b"evil.test", b"http:", b"https:", b"portal.test", b"..", b"?",
     b"#", b"@", b"x", b"%2f", b"fw2", b"node1-8080.fh.portal.test", b":", b"javascript:", b" ", b";"]
)  # fmt: skip
urls = st.lists(_url_bits, max_size=7).map(b"".join)


def _origin_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url.replace("\\", "/"))
    return parts.scheme, parts.netloc


@given(urls, places)
def test_a_rewritten_absolute_path_stays_on_its_origin(path: bytes, place: Place) -> None:
    path = b"/" + path.strip(b" ")
    if path.startswith((b"//", b"/\\")):
        return
    out = place.links(path).decode()
    assert not out.startswith(("//", "/\\"))
    assert _origin_of(urljoin(place.origin.url, out)) == ("https", place.origin.host)


@given(urls, places)
def test_a_rewritten_url_leads_where_it_led_or_to_the_application(url: bytes, place: Place) -> None:
    out = place.links(url)
    assert out == url.strip(b" \t") or out.startswith((b"/", place.origin.url.encode() + b"/"))


_response_fields = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([b"Location", b"Content-Location", b"Link", b"Refresh"]), urls),
        st.tuples(st.just(b"Refresh"), urls.map(lambda url: b'0; url="' + url + b'"')),
        st.tuples(st.just(b"Link"), urls.map(lambda url: b"<" + url + b">; rel=x")),
        st.tuples(
            st.just(b"Set-Cookie"),
            st.lists(
                st.sampled_from(
                    [b"a=b", b"Path=/x", b"path=/", b"Domain=portal.test", b" DOMAIN =.portal.test", b"Secure", b"=v",
                     b"__Host-Http-supercloud=x", b"=__Host-Http-supercloud=x", b"__host-http-x", b"Path"]
                ),
                min_size=1, max_size=5,
            ).map(b";".join),
        ),
        st.tuples(_names, _values),
    ),
    max_size=6,
)  # fmt: skip


@given(_response_fields, places)
def test_no_line_toward_the_browser_holds_another(fields: list[tuple[bytes, bytes]], place: Place) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"
    try:
        head = parse_response(raw)
    except PortalError:
        return
    for line in b"".join(outward(head, place)).split(b"\r\n")[:-1]:
        assert b"\r" not in line
        assert b"\n" not in line
        assert b": " in line
        name, _, value = line.partition(b": ")
        assert name.lower() not in HOP_BY_HOP
        if name.lower() == b"set-cookie":
            parts = [part.strip(b" \t").lower() for part in value.split(b";")]
            assert not parts[0].lstrip(b"=").startswith(b"__host-http-")
            assert not any(part.replace(b" ", b"").startswith(b"domain=") for part in parts[1:])
            paths = [part.partition(b"=")[2] for part in parts[1:] if part.startswith(b"path=")]
            if place.prefix:
                assert paths
                assert all(path == place.prefix or path.startswith(place.prefix + b"/") for path in paths)


_path_bits = st.sampled_from(
    [
        b"/",
        b"fw2",
        b"node",
        b"rnode",
        b"node1",
        b"node2",
        b":",
        b"8080",
        b"9090",
        b"0",
        b"..",
        b".",
        b"%2f",
        b"%3a",
        b"-",
        b"[",
        b"]",
        b"::1",
        b"\\",
        b";",
        b"@",
        b"NODE1",
    ]
)
_NORMAL = re.compile(rb"/(?:fw2/[^/:]+:|fw2/\[[^/\]]+\]:|r?node/[^/]+/)[1-9][0-9]*")


@given(st.lists(_path_bits, max_size=9).map(lambda bits: b"/" + b"".join(bits)))
def test_no_path_parses_to_two_targets(path: bytes) -> None:
    try:
        route = read_prefix(path)
    except BadAddress:
        return
    if route is None:
        return
    assert path.startswith(route.prefix)
    assert path[len(route.prefix) :][:1] in (b"", b"/")
    assert _NORMAL.fullmatch(route.prefix)
    assert not set(route.prefix) & set(b"%\\;@ ")
    assert read_prefix(route.prefix) == route
    assert read_prefix(route.prefix + b"/" + path) == route


_labels = st.text("abn12-u.", min_size=1, max_size=30)


@given(_labels)
def test_a_label_and_its_application_name_each_other(label: str) -> None:
    hosts = Hosts("portal.test")
    try:
        origin = hosts.of(f"{label}.fh.portal.test".encode())
    except PortalError:
        return
    assert origin.application is not None
    again = hosts.own(origin.application, origin.owner)
    assert again is not None
    assert (again.application, again.owner, again.host) == (origin.application, origin.owner, origin.host)


@given(st.binary(max_size=40))
def test_any_host_that_a_head_may_name_is_ours_or_refused(host: bytes) -> None:
    try:
        head = parse_request(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        Hosts("portal.test").of(head.host)
    except PortalError:
        pass
