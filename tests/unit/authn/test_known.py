"""The cookie of a browser in which somebody has signed in before."""

from __future__ import annotations

from supercloud.authn.known import KNOWN_COOKIE, LIFE, Known, KnownBrowsers
from supercloud.authn.seal import Sealer
from supercloud.message.fields import without_reserved

HERE = "portal.test"


def made(now: float = 1000.0, key: bytes = b"k" * 32) -> KnownBrowsers:
    return KnownBrowsers(Sealer([key]), lambda: now)


def test_a_browser_is_known_to_whoever_signed_in_there() -> None:
    cookie = made().cookie("alice", origin=HERE).encode()
    assert len(made().read(cookie, "alice", origin=HERE)) == 16


def test_it_is_known_to_nobody_else_and_nowhere_else() -> None:
    cookie = made().cookie("alice", origin=HERE).encode()
    assert made().read(cookie, "bob", origin=HERE) == b""
    assert made().read(cookie, "alice", origin="other.test") == b""
    assert made(key=b"x" * 32).read(cookie, "alice", origin=HERE) == b""


def test_it_is_forgotten_after_ninety_days() -> None:
    cookie = made().cookie("alice", origin=HERE).encode()
    assert made(1000.0 + LIFE - 1).read(cookie, "alice", origin=HERE)
    assert made(1000.0 + LIFE).read(cookie, "alice", origin=HERE) == b""


def test_each_sign_in_makes_another() -> None:
    one, other = (made().read(made().cookie("alice", origin=HERE).encode(), "alice", origin=HERE) for _ in range(2))
    assert one != other


def test_what_was_not_sealed_here_is_nothing() -> None:
    for shown in (None, b"", b"x", b"\xff.\xff", b"a" * 10_000):
        assert made().read(shown, "alice", origin=HERE) == b""


def test_a_session_is_no_known_browser() -> None:
    sealed = Sealer([b"k" * 32]).seal(_known(), "session/1")
    assert made().read(sealed.encode(), "alice", origin=HERE) == b""


def test_it_reaches_no_application() -> None:
    assert without_reserved(b"a=1; " + KNOWN_COOKIE + b"=x") == b"a=1"


def _known() -> Known:
    return Known(b"0" * 16, "alice", HERE, 10.0**9)
