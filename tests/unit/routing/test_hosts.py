from __future__ import annotations

import pytest

from supercloud.errors import BadAddress, Misdirected
from supercloud.routing.hosts import Hosts
from supercloud.target import Application

HOSTS = Hosts("portal.test", ports=(443, 8443))


def test_the_portals_own_origin() -> None:
    origin = HOSTS.of(b"portal.test")
    assert origin.is_portal
    assert origin.url == "https://portal.test"
    assert HOSTS.portal == origin


@pytest.mark.parametrize(
    ("host", "node", "port", "owner"),
    [
        (b"node1-8080.fh.portal.test", "node1", 8080, None),
        (b"node-5-12637.fh.portal.test", "node-5", 12637, None),
        (b"node1-8080-u1001.fh.portal.test", "node1", 8080, 1001),
        (b"a-1-2-u0.fh.portal.test", "a-1", 2, 0),
        (b"5-5.fh.portal.test:8443", "5", 5, None),
    ],
)
def test_an_applications_origin(host: bytes, node: str, port: int, owner: int | None) -> None:
    origin = HOSTS.of(host)
    assert (origin.application, origin.owner) == (Application(node, port), owner)
    assert origin.host == host.decode()


@pytest.mark.parametrize(
    "label",
    ["node1", "-8080", "node1-", "node1-0", "node1-08080", "node1-65536", "node1-8080-u", "node1-8080-u01",
     "n" * 59 + "-8080", "node1-8080-u99999999999", "no_de-80", "a.node1-8080x"],
)  # fmt: skip
def test_another_label_is_no_application(label: str) -> None:
    with pytest.raises((BadAddress, Misdirected)):
        HOSTS.of(f"{label}.fh.portal.test".encode())


@pytest.mark.parametrize(
    "host",
    [
        b"evil.test",
        b"xportal.test",
        b"fh.portal.test",
        b"x.portal.test",
        b"a.node1-8080.fh.portal.test",
        b"[::1]",
        b"portal.test.",
        b"portal.test:80",
        b"portal.test:+443",
        b"portal.test:x",
        b"portal.test: 443",
        b"",
        b"portal.test:",
        b"portal.test:4_43",
        b"node1-8080.fh.portal.test.evil.test",
        b"portal.test:" + b"9" * 5000,
    ],
)
def test_another_host_is_none_of_ours(host: bytes) -> None:
    with pytest.raises(Misdirected) as caught:
        HOSTS.of(host)
    assert "https://portal.test/" in caught.value.public


def test_applications_may_have_a_domain_of_their_own() -> None:
    hosts = Hosts("portal.test", applications="apps.test")
    assert hosts.of(b"a-80.fh.apps.test").application == Application("a", 80)
    with pytest.raises(Misdirected):
        hosts.of(b"a-80.fh.portal.test")


def test_links_bear_the_first_port() -> None:
    hosts = Hosts("localhost", ports=(8443,))
    assert hosts.portal.url == "https://localhost:8443"
    origin = hosts.of_application(Application("a", 80), owner=7)
    assert origin is not None
    assert origin.url == "https://a-80-u7.fh.localhost:8443"


@pytest.mark.parametrize("node", ["node1.cluster", "::1", "10.0.0.1", "N" * 3, "n" * 60, "no_de", "a-"])
def test_a_node_without_a_label_has_no_origin(node: str) -> None:
    assert HOSTS.of_application(Application(node, 8080)) is None


def test_a_node_that_reads_as_another_with_an_owner_has_none() -> None:
    """``a-80`` port 90 owned by 7, and node ``a`` port 80 … may never share a name."""
    assert HOSTS.of_application(Application("a-80-u7", 90)) is not None
    origin = HOSTS.of(b"a-80-u7-90.fh.portal.test")
    assert origin.application == Application("a-80-u7", 90)
