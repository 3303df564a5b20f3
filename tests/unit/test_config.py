"""Settings: what they say when they are wrong, and that the examples tell the truth."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supercloud import config, config_values
from supercloud.config import Front, Ident2, Section, Settings, WrongSettings

CONF = Path(__file__).parents[2] / "conf"


def keys(section: type[Section], prefix: str = "") -> dict[str, Any]:
    """Every key of the settings with its default, sections by dots."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(section):
        name, default = prefix + field.encode_name, field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if isinstance(default, Section) or field.type == Front | None:
            found |= keys(type(default) if isinstance(default, Section) else Front, name + ".")
        else:
            found[name] = default
    return found


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        is_section = isinstance(value, dict) and prefix + name != "dav.roots"
        found |= flat(value, f"{prefix}{name}.") if is_section else {prefix + name: value}
    return found


def value_of(settings: Settings, key: str) -> Any:
    found: Any = settings
    for name in key.split("."):
        found = getattr(found, name)
    return found


def test_the_portal_example_holds_every_key_with_its_default() -> None:
    example = CONF / "portal.example.toml"
    assert flat(tomllib.loads(example.read_text())).keys() == keys(Settings).keys()
    read = config.read(example)
    assert {key: value_of(read, key) for key in keys(Settings)} == keys(Settings)


def test_the_node_example_holds_every_key_with_its_default_and_no_socket_that_takes_root() -> None:
    example = CONF / "node.example.toml"
    assert flat(tomllib.loads(example.read_text())).keys() == keys(Ident2, "ident2.").keys()
    read = config.read(example)
    assert read == Settings(ident2=read.ident2)
    assert read.ident2 == Ident2(socket="")
    assert "User=supercloud\nRuntimeDirectory=supercloud\n" in (CONF / "supercloud-node.service").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[front]\nlissten = ["tls:0.0.0.0:443"]', "front.lissten: this key is not known; did you mean 'listen'?"),
        ('[front]\nstate = "/x"', "front.state: this key is not known; put state above the first [table]"),
        ('[scheduler]\nkind = "pbs"', "scheduler.kind: Invalid enum value 'pbs'; write 'slurm' or 'local'"),
        ("[front]\nqqq = 1", "front.qqq: this key is not known; keys here are listen, hostname,"),
        ('[front.limits]\nidle = "8x"', "front.limits.idle: '8x' is not a duration; write a number with a unit"),
        ("[front.limits]\nidle = 8", "front.limits.idle: 8 is not a duration"),
        ('[front]\nlisten = ["http:0.0.0.0:80"]', "front.listen[0]: 'http:0.0.0.0:80' is not a listener; write"),
        ('[front]\nlisten = ["tls:portal:443"]', "front.listen[0]: 'tls:portal:443' is not a listener"),
        ("[front]\nlisten = []", "front.listen"),
        ('[front]\nhostname = "Portal_"', "front.hostname"),
        ("[ident2]\ntries = 0", "ident2.tries: Expected `int` >= 1"),
        ('[ident2]\npeers = ["10.0.0.1/8"]', "ident2.peers[0]: '10.0.0.1/8' is not a network"),
        ('[ident2]\nudp = "everywhere:99"', "ident2.udp: 'everywhere:99' is not an address"),
        ('[front]\nidentity_fields = ["X_User"]', "front.identity_fields"),
        ('[front]\nidentity_fields = ["*"]', "front.identity_fields"),
        ('[front]\nidentity_fields = ["X-*-User"]', "front.identity_fields"),
        ('[front]\nmetrics = "9446"', "front.metrics: '9446' is not an address; write"),
        ("[nodes]\nports = [9, 2]", "nodes.ports: 9 is above 2"),
        ('[nodes]\nallow = ["node[1-x]"]', "nodes.allow: 'node[1-x]' is neither a name"),
        ('[nodes]\nallow = ["node[1-99999999]"]', "nodes.allow"),
        ('state = "here"', "state: 'here' is not an absolute path"),
        ('[authn]\nschemes = ["session", "telepathy"]', "authn.schemes: 'telepathy' is not a scheme"),
        ('[authn]\nschemes = ["session", "link"]', "authn.schemes: 'link' is not a scheme"),
        ('[front]\n[authn]\nschemes = ["certificate"]', 'authn.schemes: must hold "session"'),
        ('[front]\nlisten = ["tls-cert:0.0.0.0:444"]', "authn.certificate.ca: must name a PEM file"),
        ('[front]\n[authn.session]\nidle = "2d"', "authn.session.idle: is longer than"),
        ('[forwards]\nverify = false\ncertificate = "/c.pem"', "forwards.certificate: and forwards.private_key go"),
        ('[forwards]\ncertificate = "/c.pem"\nprivate_key = "/k.pem"', "forwards.certificate: is shown to nobody"),
        ("x =", "it must be TOML"),
    ],
)
def test_wrong_settings_name_the_file_the_key_and_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "portal.toml"
    file.write_text(text)
    with pytest.raises(WrongSettings) as caught:
        config.read(file)
    assert str(caught.value).startswith(f"{file}: {said}" if not said.startswith("it must") else f"{file}: ")
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match="No such file or directory; name a settings file"):
        config.read(tmp_path / "none.toml")


def test_bracket_ranges_keep_leading_zeros_and_lists() -> None:
    assert config_values.parse_nodes("n[01-03,7]-ib") == {"n01-ib", "n02-ib", "n03-ib", "n7-ib"}


def test_names_are_read_in_lower_case_because_hosts_are() -> None:
    assert config_values.parse_nodes("Node-5") == {"node-5"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("15s", 15), ("10m", 600), ("8h", 28800), ("1.5d", 129600)]
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert config_values.Duration.parse(text) == seconds


def test_the_embedded_portal_listens_on_loopback_only(tmp_path: Path) -> None:
    settings = config.embedded(tmp_path, port=9443)
    assert settings.front is not None
    assert [(one.address, one.port) for one in settings.front.listen] == [("127.0.0.1", 9443), ("::1", 9443)]
    assert settings.ident2.udp == ()
    assert settings.ident2.socket == ""
