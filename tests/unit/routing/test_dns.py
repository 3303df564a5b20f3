"""Names by files and DNS, as the C library would find them, and what only the C library knows."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSServerError

from supercloud.routing import dns as module
from supercloud.routing.dns import Files, NodeNames, Settings, by_library, in_hosts, read, read_settings
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload

FILES_DNS = "passwd: files\nhosts: files dns # as installed\n"
RESOLV = "nameserver 10.0.0.1\nnameserver fd77::53\nsearch cluster.test site.test\n"
SERVERS = (("10.0.0.1", 53), ("fd77::53", 53))


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in module._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def test_servers_and_domains_are_those_of_resolv_conf() -> None:
    assert read_settings(FILES_DNS, RESOLV, "head.x.test") == Settings(SERVERS, ("cluster.test", "site.test"), 1)


@pytest.mark.parametrize(
    ("resolv", "settings"),
    [
        ("", Settings((("127.0.0.1", 53),), ("x.test",))),
        ("; nothing\n# else\nnameserver 10.0.0.1", Settings((("10.0.0.1", 53),), ("x.test",))),
        ("search a.test\ndomain b.test", Settings((("127.0.0.1", 53),), ("b.test",))),
        ("search .", Settings((("127.0.0.1", 53),))),
        ("options ndots:2 timeout:1 edns0", Settings((("127.0.0.1", 53),), ("x.test",), 2)),
        ("nameserver 10.0.0.1\n" * 5, Settings((("10.0.0.1", 53),) * 3, ("x.test",))),
    ],
)
def test_what_is_not_said_is_as_the_c_library_has_it(resolv: str, settings: Settings) -> None:
    assert read_settings(FILES_DNS, resolv, "head.x.test") == settings


@pytest.mark.parametrize(
    ("nsswitch", "resolv"),
    [
        ("", RESOLV),
        ("hosts: files", RESOLV),
        ("hosts: dns files", RESOLV),
        ("hosts: files sss dns", RESOLV),
        ("hosts: files resolve [!UNAVAIL=return] dns", RESOLV),
        ("hosts: files mdns4_minimal [NOTFOUND=return] dns", RESOLV),
        (FILES_DNS, "options use-vc"),
        (FILES_DNS, "sortlist 10.0.0.0/8"),
    ],
)
def test_where_something_else_is_asked_too_it_is_the_c_librarys_to_say(nsswitch: str, resolv: str) -> None:
    assert read_settings(nsswitch, resolv, "head") is None


def test_an_environment_that_changes_it_is_the_c_librarys_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RES_OPTIONS", "ndots:3")
    assert read_settings(FILES_DNS, RESOLV, "head") is None


@pytest.mark.parametrize(
    ("name", "ndots", "candidates"),
    [
        ("node1", 1, ["node1.a.test", "node1.b.test", "node1"]),
        ("node1.rack", 1, ["node1.rack", "node1.rack.a.test", "node1.rack.b.test"]),
        ("node1.rack", 2, ["node1.rack.a.test", "node1.rack.b.test", "node1.rack"]),
    ],
)
def test_domains_are_tried_before_or_after_the_name_itself(name: str, ndots: int, candidates: list[str]) -> None:
    assert Settings(SERVERS, ("a.test", "b.test"), ndots).candidates(name) == candidates


def test_hosts_lists_names_of_any_letters_in_several_lines() -> None:
    hosts = "127.0.0.1 localhost\nfd77::1 node1\n10.0.0.1 Node1.cluster NODE1 # first\nfe80::1%lo node1\nx node1\n"
    assert in_hosts("node1", hosts) == ("10.0.0.1", "fd77::1")
    assert in_hosts("node", hosts) == ()


def files(folder: Path, *, nsswitch: str = FILES_DNS, hosts: str = "") -> Files:
    for name, text in (("nsswitch", nsswitch), ("resolv", RESOLV), ("hosts", hosts)):
        (folder / name).write_text(text)
    return Files(folder / "nsswitch", folder / "resolv", folder / "hosts")


def test_a_name_that_is_listed_is_not_asked_for(tmp_path: Path) -> None:
    assert read("node1", files(tmp_path, hosts="10.0.0.1 node1\n")) == ("10.0.0.1",)
    assert isinstance(read("node2", files(tmp_path)), Settings)


@pytest.mark.parametrize("name", ["localhost", "x.localhost", "_gateway", socket.gethostname()])
def test_the_hosts_own_names_are_the_c_librarys(tmp_path: Path, name: str) -> None:
    with mock.patch.object(module, "by_library", return_value=("::1",)) as asked:
        assert read(name, files(tmp_path)) == ("::1",)
    asked.assert_called_once_with(name)


@pytest.mark.parametrize("nsswitch", ["hosts: sss", None, "\udcff"])
def test_where_files_do_not_say_it_the_c_library_is_asked(tmp_path: Path, nsswitch: str | None) -> None:
    made = files(tmp_path)
    if nsswitch is None:
        made.resolv.unlink()
    else:
        made.nsswitch.write_bytes(nsswitch.encode("utf-8", "surrogateescape"))
    with mock.patch.object(module, "by_library", return_value=("10.0.0.9",)):
        assert read("node1", made) == ("10.0.0.9",)


def test_the_c_librarys_silence_is_no_address_and_ipv4_goes_first() -> None:
    found = [
        (10, 1, 6, "", ("fd77::1", 0, 0, 0)),
        (2, 1, 6, "", ("10.0.0.1", 0)),
        (10, 1, 6, "", ("fe80::1%lo", 0, 0, 2)),
    ]
    with mock.patch("socket.getaddrinfo", return_value=found):
        assert by_library("x") == ("10.0.0.1", "fd77::1")
    with mock.patch("socket.getaddrinfo", side_effect=OSError):
        assert by_library("x") == ()


class Dns:
    """Answers from a table; what is not in it does not exist."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.asked: list[str] = []

    def _look(self, name: str, kind: int) -> Deferred[Any]:
        if kind == dns.A:
            self.asked.append(name)
        found = self.table.get(name, DNSNameError())
        if isinstance(found, Exception):
            return fail(found)
        return succeed(([one for one in found if one.type in (kind, dns.CNAME)], [], []))

    def lookupAddress(self, name: str) -> Deferred[Any]:
        return self._look(name, dns.A)

    def lookupIPV6Address(self, name: str) -> Deferred[Any]:
        return self._look(name, dns.AAAA)


def a(name: str, address: str) -> dns.RRHeader:
    if ":" in address:
        return dns.RRHeader(name, dns.AAAA, payload=dns.Record_AAAA(address))
    return dns.RRHeader(name, dns.A, payload=dns.Record_A(address))


def also(name: str, proper: str) -> dns.RRHeader:
    return dns.RRHeader(name, dns.CNAME, payload=dns.Record_CNAME(proper))


def ask(name: str, table: dict[str, Any], folder: Path) -> tuple[tuple[str, ...], list[str]]:
    server = Dns(table)
    with mock.patch.object(module, "_made", return_value=server):
        return run(NodeNames(FakeOffload(), None, files(folder)).addresses(name)), server.asked


def test_a_name_has_all_of_its_addresses_ipv4_first(tmp_path: Path) -> None:
    table = {"node1.cluster.test": [a("node1.cluster.test", "fd77::1"), a("node1.cluster.test", "10.0.0.1")]}
    assert ask("node1", table, tmp_path) == (("10.0.0.1", "fd77::1"), ["node1.cluster.test"])


def test_the_next_domain_is_tried_where_there_is_no_such_name(tmp_path: Path) -> None:
    table = {"node1.cluster.test": DNSServerError(), "node1.site.test": [a("node1.site.test", "10.0.0.1")]}
    assert ask("node1", table, tmp_path) == (("10.0.0.1",), ["node1.cluster.test", "node1.site.test"])
    assert ask("node2", table, tmp_path)[0] == ()


def test_another_name_of_a_node_leads_to_its_addresses_and_nothing_beside_does(tmp_path: Path) -> None:
    table = {
        "n1.cluster.test": [
            also("N1.cluster.test", "a.test"),
            a("b.test", "10.0.0.2"),
            also("a.test", "b.test"),
            a("evil.test", "10.6.6.6"),
        ]
    }
    assert ask("n1", table, tmp_path)[0] == ("10.0.0.2",)


def test_when_no_server_answers_no_other_candidate_is_asked_for(tmp_path: Path) -> None:
    assert ask("node1", {"node1.cluster.test": TimeoutError()}, tmp_path) == ((), ["node1.cluster.test"])


def test_one_resolver_serves_until_the_settings_are_others(tmp_path: Path) -> None:
    made = files(tmp_path)
    names = NodeNames(FakeOffload(), None, made)
    with mock.patch.object(module, "_made", side_effect=lambda *_: Dns({})) as making:
        run(names.addresses("node1"))
        run(names.addresses("node2"))
        assert making.call_count == 1
        made.resolv.write_text("nameserver 10.0.0.2\n")
        run(names.addresses("node1"))
        assert making.call_count == 2
