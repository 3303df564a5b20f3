"""``~/.ssh/authorized_keys``: which keys let their owner in by ssh. Lines that are not understood stay as they are."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

MOST_KEYS: Final = 200
_MOST_BYTES: Final = 256 * 1024
# sshd(8), AUTHORIZED_KEYS FILE FORMAT. DSA is refused: OpenSSH has not taken it since 9.8.
_KINDS: Final = frozenset(
    {
        *("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        *("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
    }
)
# Options may have blanks between quotes, and \" for a quote.
_SLASH: Final = r'\\"|\\(?!")'
_LINE: Final = re.compile(
    rf'(?:(?P<options>(?!#)(?:{_SLASH}|[^ \t"\\]|"(?:{_SLASH}|[^"\\])*")+)[ \t]+)??'
    rf"(?P<kind>{'|'.join(map(re.escape, sorted(_KINDS)))})[ \t]+(?P<key>[A-Za-z0-9+/=]+)(?:[ \t]+(?P<comment>.*))?",
    re.DOTALL,
)
_LEAST_RSA: Final = 2048  # bits
_COMMENT: Final = re.compile(r"[^\x00-\x1f\x7f]{0,200}")


class NotAKey(ValueError):
    """What was given is none; the text says what would be right."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One line that lets somebody in.

    :ivar fingerprint: SHA256, as ssh-keygen -l shows it.
    :ivar options: what stands before it, such as ``from="…"``.
    """

    kind: str
    fingerprint: str
    comment: str = ""
    options: str = ""


class Keys:
    """The keys of the account that this process is.

    :param home: the account's.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / ".ssh"
        self._file = self._folder / "authorized_keys"

    def all(self) -> list[Key]:
        """In the order of the file.

        :raises OSError: it cannot be read.
        """
        return [key for line in self._lines() if (key := _find(line)) is not None]

    def add(self, text: str) -> Key:
        """Let a key in.

        :param text: of a public key, one line.
        :raises NotAKey: it is none, or it is there already.
        :raises OSError: the file cannot be written; it is as it was.
        """
        line = _checked(text)
        key = _find(line)
        if key is None and line.startswith("ssh-rsa "):
            raise NotAKey(
                f"this is no whole RSA key of {_LEAST_RSA} bits or more: make another by ssh-keygen -t ed25519"
            )
        if key is None:
            raise NotAKey("this is no public key: paste the one line of a file such as ~/.ssh/id_ed25519.pub")
        lines = self._lines()
        if key.fingerprint in {one.fingerprint for one in map(_find, lines) if one is not None}:
            raise NotAKey("this key is there already")
        if len(lines) >= MOST_KEYS:
            raise NotAKey(f"the file has {MOST_KEYS} lines already: remove one first")
        self._write([*lines, line])
        return key

    def remove(self, fingerprint: str) -> bool:
        """Take a key out; whether it was there.

        :raises OSError: the file cannot be written; it is as it was.
        """
        lines = self._lines()
        left = [line for line in lines if (key := _find(line)) is None or key.fingerprint != fingerprint]
        if len(left) == len(lines):
            return False
        self._write(left)
        return True

    def _lines(self) -> list[str]:
        try:
            with self._file.open("rb") as opened:
                data = opened.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return []
        if len(data) > _MOST_BYTES:
            raise OSError(27, f"{self._file} is longer than {_MOST_BYTES} bytes")
        # sshd ends a line at a line feed and nowhere else.
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        return lines if lines[-1] else lines[:-1]

    def _write(self, lines: list[str]) -> None:
        """All of it or nothing. A link stays a link: whoever keeps their files elsewhere does so on purpose."""
        with suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        target = self._file.resolve()
        mode = stat.S_IMODE(target.stat().st_mode) & ~0o022 if target.exists() else 0o600
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(opened, "wb") as out:
                out.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
                out.flush()
                os.fchmod(out.fileno(), mode)
                os.fsync(out.fileno())
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _checked(text: str) -> str:
    """One line, of a key alone: an option could run a command for whoever shows the key."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise NotAKey("this is a private key: keep it, and paste the file that ends with .pub. Nothing was kept here.")
    if "\n" in line or "\r" in line:
        raise NotAKey("paste one key: a single line")
    words = line.split(None, 2)
    if not words or words[0] not in _KINDS:
        raise NotAKey("this is no public key: paste the one line of a file such as ~/.ssh/id_ed25519.pub")
    if len(words) == 3 and not _COMMENT.fullmatch(words[2]):
        raise NotAKey("the comment behind the key has characters that cannot stand there")
    return " ".join(words)


def _find(line: str) -> Key | None:
    """The key in a line of the file, as sshd finds it: what the comment holds is none."""
    found = _LINE.fullmatch(line.strip())
    blob = None if found is None else _blob(found["kind"], found["key"])
    if found is None or blob is None:
        return None
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")
    return Key(
        kind=found["kind"],
        fingerprint=f"SHA256:{digest}",
        comment=(found["comment"] or "").strip()[:200],
        options=(found["options"] or "")[:200],
    )


def _blob(kind: str, text: str) -> bytes | None:
    """A key's bytes, if they are whole and of that kind (RFC 4253 section 6.6)."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    parts: list[bytes] = []
    rest = blob
    while rest:
        if len(rest) < 4:
            return None
        (length,) = struct.unpack_from(">I", rest)
        if length > len(rest) - 4:
            return None
        parts.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    if not parts or parts[0] != kind.encode("ascii") or len(parts) < 2:
        return None
    if kind == "ssh-ed25519" and (len(parts) != 2 or len(parts[1]) != 32):
        return None
    if kind == "ssh-rsa" and (len(parts) != 3 or int.from_bytes(parts[2], "big").bit_length() < _LEAST_RSA):
        return None
    return blob
