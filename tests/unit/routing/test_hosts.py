from __future__ import annotations

import pytest

from supercloud.errors import BadAddress, Misdirected
from supercloud.routing.hosts import Hosts, name_of
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
    origin = hosts.own(Application("a", 80), 7)
    assert origin is not None
    assert origin.url == "https://a-80-u7.fh.localhost:8443"


@pytest.mark.parametrize("node", ["node1.cluster", "::1", "10.0.0.1", "N" * 3, "n" * 60, "no_de", "a-"])
def test_a_node_without_a_label_has_no_origin(node: str) -> None:
    assert HOSTS.own(Application(node, 8080), 1001) is None


def test_a_node_that_reads_as_another_with_an_owner_has_none() -> None:
    """``a-80`` port 90 owned by 7, and node ``a`` port 80 … may never share a name."""
    assert HOSTS.own(Application("a-80-u7", 90), None) is not None
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
    assert HOSTS.own(name, owner) is not None


@pytest.mark.parametrize("label", ["", "-a", "a-", "a_b", "a.b", "n" * 64, "-u5", "*"])
def test_another_label_is_no_forward(label: str) -> None:
    with pytest.raises((BadAddress, Misdirected)):
        HOSTS.of(f"{label}.fn.portal.test".encode())


@pytest.mark.parametrize("name", ["Alice", "a.b", "a_b", "-a", "a-", "n" * 64, "alice-u1001", ".x"])
def test_a_forward_whose_name_is_no_label_has_no_origin(name: str) -> None:
    """One that ends like another owner's suffix would be taken for somebody else's forward."""
    assert HOSTS.own(name, None) is None


APPLICATION = Application("node1", 8080)


@pytest.mark.parametrize(
    ("where", "owner", "host"),
    [
        (APPLICATION, None, "node1-8080.fh.portal.test"),
        (APPLICATION, 1001, "node1-8080-u1001.fh.portal.test"),
        ("alice-tb", None, "alice-tb.fn.portal.test"),
        ("alice-tb", 1001, "alice-tb-u1001.fn.portal.test"),
    ],
)
def test_what_an_application_is_called_by_makes_its_label(
    where: Application | str, owner: int | None, host: str
) -> None:
    origin = HOSTS.own(where, owner)
    assert origin is not None
    assert (origin.host, origin.is_unowned, origin.is_portal) == (host, owner is None, False)
    assert HOSTS.of(host.encode()) == origin


FORWARD = Forward("alice-tb", Reservation(1, 1, 1, 1001, 1001, 0o700), APPLICATION)


def test_it_is_called_by_how_it_is_addressed() -> None:
    assert name_of(APPLICATION, None) == APPLICATION
    assert name_of(APPLICATION, FORWARD) == "alice-tb"


OWN, ON_HOST, ON_PORT, ON_PORTAL = (
    "https://node1-8080-u7.fh.portal.test/x?y",
    "https://apps.portal.test/fw2/node1:8080/x?y",
    "https://portal.test:8444/fw2/node1:8080/x?y",
    "https://portal.test/fw2/node1:8080/x?y",
)


@pytest.mark.parametrize(
    ("hosts", "his", "others"),
    [
        (Hosts("portal.test"), OWN, OWN),
        (Hosts("portal.test", shared_host="apps.portal.test"), OWN, OWN),
        (Hosts("portal.test", shared_host="apps.portal.test", has_wildcards=False), ON_HOST, None),
        (Hosts("portal.test", shared_ports=(8444,), has_wildcards=False), ON_PORT, None),
        (Hosts("portal.test", has_wildcards=False), None, None),
        (Hosts("portal.test", has_wildcards=False, serves_prefixes=True), ON_PORTAL, None),
    ],
    ids=["wildcards", "both", "a host", "a port", "nothing", "the portal's own, by name"],
)
def test_the_address_of_an_application_is_the_one_that_holds_it_furthest_apart(
    hosts: Hosts, his: str | None, others: str | None
) -> None:
    assert hosts.address(APPLICATION, 7, "/x?y", is_viewers=True) == his
    assert hosts.address(APPLICATION, 7, "/x?y", is_viewers=False) == others


def test_what_has_no_label_is_where_the_viewers_own_are_together() -> None:
    hosts = Hosts("portal.test", shared_host="apps.portal.test", ports=(8443,))
    assert hosts.address("Upper.x", 7, is_viewers=True) == "https://apps.portal.test:8443/fw/Upper.x/"
    v6 = hosts.address(Application("fd77::1", 8080), 7, is_viewers=True)
    assert v6 == "https://apps.portal.test:8443/fw2/[fd77::1]:8080/"
    assert hosts.address("Upper.x", 7, is_viewers=False) is None


@pytest.mark.parametrize(
    ("host", "is_shared"),
    [
        (b"apps.portal.test", True),
        (b"apps.portal.test:8444", True),
        (b"portal.test:8444", True),
        (b"portal.test", False),
    ],
)
def test_the_origin_that_applications_share_is_not_the_portals(host: bytes, is_shared: bool) -> None:
    origin = Hosts("portal.test", shared_host="apps.portal.test", shared_ports=(8444,)).of(host)
    assert (origin.is_shared, origin.has_prefixes, origin.is_portal) == (is_shared, is_shared, not is_shared)
    assert not origin.is_unowned


@pytest.mark.parametrize("host", [b"x-1.fh.portal.test:8444", b"tb.fn.portal.test:8444", b":8444", b"apps.test:8444"])
def test_nothing_else_is_at_the_port_for_applications(host: bytes) -> None:
    with pytest.raises(Misdirected):
        Hosts("portal.test", shared_ports=(8444,)).of(host)


def test_a_policy_names_both_domains() -> None:
    assert HOSTS.patterns == ("https://*.fh.portal.test", "https://*.fn.portal.test")
    together = Hosts("portal.test", shared_host="apps.portal.test").patterns
    assert together == (*HOSTS.patterns, "https://apps.portal.test")
