"""The ident2 side, as the settings ask for it."""

from __future__ import annotations

import grp
from typing import Any

import pytest

from supercloud import node
from supercloud.config import Ident2, WrongSettings
from supercloud.config_values import Duration, Network, UdpAddresses
from supercloud.ident2.responder import DaemonService, Responder
from supercloud.node import make_responder
from tests.unit.ident2.conftest import FakeReactor


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the responder is made with; it is a real one all the same."""
    found: dict[str, Any] = {}

    def make(reactor: object, **options: Any) -> Responder:
        found.update(options)
        return Responder(reactor, **options)

    monkeypatch.setattr(node, "Responder", make)
    return found


@pytest.fixture
def reactor() -> Any:
    made = FakeReactor()
    yield made
    made.close()


def test_a_responder_answers_where_the_settings_say(reactor: FakeReactor, asked: dict[str, Any]) -> None:
    settings = Ident2(
        socket="",
        udp=UdpAddresses.parse("10.0.0.1:99"),
        peers=(Network.parse("10.0.0.0/24"),),
        timeout=Duration(0.25),
        tries=2,
    )
    made = make_responder(settings, reactor, only_answers=True)
    assert isinstance(made, Responder)
    assert asked["udp"] == (("10.0.0.1", 99),)
    assert [str(one) for one in asked["networks"]] == ["10.0.0.0/24"]
    assert (asked["timeout"], asked["tries"], asked["only_answers"]) == (0.25, 2, True)
    assert (asked["socket_path"], asked["socket_gid"]) == (None, None)


def test_the_socket_is_given_to_the_group_of_the_original_daemon(
    reactor: FakeReactor, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grp, "getgrnam", {"ident2": grp.struct_group(("ident2", "x", 777, []))}.__getitem__)
    make_responder(Ident2(socket="/run/x.sock", udp=UdpAddresses()), reactor)
    assert (asked["socket_path"], asked["socket_gid"]) == ("/run/x.sock", 777)


def test_without_that_group_only_root_may_ask(
    reactor: FakeReactor, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grp, "getgrnam", {}.__getitem__)
    make_responder(Ident2(socket="/run/x.sock", udp=UdpAddresses()), reactor)
    assert asked["socket_gid"] is None


def test_without_a_responder_the_daemon_that_is_there_is_asked(reactor: FakeReactor) -> None:
    made = make_responder(Ident2(responder=False, socket="/run/x.sock"), reactor)
    assert isinstance(made, DaemonService)


def test_with_neither_the_settings_are_wrong(reactor: FakeReactor) -> None:
    with pytest.raises(WrongSettings, match="must name the daemon's socket"):
        make_responder(Ident2(responder=False, socket=""), reactor)
