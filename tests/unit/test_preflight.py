"""What is looked at before anything is bound."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from supercloud import preflight
from supercloud.config import Authn, Dav, Forwards, Scheduler, Settings, WrongSettings, embedded
from supercloud.identity import NoAccount, Principal
from tests.fakes.settings import settings

ME = os.geteuid()


@pytest.fixture
def is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.parametrize("asks_certificate", [True, False])
def test_good_settings_pass_the_check(state: Path, asks_certificate: bool) -> None:
    preflight.check(settings(state, asks_certificate=asks_certificate))


def test_a_node_has_no_files_to_check() -> None:
    preflight.check(Settings())


def test_check_looks_at_an_embedded_portals_files_like_at_any_others(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"fullchain\.pem: cannot be read"):
        preflight.check(embedded(tmp_path / "none"))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("fullchain.pem", "front.certificate, front.private_key or authn.certificate: .*fullchain.pem"),
        ("key.pem", "front.certificate, front.private_key or authn.certificate: .*key.pem"),
        ("ca.pem", "front.certificate, front.private_key or authn.certificate: .*ca.pem"),
        ("map.toml", "map.toml: No such file or directory; name a certificate map that can be read"),
    ],
)
def test_check_names_the_file_that_is_missing(state: Path, missing: str, said: str) -> None:
    (state.parent / missing).unlink()
    with pytest.raises(WrongSettings, match=said):
        preflight.check(settings(state, asks_certificate=True))


def test_check_says_that_the_state_folder_is_missing_and_how_to_make_it(state: Path) -> None:
    state.rmdir()
    with pytest.raises(WrongSettings) as caught:
        preflight.check(settings(state))
    assert str(caught.value) == (
        f"state: {state}: No such file or directory; make it with: install -d -m 700 -o {ME} {state}"
    )


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o701, 0o777])
def test_a_state_folder_that_others_can_look_into_is_refused(state: Path, mode: int) -> None:
    state.chmod(mode)
    with pytest.raises(WrongSettings) as caught:
        preflight.check(settings(state))
    assert str(caught.value) == (
        f"state: {state}: must be a folder of uid {ME} with mode 0700; make it with: install -d -m 700 -o {ME} {state}"
    )


def test_a_state_folder_of_somebody_else_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ME + 1)
    with pytest.raises(WrongSettings, match=f"must be a folder of uid {ME + 1} with mode 0700"):
        preflight.check(settings(state))


def test_what_the_site_lacks_is_said_with_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Settings(
        forwards=Forwards(directory=str(tmp_path / "fw")),
        dav=Dav(roots={"/": "/", "/home": "~", "/data": f"{tmp_path}/data"}),
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert preflight.lacks(told) == [
        f"forwards: there is no {tmp_path}/fw; make it with: install -d -m 1777 {tmp_path}/fw",
        f"files: there is no {tmp_path}/data",
        'jobs: there is no sbatch in PATH; install the programs of SLURM, or set scheduler.kind = "local"',
    ]
    for name in ("fw", "data"):
        (tmp_path / name).mkdir()
    assert preflight.lacks(replace(told, scheduler=Scheduler(kind="local"))) == []


@pytest.mark.parametrize(("mode", "is_told"), [(0o1777, False), (0o777, True), (0o770, True), (0o1770, False)])
def test_a_folder_of_forwards_in_which_names_can_be_taken_away_is_told(
    tmp_path: Path, mode: int, is_told: bool
) -> None:
    tmp_path.chmod(mode)
    told = preflight.lacks(Settings(forwards=Forwards(directory=str(tmp_path)), scheduler=Scheduler(kind="local")))
    assert told == ([f"forwards: in {tmp_path} people can take each other's names away; chmod +t {tmp_path}"] * is_told)


@pytest.mark.parametrize("name", ["none/audit.log", "."])
def test_a_file_of_audit_lines_that_cannot_be_written_is_named(state: Path, name: str) -> None:
    told = settings(state)
    assert told.front is not None
    preflight.check(replace(told, front=replace(told.front, audit=str(state.parent / "audit.log"))))
    with pytest.raises(WrongSettings, match=r"front\.audit: .* cannot be written"):
        preflight.check(replace(told, front=replace(told.front, audit=str(state.parent / name))))


def test_a_folder_of_sockets_where_a_portal_answers_is_left_to_it(tmp_path: Path) -> None:
    preflight.check_alone(tmp_path, "--state")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as there:
        there.bind(str(tmp_path / "portal.sock"))
        preflight.check_alone(tmp_path, "--state")  # nobody listens: one that was killed left it
        there.listen(0)
        for _ in range(3):  # and when it has no time to accept
            with pytest.raises(
                WrongSettings, match="another portal runs with this folder, or ends just now; stop it, or name another"
            ):
                preflight.check_alone(tmp_path, "--state")


def test_a_file_in_place_of_the_state_folder_is_refused(state: Path) -> None:
    state.rmdir()
    state.touch(0o600)
    with pytest.raises(WrongSettings, match="must be a folder"):
        preflight.check(settings(state))


@pytest.mark.usefixtures("is_root")
def test_started_by_root_the_state_folder_must_be_the_fronts_account(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = Principal("supercloud", 990, 990, frozenset({990}))
    monkeypatch.setattr(preflight, "read_account", {"supercloud": front}.__getitem__)
    with pytest.raises(WrongSettings, match="of uid 990 with mode 0700; make it with: install -d -m 700 -o supercloud"):
        preflight.check(settings(state, account="supercloud"))


@pytest.mark.usefixtures("is_root")
def test_an_account_of_the_front_that_does_not_exist_is_said_so(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(login: str) -> Principal:
        raise NoAccount(f"no account {login!r}")

    monkeypatch.setattr(preflight, "read_account", none)
    with pytest.raises(WrongSettings, match=r"front\.account: no account 'x'; make a system account, or name another"):
        preflight.check(settings(state, account="x"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_started_by_root_the_fronts_account_must_be_able_to_read_the_files_again(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Principal("nobody", 65534, 65534, frozenset({65534}))
    monkeypatch.setattr(preflight, "read_account", {"nobody": nobody}.__getitem__)
    os.chown(state, nobody.uid, nobody.gid)
    (state.parent / "key.pem").chmod(0o600)
    with pytest.raises(WrongSettings, match="cannot be read: Permission denied; nobody must be able to read it"):
        preflight.check(settings(state, account="nobody"))


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_folder_of_sockets_that_others_can_write_is_refused(state: Path, mode: int) -> None:
    run = state.parent / "run"
    run.mkdir()
    run.chmod(mode)
    with pytest.raises(WrongSettings, match=f"run: {run}: must be a folder of uid {ME} that nobody else can write"):
        preflight.check(replace(settings(state), run=run))
    run.chmod(0o755)
    preflight.check(replace(settings(state), run=run))


def test_check_reads_the_authorities_of_applications(state: Path) -> None:
    made = settings(state)
    with pytest.raises(WrongSettings, match=r"forwards\.ca, .*: /nonexistent/ca\.pem: cannot be read"):
        preflight.check(replace(made, forwards=replace(made.forwards, ca="/nonexistent/ca.pem")))


def test_a_host_without_a_list_of_shells_is_told_who_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Settings(forwards=Forwards(directory=""), scheduler=Scheduler(kind="local"), dav=Dav(roots={}))
    assert preflight.lacks(told) == []
    monkeypatch.setattr(preflight, "LISTED_IN", str(tmp_path / "shells"))
    assert preflight.lacks(told) == [
        f"accounts: there is no {tmp_path}/shells, so those with /bin/sh or /bin/csh are let in, and no others"
    ]
    assert preflight.lacks(replace(told, authn=Authn(shells="any"))) == []
