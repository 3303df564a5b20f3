from __future__ import annotations

import pytest

from supercloud.errors import BadAddress, Misdirected
from supercloud.routing.hosts import Hosts
from supercloud.target import Application, Forward, Reservation

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


@pytest.mark.parametrize(
    ("host", "name", "owner"),
    [
        (b"alice-tb.fn.portal.test", "alice-tb", None),
        (b"a.fn.portal.test", "a", None),
        (b"alice-8080.fn.portal.test:8443", "alice-8080", None),
        (b"alice-tb-u1001.fn.portal.test", "alice-tb", 1001),
        (b"alice-u5-u1001.fn.portal.test", "alice-u5", 1001),
        (b"alice-u.fn.portal.test", "alice-u", None),
        (b"alice-u01.fn.portal.test", "alice-u01", None),
    ],
)
def test_a_forwards_origin(host: bytes, name: str, owner: int | None) -> None:
    origin = HOSTS.of(host)
    assert (origin.forward, origin.owner, origin.application, origin.is_portal) == (name, owner, None, False)
    assert HOSTS.of_forward(name, owner=owner) is not None


@pytest.mark.parametrize("label", ["", "-a", "a-", "a_b", "a.b", "n" * 64, "-u5", "*"])
def test_another_label_is_no_forward(label: str) -> None:
    with pytest.raises((BadAddress, Misdirected)):
        HOSTS.of(f"{label}.fn.portal.test".encode())


@pytest.mark.parametrize("name", ["Alice", "a.b", "a_b", "-a", "a-", "n" * 64, "alice-u1001", ".x"])
def test_a_forward_whose_name_is_no_label_has_no_origin(name: str) -> None:
    """One that ends like another owner's suffix would be taken for somebody else's forward."""
    assert HOSTS.of_forward(name) is None


def test_a_forward_and_an_application_have_what_is_proper_to_how_they_are_addressed() -> None:
    application = Application("node1", 8080)
    forward = Forward("alice-tb", Reservation(1, 1, 1, 1001, 1001, 0o700), application)
    for origin, host in (
        (HOSTS.proper(application, None), "node1-8080.fh.portal.test"),
        (HOSTS.proper(application, forward), "alice-tb.fn.portal.test"),
        (HOSTS.proper(application, forward, owner=1001), "alice-tb-u1001.fn.portal.test"),
    ):
        assert origin is not None
        assert origin.host == host
        assert HOSTS.of(host.encode()) == origin


def test_a_policy_names_both_domains() -> None:
    assert HOSTS.patterns == ("https://*.fh.portal.test", "https://*.fn.portal.test")
