"""What a `TokenStore` does, said of the fake and of the real one; and what only the real one can do wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from supercloud.authn.token_store import KEPT, SqliteTokenStore, TokenRow, TokenStore, TooManyTokens
from tests.fakes.tokens import FakeTokenStore

NOW = 1_000_000.0
ROW = TokenRow("one", b"1" * 32, 1001, "alice", "dav", "laptop", NOW, NOW + 3600)
OTHER = replace(ROW, id="two", digest=b"2" * 32, created=NOW + 1)
BOBS = replace(ROW, id="bobs", digest=b"3" * 32, uid=1002, login="bob")


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("tokens") / "tokens.sqlite"
    store = SqliteTokenStore(path)
    store.open()
    store.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, empty_file: bytes) -> Path:
    path = tmp_path / "tokens.sqlite"
    path.touch(0o600)
    path.write_bytes(empty_file)
    return path


@pytest.fixture(params=["fake", "real"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[TokenStore]:
    if request.param == "fake":
        yield FakeTokenStore()
        return
    real = SqliteTokenStore(path)
    real.open()
    yield real
    real.close()


def test_a_token_is_found_by_its_digest(store: TokenStore) -> None:
    store.add(ROW, 10)
    assert store.find(ROW.digest) == ROW
    assert store.find(b"9" * 32) is None


def test_tokens_are_listed_for_their_account_oldest_first(store: TokenStore) -> None:
    for row in (OTHER, BOBS, ROW):
        store.add(row, 10)
    assert store.of_account(1001) == [ROW, OTHER]


def test_an_account_has_as_many_as_allowed(store: TokenStore) -> None:
    store.add(ROW, 2)
    store.add(OTHER, 2)
    with pytest.raises(TooManyTokens):
        store.add(replace(ROW, id="three", digest=b"4" * 32), 2)
    store.add(BOBS, 2)


def test_expired_ones_make_room(store: TokenStore) -> None:
    store.add(ROW, 1)
    store.add(replace(OTHER, created=ROW.ends), 1)
    assert [row.id for row in store.of_account(1001)] == ["two"]


def test_a_revoked_one_is_gone_and_still_known_as_its_owners(store: TokenStore) -> None:
    store.add(ROW, 10)
    assert store.revoke(1001, "one")
    assert not store.revoke(1001, "one")
    assert store.of_account(1001) == []
    store.add(OTHER, 1)
    assert store.find(ROW.digest) == replace(ROW, ends=-ROW.ends)
    store.forget(ROW.ends + KEPT + 1)
    assert store.find(ROW.digest) is None


def test_an_expired_one_that_made_room_is_known_too(store: TokenStore) -> None:
    store.add(ROW, 1)
    store.add(replace(OTHER, created=ROW.ends), 1)
    assert store.find(ROW.digest) == replace(ROW, ends=-ROW.ends)


def test_of_those_that_are_over_no_more_stay_known_than_an_account_may_have(store: TokenStore) -> None:
    for number in range(4):
        store.add(replace(ROW, id=f"t{number}", digest=b"r%d" % number * 16, created=NOW + number), 2)
        store.revoke(1001, f"t{number}")
    store.add(OTHER, 2)
    assert [store.find(b"r%d" % number * 16) is not None for number in range(4)] == [False, False, True, True]


def test_nobody_revokes_somebody_elses(store: TokenStore) -> None:
    store.add(BOBS, 10)
    assert not store.revoke(1001, "bobs")
    assert store.find(BOBS.digest) == BOBS


def test_it_says_which_still_live(store: TokenStore) -> None:
    store.add(ROW, 10)
    store.add(OTHER, 10)
    store.revoke(1001, "two")
    assert store.living(["one", "two", "it's"]) == {"one"}


def test_the_later_use_counts(store: TokenStore) -> None:
    store.add(ROW, 10)
    store.used({"one": NOW + 9, "unknown": NOW})
    store.used({"one": NOW + 5})
    assert store.of_account(1001) == [replace(ROW, last_used=NOW + 9)]


def test_what_expired_long_ago_is_forgotten(store: TokenStore) -> None:
    store.add(ROW, 10)
    store.forget(ROW.ends + KEPT)
    assert store.of_account(1001) == [ROW]
    store.forget(ROW.ends + KEPT + 1)
    assert store.of_account(1001) == []


def test_an_administrator_ends_all_of_an_account(path: Path) -> None:
    store = SqliteTokenStore(path)
    store.open()
    for row in (ROW, OTHER, BOBS):
        store.add(row, 10)
    assert store.revoke_all(1001) == 2
    assert store.living(["one", "two", "bobs"]) == {"bobs"}
    store.close()


def test_the_file_holds_no_tokens_text_and_is_nobody_elses(path: Path) -> None:
    store = SqliteTokenStore(path)
    store.open()
    store.add(ROW, 10)
    assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}
    store.close()
    assert b"scp_" not in path.read_bytes()
