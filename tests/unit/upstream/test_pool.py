from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from supercloud.errors import TooMany
from supercloud.shares import Shares
from supercloud.upstream.http11 import Connection
from supercloud.upstream.pool import FRESH, KEPT, Kept, Key, Pool
from tests.fakes.transport import FakeTransport

KEY = Key(1001, "node1", 8080)
OTHERS = Key(1002, "node1", 8080)


class Site:
    def __init__(self, most: int = 10) -> None:
        self.clock = Clock()
        self.pool: Pool[str] = Pool(self.clock, Shares(self.clock), most=most)

    def make(self, key: Key = KEY, *, released: bool = True) -> Kept[str]:
        self.pool.reserve(key.uid)
        connection = Connection()
        connection.makeConnection(FakeTransport(self.clock, connection))
        kept = self.pool.add(key, connection, "grant")
        if released:
            connection.released(connection)
        return kept


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_released_connection_is_taken_once(site: Site) -> None:
    kept = site.make()
    assert site.pool.take(KEY, must_be_fresh=False) is kept
    assert site.pool.take(KEY, must_be_fresh=False) is None


def test_the_one_used_last_is_taken_first(site: Site) -> None:
    first, second = site.make(), site.make()
    assert site.pool.take(KEY, must_be_fresh=False) is second
    assert site.pool.take(KEY, must_be_fresh=False) is first


@pytest.mark.parametrize(
    "key",
    [
        OTHERS, Key(1001, "node2", 8080), Key(1001, "node1", 8081), KEY._replace(forward="a"),
        KEY._replace(shown="a token"),
    ],
)  # fmt: skip
def test_nothing_is_shared_between_keys(site: Site, key: Key) -> None:
    site.make()
    assert site.pool.take(key, must_be_fresh=False) is None


def test_a_connection_on_which_more_was_shown_is_found_by_that_only(site: Site) -> None:
    kept = site.make(released=False)
    kept.key = KEY._replace(shown="more")
    kept.connection.released(kept.connection)
    assert site.pool.take(KEY, must_be_fresh=False) is None
    assert site.pool.take(kept.key, must_be_fresh=False) is kept


def test_freshness_at_the_limit_and_beyond(site: Site) -> None:
    kept = site.make()
    site.clock.advance(FRESH + 0.01)
    assert site.pool.take(KEY, must_be_fresh=True) is None
    assert site.pool.take(KEY, must_be_fresh=False) is kept
    kept.connection.released(kept.connection)
    site.clock.advance(FRESH)
    assert site.pool.take(KEY, must_be_fresh=True) is kept


def test_unused_connections_are_closed_when_their_time_has_come(site: Site) -> None:
    first = site.make()
    site.clock.advance(KEPT / 2)
    second = site.make()
    site.clock.pump([KEPT / 2, 0])
    assert not first.connection.is_open
    assert second.connection.is_open
    site.clock.pump([KEPT / 2, 0])
    assert site.pool.open_connections == 0


def test_a_connection_that_is_gone_is_forgotten(site: Site) -> None:
    kept = site.make()
    kept.connection.transport.lose()
    assert site.pool.take(KEY, must_be_fresh=False) is None
    assert site.pool.open_connections == 0


def test_one_that_is_closing_is_not_taken(site: Site) -> None:
    older, newer = site.make(), site.make()
    newer.connection.close()
    assert site.pool.take(KEY, must_be_fresh=False) is older
    site.clock.advance(0)
    assert site.pool.open_connections == 1


def test_connections_are_counted_for_each_principal() -> None:
    site = Site(most=2)
    site.make(released=False)
    site.make(released=False)
    with pytest.raises(TooMany):
        site.make()
    site.make(OTHERS)
    assert site.pool.open_connections == 3


def test_an_unused_one_makes_way_once() -> None:
    site = Site(most=1)
    unused = site.make()
    site.pool.reserve(KEY[0])
    assert unused.connection.transport.disconnecting
    with pytest.raises(TooMany):
        site.pool.reserve(KEY[0])
    assert site.pool.take(KEY, must_be_fresh=False) is None
    site.clock.advance(0)
    assert site.pool.open_connections == 1
    site.pool.unreserve(KEY[0])
    assert site.pool.open_connections == 0


def test_closing_the_pool_leaves_what_is_in_use_and_no_timer(site: Site) -> None:
    used, unused = site.make(released=False), site.make()
    site.pool.close()
    site.clock.advance(0)
    assert used.connection.is_open
    assert not unused.connection.is_open
    assert site.clock.getDelayedCalls() == []


def test_what_is_revoked_is_never_taken_again(site: Site) -> None:
    meant, other = site.make(), site.make(OTHERS)
    site.pool.revoke(lambda key, grant: key == KEY and grant == "grant")
    site.clock.advance(0)
    assert not meant.connection.is_open
    assert site.pool.take(KEY, must_be_fresh=False) is None
    assert site.pool.take(OTHERS, must_be_fresh=False) is other


def test_what_is_in_use_when_it_is_revoked_closes_when_its_exchange_is_over(site: Site) -> None:
    in_use = site.make(released=False)
    site.pool.revoke(lambda key, grant: True)
    assert in_use.connection.is_open
    in_use.connection.released(in_use.connection)
    site.clock.advance(0)
    assert not in_use.connection.is_open
    assert site.pool.take(KEY, must_be_fresh=False) is None
    assert site.pool.open_connections == 0


def test_grants_are_those_of_all_open_connections(site: Site) -> None:
    kept, in_use = site.make(), site.make(released=False)
    assert site.pool.grants == ["grant", "grant"]
    kept.connection.abort()
    in_use.connection.abort()
    site.clock.advance(0)
    assert site.pool.grants == []
