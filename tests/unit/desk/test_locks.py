"""The book of locks: granted, checked, refreshed, removed, moved on."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from supercloud.desk import locks as module
from supercloud.desk.lock_wire import MOST_OWNER, Begun, Conflict, Free, Granted, Obstacle
from supercloud.desk.locks import LockBook
from supercloud.desk.proof import Proof
from supercloud.desk.properties import PropertyBook
from supercloud.desk.store import Store
from supercloud.desk.wire import Key, Refusal
from tests.unit.desk.proofs import ABOVE, ALICE, BOB, FILE, OTHER, PROJ, ROOT, Clock, granted, proof, wanted

ASKER, ANOTHER = object(), object()


def refused(code: str, call: object, *args: object) -> None:
    with pytest.raises(Refusal) as caught:
        call(*args)  # type: ignore[operator]
    assert caught.value.code == code


def may(book: LockBook, uid: int, key: Key = FILE, *tokens: str, within: Proof | None = None) -> bool:
    return isinstance(book.check(ASKER, uid, key, ABOVE[key], tokens=tokens, within=within), Free)


def test_a_lock_binds_everybody_who_does_not_name_it(book: LockBook) -> None:
    lock = granted(book, ALICE)

    assert not may(book, BOB)
    assert not may(book, ALICE)
    assert may(book, ALICE, FILE, lock.token)
    assert not may(book, BOB, FILE, lock.token)
    assert may(book, BOB, OTHER)


def test_a_second_exclusive_lock_is_not_granted_and_the_first_is_named(book: LockBook) -> None:
    granted(book, ALICE)

    assert book.acquire(BOB, proof(), wanted()) == Conflict((Obstacle(FILE),))
    assert book.acquire(BOB, proof(), wanted(scope="shared")) == Conflict((Obstacle(FILE),))


def test_shared_locks_stand_beside_each_other(book: LockBook) -> None:
    first, second = granted(book, ALICE, scope="shared"), granted(book, BOB, scope="shared")

    assert first.token != second.token
    assert may(book, BOB, FILE, second.token)
    assert not may(book, BOB, FILE, first.token)


def test_infinite_depth_binds_what_is_below_and_is_hindered_by_it(book: LockBook) -> None:
    lock = granted(book, ALICE, PROJ, depth="infinity")
    assert not may(book, BOB)
    assert may(book, ALICE, FILE, lock.token)
    assert book.acquire(BOB, proof(), wanted()) == Conflict((Obstacle(PROJ),))
    book.release(ALICE, lock.token)

    granted(book, BOB)
    assert book.acquire(ALICE, proof(PROJ), wanted(PROJ, depth="infinity")) == Conflict((Obstacle(None),))
    granted(book, ALICE, PROJ)


def test_depth_0_binds_the_folder_only(book: LockBook) -> None:
    granted(book, ALICE, PROJ)

    assert may(book, BOB)
    assert not may(book, BOB, PROJ)


def test_a_tree_cannot_be_removed_while_something_in_it_is_locked(book: LockBook) -> None:
    lock = granted(book, ALICE)

    assert not may(book, BOB, PROJ, within=proof(PROJ))
    assert may(book, BOB, PROJ)
    assert book.check(ASKER, ALICE, PROJ, (ROOT,), tokens=[lock.token], within=proof(PROJ)) == Free((lock.id,))


def test_a_folder_whose_name_begins_alike_is_another_one(book: LockBook) -> None:
    granted(book, ALICE)

    assert may(book, BOB, PROJ, within=proof(PROJ, path=b"/pro"))
    assert may(book, BOB, PROJ, within=proof(PROJ, path=b"/proj/fil"))
    assert not may(book, BOB, ROOT, within=proof(ROOT))


def test_what_lies_below_is_not_named_to_others(book: LockBook) -> None:
    granted(book, ALICE)

    answer = book.check(ASKER, BOB, PROJ, (ROOT,), tokens=[], within=proof(PROJ))

    assert answer == Conflict((Obstacle(None),))


def test_nobody_locks_what_they_cannot_write(book: LockBook) -> None:
    refused("not-writable", book.acquire, BOB, proof(may_write=False), wanted())
    refused("not-writable", book.begin, ASKER, BOB, proof(may_write=False), (), ())
    refused("not-writable", book.begin, ASKER, BOB, proof(PROJ), (), ())


def test_nobody_closes_a_folder_of_others_by_a_lock_on_all_that_is_below(book: LockBook) -> None:
    theirs = proof(PROJ, is_own=False)

    refused("not-owner", book.acquire, BOB, theirs, wanted(PROJ, depth="infinity"))
    granted_ = book.acquire(BOB, theirs, wanted(PROJ))
    assert not isinstance(granted_, Conflict)


def test_nobody_closes_tmp_by_a_lock(book: LockBook) -> None:
    refused("not-owner", book.acquire, BOB, proof(PROJ, is_own=False, is_sticky=True), wanted(PROJ))


def test_a_lock_ends_with_its_time(book: LockBook, clock: Clock) -> None:
    granted(book, ALICE, seconds=60)
    clock.now += 59.9
    assert not may(book, BOB)
    clock.now += 0.1
    assert may(book, BOB)
    granted(book, BOB)


def test_a_refreshed_lock_holds_on(book: LockBook, clock: Clock) -> None:
    lock = granted(book, ALICE, seconds=60)
    clock.now += 50

    assert book.refresh(ALICE, lock.token, 100).lock.left == 100
    clock.now += 99
    assert not may(book, BOB)


def test_others_neither_refresh_nor_remove_a_lock(book: LockBook) -> None:
    lock = granted(book, ALICE)

    refused("not-yours", book.refresh, BOB, lock.token, 60)
    refused("not-yours", book.release, BOB, lock.token)
    book.drop(BOB, [lock.id])
    assert not may(book, BOB)


def test_an_expired_lock_is_not_refreshed(book: LockBook, clock: Clock) -> None:
    lock = granted(book, ALICE, seconds=60)
    clock.now += 60

    refused("unknown-lock", book.refresh, ALICE, lock.token, 60)
    refused("unknown-lock", book.release, ALICE, "urn:uuid:nothing")


def test_tokens_are_never_the_same_nor_guessed_from_each_other(book: LockBook) -> None:
    tokens = {granted(book, ALICE, scope="shared").token for _ in range(50)}

    assert len(tokens) == 50
    assert all(token.startswith("urn:uuid:") and len(token) == 45 for token in tokens)


def test_the_root_is_told_to_the_owner_only(book: LockBook) -> None:
    lock = granted(book, ALICE, href="/home/alice/secret-name")

    assert book.read(ALICE, lock.token).locks[0].href == "/home/alice/secret-name"
    assert book.read(BOB, lock.token).locks[0].href == ""
    assert book.find(BOB, [FILE], 0).locks[0].href == ""


def test_many_locks_are_told_in_several_answers(book: LockBook) -> None:
    made = [granted(book, ALICE, scope="shared", owner=b"x" * 4096).id for _ in range(30)]
    told: list[int] = []
    is_complete = False
    while not is_complete:
        answer = book.find(ALICE, [FILE], told[-1] if told else 0)
        told += [lock.id for lock in answer.locks]
        is_complete = answer.is_complete

    assert told == made


@pytest.mark.parametrize("few", [0, 1, 2000])
def test_locked_ones_are_found_among_many(book: LockBook, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEW", few)
    granted(book, ALICE)
    granted(book, ALICE, PROJ)

    assert book.filter([(1, 99), (1, FILE.inode), (2, FILE.inode), (1, PROJ.inode)]).positions == (1, 3)
    assert book.filter([]).positions == ()


def test_one_account_cannot_use_up_all_locks(store: Store, properties: PropertyBook, clock: Clock) -> None:
    book = LockBook(store, properties, now=clock, per_uid=2)
    granted(book, ALICE, scope="shared")
    granted(book, ALICE, scope="shared")
    refused("too-many", book.acquire, ALICE, proof(), wanted(scope="shared"))

    granted(book, BOB, scope="shared")


def test_ten_accounts_that_fill_the_book_keep_nobody_else_out_of_it(
    store: Store, properties: PropertyBook, clock: Clock
) -> None:
    book = LockBook(store, properties, now=clock, per_uid=10, in_all=100, share=3)
    for uid in range(5001, 5011):
        for _ in range(10):
            granted(book, uid, scope="shared")
    for _ in range(3):
        granted(book, ALICE, scope="shared")
    refused("full", book.acquire, ALICE, proof(), wanted(scope="shared"))
    granted(book, BOB, scope="shared")


def test_one_account_cannot_fill_the_disk_by_what_it_writes_into_locks(
    store: Store, properties: PropertyBook, clock: Clock
) -> None:
    book = LockBook(store, properties, now=clock, most_bytes=1000)
    held = msgspec.structs.replace(wanted(scope="shared"), owner=b"x" * 400)
    for _ in range(2):
        assert isinstance(book.acquire(ALICE, proof(), held), Granted)
    refused("too-many", book.acquire, ALICE, proof(), held)
    assert isinstance(book.acquire(BOB, proof(), held), Granted)


def test_locks_that_ended_make_room(store: Store, properties: PropertyBook, clock: Clock) -> None:
    book = LockBook(store, properties, now=clock, per_uid=1)
    granted(book, ALICE, seconds=10)
    clock.now += 10

    granted(book, ALICE)


def test_locks_outlive_the_process(book: LockBook, store: Store, store_path: Path, clock: Clock) -> None:
    lock = granted(book, ALICE)
    store.close()
    again = Store(store_path)
    again.open()
    later = LockBook(again, PropertyBook(again, now=clock), now=clock)

    assert not may(later, BOB)
    assert may(later, ALICE, FILE, lock.token)
    again.close()


def test_a_file_of_the_same_inode_number_is_not_the_locked_one(book: LockBook) -> None:
    granted(book, ALICE)
    reborn = Key(FILE.device, FILE.inode, FILE.born + 1)

    assert isinstance(book.check(ASKER, BOB, reborn, ABOVE[FILE], tokens=[]), Free)


def begun(book: LockBook, uid: int = ALICE, *tokens: str, asker: object = ASKER) -> Begun:
    answer = book.begin(asker, uid, proof(), ABOVE[FILE], tokens)
    assert isinstance(answer, Begun)
    return answer


def test_no_lock_is_granted_on_what_is_being_written(book: LockBook) -> None:
    write = begun(book)

    assert book.acquire(BOB, proof(), wanted()) == Conflict((Obstacle(FILE),))
    assert book.acquire(BOB, proof(PROJ), wanted(PROJ, depth="infinity")) == Conflict((Obstacle(PROJ),))
    granted(book, BOB, PROJ)
    book.writes.end(ASKER, write.write)
    granted(book, BOB)


def test_a_write_that_a_lock_forbids_is_not_begun_and_holds_nothing_up(book: LockBook) -> None:
    lock = granted(book, ALICE, scope="shared")

    assert isinstance(book.begin(ASKER, BOB, proof(), ABOVE[FILE], ()), Conflict)
    granted(book, BOB, scope="shared")
    assert begun(book, ALICE, lock.token).must_follow


def test_without_locks_or_properties_nothing_has_to_follow(book: LockBook, properties: PropertyBook) -> None:
    assert not begun(book).must_follow
    properties.replace(ALICE, proof(), {"{x}y": b"<y/>"})
    assert begun(book).must_follow


NEW = Key(1, 40, 9)


def test_a_lock_goes_over_to_what_takes_the_name(book: LockBook, properties: PropertyBook) -> None:
    lock = granted(book, ALICE)
    properties.replace(ALICE, proof(), {"{x}y": b"<y/>"})
    write = book.writes.find(ASKER, begun(book, ALICE, lock.token).write)
    new = proof(NEW, path=b"/proj/file", is_folder=False)
    book.expect(write, new)
    assert book.check(ANOTHER, BOB, NEW, ABOVE[FILE], tokens=[]) == Conflict((Obstacle(NEW),))

    book.follow(write, ALICE, new)
    book.writes.end(ASKER, write.number)

    assert isinstance(book.check(ANOTHER, BOB, NEW, ABOVE[FILE], tokens=[]), Conflict)
    assert isinstance(book.check(ANOTHER, BOB, FILE, ABOVE[FILE], tokens=[]), Free)
    assert isinstance(book.check(ANOTHER, ALICE, NEW, ABOVE[FILE], tokens=[lock.token]), Free)
    assert properties.read(new) == {"{x}y": b"<y/>"}


def test_a_lock_of_somebody_else_is_not_carried_off_to_another_place(book: LockBook) -> None:
    theirs, mine = granted(book, BOB, scope="shared"), granted(book, ALICE, scope="shared")
    write = book.writes.find(ASKER, begun(book, ALICE, mine.token).write)

    book.follow(write, ALICE, proof(NEW, path=b"/home/alice/elsewhere", is_folder=False))

    assert [lock.token for lock in book.find(BOB, [FILE], 0).locks] == [theirs.token]
    assert [lock.token for lock in book.find(BOB, [NEW], 0).locks] == [mine.token]


@pytest.mark.parametrize("bad", [{"may_write": False}, {"is_folder": True}])
def test_a_lock_follows_to_nothing_that_cannot_be_written(book: LockBook, bad: dict[str, bool]) -> None:
    lock = granted(book, ALICE)
    write = book.writes.find(ASKER, begun(book, ALICE, lock.token).write)
    new = proof(NEW, **{"is_folder": False, **bad})

    refused("not-writable", book.expect, write, new)
    refused("not-writable", book.follow, write, ALICE, new)


def test_behind_every_number_there_is_no_lock(book: LockBook) -> None:
    granted(book, ALICE)

    assert book.find(ALICE, [FILE], 2**64 - 1).locks == ()


def memory_of(call: Callable[[], object]) -> int:
    """Bytes that a call takes at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_very_many_large_locks_take_little_memory(book: LockBook) -> None:
    large = wanted(scope="shared", owner=b"x" * MOST_OWNER, href="/" * 16_000)
    for number in range(200):
        book.acquire(ALICE, proof(path=b"/proj/%d" % number), large)

    assert memory_of(lambda: may(book, BOB, PROJ, within=proof(PROJ))) < 1_000_000
    assert memory_of(lambda: book.find(BOB, [FILE], 0)) < 1_000_000
