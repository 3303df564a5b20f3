"""SSH keys: what is none is refused, and nothing that was there is lost."""

from __future__ import annotations

import base64
import stat
import struct
from pathlib import Path

import pytest

from supercloud.pages.keys import MOST_KEYS, Keys, NotAKey


def blob(*parts: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(part)) + part for part in parts)).decode()


def ed25519(number: int = 0, comment: str = "alice@laptop") -> str:
    return f"ssh-ed25519 {blob(b'ssh-ed25519', bytes([number]) * 32)} {comment}".strip()


def rsa(bits: int) -> str:
    modulus = (1 << (bits - 1)).to_bytes(bits // 8 + 1, "big")
    return "ssh-rsa " + blob(b"ssh-rsa", bytes([1, 0, 1]), modulus)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def test_a_key_is_added_shown_and_removed(keys: Keys, tmp_path: Path) -> None:
    assert keys.all() == []
    added = keys.add(f"  {ed25519()}\n")
    assert [(one.kind, one.comment) for one in keys.all()] == [("ssh-ed25519", "alice@laptop")]
    assert added.fingerprint.startswith("SHA256:")
    file = tmp_path / ".ssh" / "authorized_keys"
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    assert keys.remove(added.fingerprint)
    assert not keys.remove(added.fingerprint)
    assert keys.all() == []


def test_fingerprints_are_those_of_ssh_keygen(keys: Keys, tmp_path: Path) -> None:
    import shutil
    import subprocess

    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    said = subprocess.run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")], capture_output=True, text=True).stdout
    assert keys.add((tmp_path / "key.pub").read_text()).fingerprint == said.split()[1]


@pytest.mark.parametrize("between", ["\u2028", "\x85", "\x0c", "\x1e", "\r"])
def test_a_comment_does_not_become_a_key(keys: Keys, tmp_path: Path, between: str) -> None:
    file = tmp_path / ".ssh" / "authorized_keys"
    file.parent.mkdir()
    before = f"{ed25519(1)}{between}{ed25519(2, 'of a comment')}\n# {between}{ed25519(3, 'no more')}\n"
    file.write_bytes(before.encode())
    keys.add(ed25519(4))
    assert file.read_bytes() == before.encode() + f"{ed25519(4)}\n".encode()
    assert len(keys.all()) == 2


@pytest.mark.parametrize("options", ["", 'from="10.0.0.1" ', 'command="echo \\" x" '])
def test_the_key_that_is_shown_is_the_one_that_lets_in(keys: Keys, tmp_path: Path, options: str) -> None:
    (tmp_path / ".ssh").mkdir()
    for one, other in ((ed25519(1, ""), rsa(2048)), (rsa(2048), ed25519(1, ""))):
        (tmp_path / ".ssh" / "authorized_keys").write_text(f"{options}{one} alice {other}\n")
        assert [(key.kind, key.options) for key in keys.all()] == [(one.split()[0], options.strip())]


def test_what_was_there_stays_as_it_was(keys: Keys, tmp_path: Path) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    file = folder / "authorized_keys"
    before = f'# mine\n\nfrom="10.0.0.0/8",command="echo \\"ssh-rsa x\\"" {ed25519(1)}\nsomething \xff else\n'.encode(
        "latin-1"
    )
    file.write_bytes(before)
    file.chmod(0o644)
    added = keys.add(ed25519(2))
    assert file.read_bytes() == before + f"{ed25519(2)}\n".encode()
    assert [one.options for one in keys.all()] == ['from="10.0.0.0/8",command="echo \\"ssh-rsa x\\""', ""]
    keys.remove(added.fingerprint)
    assert file.read_bytes() == before
    assert [one.name for one in folder.iterdir()] == ["authorized_keys"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no public key"),
        ("hello", "no public key"),
        (f'command="touch /tmp/x" {ed25519()}', "no public key"),
        (f"{ed25519()}\n{ed25519(1)}", "one key"),
        (f"{ed25519()}\rcommand=x", "one key|comment"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nx", "private key"),
        (f"ssh-ed25519 {blob(b'ssh-rsa', b'x' * 32)}", "no public key"),
        (f"ssh-ed25519 {blob(b'ssh-ed25519', b'x' * 31)}", "no public key"),
        (f"ssh-ed25519 {blob(b'ssh-ed25519', b'x' * 32)}AAAA", "no public key"),
        ("ssh-ed25519 AAAA", "no public key"),
        ("ssh-ed25519", "no public key"),
        (rsa(1024), "no whole RSA key of 2048 bits"),
        (f"ssh-dss {blob(b'ssh-dss', b'x')}", "no public key"),
        (f"{ed25519(comment='a' * 300)}", "comment"),
    ],
)
def test_what_is_no_key_is_refused_and_nothing_is_written(keys: Keys, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(NotAKey, match=words):
        keys.add(text)
    assert not (tmp_path / ".ssh").exists()


def test_the_same_key_twice_and_too_many_are_refused(keys: Keys, tmp_path: Path) -> None:
    keys.add(ed25519(1, "a"))
    with pytest.raises(NotAKey, match="already"):
        keys.add(ed25519(1, "b"))
    (tmp_path / ".ssh" / "authorized_keys").write_text("#\n" * MOST_KEYS)
    with pytest.raises(NotAKey, match="remove one"):
        keys.add(ed25519(2))
    (tmp_path / ".ssh" / "authorized_keys").write_text("#\n" * (MOST_KEYS - 1))
    keys.add(rsa(2048))


def test_a_link_stays_a_link(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "elsewhere").write_text(f"{ed25519(1)}\n")
    (tmp_path / ".ssh" / "authorized_keys").symlink_to(tmp_path / "elsewhere")
    keys.add(ed25519(2))
    assert (tmp_path / ".ssh" / "authorized_keys").is_symlink()
    assert len((tmp_path / "elsewhere").read_text().splitlines()) == 2
