"""The command line of ``twistd supercloud-portal``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

from supercloud import portal as portal_module
from supercloud import tap
from supercloud.config import Ident2, Settings
from supercloud.config_values import UdpAddresses
from supercloud.tap import Options, make_services, makeService
from tests.unit.ident2.conftest import FakeReactor

NODE = '[ident2]\nsocket = ""\nudp = ["10.0.0.1:99", "[fd77::1]:99"]\n'


class Started:
    """Stands for the portal; nothing is bound."""

    name = "portal"

    def __init__(
        self, settings: Settings, front: object, reactor: object, client: object, own: object, **_: Any
    ) -> None:
        self.settings = settings
        self.embedded_for: int | None = None

    def embed(self, uid: int) -> None:
        self.embedded_for = uid

    def setServiceParent(self, parent: Any) -> None:
        parent.namedServices[self.name] = self


@pytest.fixture
def reactor() -> Iterator[FakeReactor]:
    made = FakeReactor()
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "node.toml"
    made.write_text(NODE)
    return made


def leave(*words: str) -> int:
    """The exit status of a command line that starts nothing."""
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(list(words))
    return int(str(caught.value))


def test_twistd_knows_it_by_its_name() -> None:
    assert {one.module for one in getPlugins(IServiceMaker) if one.tapname == "supercloud-portal"} == {"supercloud.tap"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ident2]\nresponder = 7", "ident2.responder: Expected `bool`"),
        ("[ident3]", "ident3: this key is not known; did you mean 'ident2'?"),
        ("x =", "it must be TOML"),
        ("[ident2]\nresponder = false", "nothing would run: there is neither [front] nor ident2.responder"),
    ],
)
def test_wrong_settings_end_it_with_status_1_and_a_text(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file.write_text(text)
    assert leave("--config", str(file)) == 1
    out, err = capsys.readouterr()
    assert err.startswith("supercloud-portal: ")
    assert said in err
    assert out == ""


@pytest.mark.parametrize("port", ["0", "65536", "-1", "https", "", "8443 ", "8_443", "1e3"])
def test_what_is_not_a_port_is_refused(capsys: pytest.CaptureFixture[str], port: str) -> None:
    assert leave("--port", port) == 1
    assert capsys.readouterr().err == (
        f"supercloud-portal: --port {port}: is not a port; write a number from 1 to 65535\n"
    )


def test_what_cannot_be_bound_ends_it_with_one_line(
    reactor: FakeReactor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(ident2=Ident2(socket=str(tmp_path / "none" / "s"), udp=UdpAddresses()))
    with pytest.raises(SystemExit):
        make_services(settings, reactor, is_embedded=False).privilegedStartService()
    assert capsys.readouterr().err == (
        f"supercloud-portal: ident2.socket: {tmp_path}/none/s: No such file or directory\n"
    )


@pytest.mark.parametrize("port", [1, 65535])
def test_every_port_from_1_to_65535_is_one(tmp_path: Path, port: int) -> None:
    options = Options()
    options.parseOptions(["--port", str(port), "--state", str(tmp_path)])
    assert options.is_embedded
    assert {one.port for one in options.settings.front.listen} == {port}


@pytest.mark.parametrize("words", [["--port", "8443"], ["--state", "/tmp/x"]])
def test_a_file_and_options_of_the_embedded_portal_do_not_mix(
    file: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert leave("--config", str(file), *words) == 1
    assert "are for the embedded portal; set front.listen and state in the file" in capsys.readouterr().err


def test_check_says_what_a_node_would_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--config", str(file), "--check") == 0
    assert capsys.readouterr().out == ("settings are good\n  ident2: udp 10.0.0.1 port 99, udp fd77::1 port 99\n")


def test_check_says_what_the_embedded_portal_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--check", "--state", str(tmp_path), "--port", "9443") == 0
    assert capsys.readouterr().out == (
        "settings are good\n"
        "  front: tls:127.0.0.1:9443, tls:[::1]:9443 as https://localhost/\n"
        "  sign-in: session, link, token\n"
        "  nodes: localhost, 127.0.0.1/32, ::1/128; ports 1024 to 65535\n"
        "  files: / at /dav/\n"
        "  ident2: in this process only\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_check_looks_at_the_files_that_the_settings_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f'[front]\ncertificate = "{file.parent}/none.pem"\n')
    assert leave("--config", str(file), "--check") == 1
    assert f"{file.parent}/none.pem" in capsys.readouterr().err


@pytest.mark.parametrize(("base", "folder"), [("/x/state", "/x/state"), ("", "/home/alice/.local/state")])
def test_the_state_of_the_embedded_portal_is_where_such_files_go(
    monkeypatch: pytest.MonkeyPatch, base: str, folder: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", base)
    monkeypatch.setenv("HOME", "/home/alice")
    settings, _ = tap.read_settings(None, None, None)
    assert settings.state == Path(folder) / "supercloud"


def test_a_state_folder_may_be_named_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings, is_embedded = tap.read_settings(None, None, "here")
    assert settings.state == tmp_path / "here"
    assert is_embedded


def test_a_node_runs_a_responder_and_no_front(reactor: FakeReactor, file: Path) -> None:
    options = Options()
    options.parseOptions(["--config", str(file)])
    assert not options.is_embedded
    services = make_services(options.settings, reactor, is_embedded=False)
    [responder] = services
    assert not responder.running


@pytest.mark.parametrize("is_embedded", [True, False])
def test_only_an_embedded_portal_is_embedded(
    reactor: FakeReactor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_embedded: bool
) -> None:
    monkeypatch.setattr(tap, "Portal", Started)
    monkeypatch.setattr(tap.os, "geteuid", lambda: 4242)
    settings, _ = tap.read_settings(None, None, str(tmp_path))
    services: Any = make_services(settings, reactor, is_embedded=is_embedded)
    assert services.getServiceNamed("portal").embedded_for == (4242 if is_embedded else None)


def test_settings_that_are_found_wrong_while_services_are_made_end_it_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(portal_module, "read_account", lambda uid: _no_account())
    options = Options()
    options.parseOptions(["--state", str(tmp_path / "state")])
    with pytest.raises(SystemExit) as caught:
        makeService(options)
    assert caught.value.code == 1
    assert "on this host; run the portal as an account that has an entry there" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def _no_account() -> None:
    raise portal_module.NoAccount("no account 4242")


def test_a_responder_without_addresses_answers_in_this_process_only() -> None:
    described = tap.describe(Settings(ident2=Ident2(socket="", udp=UdpAddresses())))
    assert described == "settings are good\n  ident2: in this process only\n"
