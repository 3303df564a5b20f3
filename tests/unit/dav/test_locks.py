"""LOCK, UNLOCK, and what they forbid to whom (RFC 4918 sections 6, 7, 9.10 and 9.11)."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav.app import Application
from supercloud.dav.tree import Tree
from supercloud.desk import lock_wire as wire
from supercloud.desk.wire import Message
from tests.fakes.desk import NOW, FakeAsker, FakeDesk
from tests.fakes.wsgi import Answer, Broken, Caller

BOB = os.geteuid() + 5000


def lockinfo(scope: str = "exclusive", owner: str = "<D:owner><D:href>mailto:a@x</D:href></D:owner>") -> bytes:
    return (
        f'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>'
        f"<D:locktype><D:write/></D:locktype>{owner}</D:lockinfo>"
    ).encode()


def application(folder: Path, home: Path, asker: FakeAsker) -> Caller:
    return Caller(Application(Tree({"/": str(folder)}, str(home), "x"), "x", asker))


@pytest.fixture
def bobs(desk: FakeDesk) -> FakeAsker:
    return desk.asker(BOB)


@pytest.fixture
def bob(folder: Path, home: Path, bobs: FakeAsker) -> Caller:
    """Another account's worker over the same files."""
    return application(folder, home, bobs)


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "file"
    made.write_bytes(b"old")
    return made


def lock(dav: Caller, path: str = "/file", scope: str = "exclusive", **fields: str) -> str:
    """The token."""
    answer = dav.ask("LOCK", path, lockinfo(scope), **fields)
    assert answer.status in (200, 201), answer
    return answer.fields["lock-token"].strip("<>")


def told(dav: Caller, path: str) -> bytes:
    ask = b'<D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/></D:prop></D:propfind>'
    return re.sub(rb"\s*\n\s*|ns\d:|D:|xmlns:\w+=\"DAV:\"", b"", dav.ask("PROPFIND", path, ask, depth="0").body)


def test_a_locked_file_is_written_with_its_token_only(dav: Caller, bob: Caller, file: Path) -> None:
    token = lock(dav)

    assert dav.put("/file", b"x").status == 423
    assert bob.put("/file", b"x").status == 423
    assert bob.put("/file", b"x", **{"if": f"(<{token}>)"}).status == 423
    assert file.read_bytes() == b"old"
    assert dav.put("/file", b"new", **{"if": f"(<{token}>)"}).status == 204
    assert file.read_bytes() == b"new"


def test_a_lock_stays_with_the_name_through_each_put(dav: Caller, bob: Caller, file: Path) -> None:
    token = lock(dav)
    for _ in range(3):
        inode = file.stat().st_ino  # of the one before only: what was freed is given out again
        assert dav.put("/file", b"new", **{"if": f"(<{token}>)"}).status == 204
        assert file.stat().st_ino != inode

    assert bob.put("/file").status == 423
    assert token.encode() in told(bob, "/file")
    assert dav.ask("UNLOCK", "/file", lock_token=f"<{token}>").status == 204
    assert bob.put("/file").status == 204


def test_a_lock_that_went_through_a_put_still_holds_its_folder(dav: Caller, bob: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").touch()
    token = lock(dav, "/sub/file")
    dav.put("/sub/file", b"new", **{"if": f"(<{token}>)"})

    assert bob.ask("DELETE", "/sub").status == 423


def test_a_lock_stays_with_a_file_that_is_written_in_place(dav: Caller, bob: Caller, folder: Path, file: Path) -> None:
    os.link(file, folder / "link")
    token = lock(dav)

    assert dav.put("/file", b"new", **{"if": f"(<{token}>)"}).status == 204
    assert bob.put("/link").status == 423


def test_every_way_to_a_file_meets_its_lock(dav: Caller, bob: Caller, folder: Path, file: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "way").symlink_to("sub")
    (folder / "sub" / "link").symlink_to(file)
    os.link(file, folder / "hard")
    lock(dav)
    lock(dav, "/sub/", depth="infinity")

    assert [bob.put(path).status for path in ("/sub/link", "/hard", "/way/new", "/sub/new")] == [423] * 4


METHODS: list[tuple[str, str, dict[str, str]]] = [
    ("PUT", "/sub/file", {}),
    ("DELETE", "/sub/file", {}),
    ("MOVE", "/sub/file", {"destination": "/dav/elsewhere"}),
    ("MOVE", "/other", {"destination": "/dav/sub/file"}),
    ("COPY", "/other", {"destination": "/dav/sub/file"}),
    ("PROPPATCH", "/sub/file", {}),
    ("DELETE", "/sub", {}),
    ("MOVE", "/sub", {"destination": "/dav/elsewhere"}),
    ("COPY", "/folder", {"destination": "/dav/sub"}),
    ("MOVE", "/folder", {"destination": "/dav/sub"}),
    ("MOVE", "/folder", {"destination": "/dav/sub/file"}),
]
PATCH = (
    b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><n:a xmlns:n="urn:n">x</n:a></D:prop></D:set></D:propertyupdate>'
)


@pytest.mark.parametrize(("method", "path", "fields"), METHODS)
def test_what_a_lock_forbids_is_423_and_changes_nothing(
    dav: Caller, bob: Caller, folder: Path, method: str, path: str, fields: dict[str, str]
) -> None:
    for name in ("sub", "folder"):
        (folder / name).mkdir()
    for name in ("sub/file", "other"):
        (folder / name).write_bytes(b"old")
    lock(dav, "/sub/file")
    before = sorted(folder.rglob("*"))

    answer = bob.ask(method, path, PATCH if method == "PROPPATCH" else b"", **fields)

    assert answer.status == 423
    assert sorted(folder.rglob("*")) == before
    assert (folder / "sub" / "file").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("PUT", "/sub/new", {}),
        ("MKCOL", "/sub/new", {}),
        ("LOCK", "/sub/new", {}),
        ("DELETE", "/sub/file", {}),
        ("MOVE", "/sub/file", {"destination": "/dav/elsewhere"}),
        ("COPY", "/other", {"destination": "/dav/sub/new"}),
        ("MOVE", "/other", {"destination": "/dav/sub/new"}),
    ],
)
@pytest.mark.parametrize("depth", ["0", "infinity"])
def test_a_locked_folder_gains_and_loses_no_names(
    dav: Caller, bob: Caller, folder: Path, method: str, path: str, fields: dict[str, str], depth: str
) -> None:
    (folder / "sub").mkdir()
    for name in ("sub/file", "other"):
        (folder / name).write_bytes(b"old")
    lock(dav, "/sub/", depth=depth)
    before = sorted(folder.rglob("*"))

    assert bob.ask(method, path, lockinfo() if method == "LOCK" else b"", **fields).status == 423
    assert sorted(folder.rglob("*")) == before
    assert bob.put("/sub/file").status == (423 if depth == "infinity" else 204)


def test_the_answer_names_where_the_lock_lies(dav: Caller, bob: Caller, folder: Path, file: Path) -> None:
    (folder / "a b").mkdir()
    (folder / "a b" / "x").touch()
    lock(dav)
    lock(dav, "/a%20b/", depth="infinity")

    for path, href in (("/file", b"/dav/file"), ("/a%20b/x", b"/dav/a%20b/")):
        answer = bob.put(path)
        assert answer.fields["content-type"].startswith("application/xml")
        assert b"lock-token-submitted" in answer.body and href + b"<" in answer.body
    assert b"no-conflicting-lock" in bob.ask("LOCK", "/file", lockinfo()).body


def test_names_below_that_the_asker_may_not_read_are_not_told(dav: Caller, bob: Caller, folder: Path) -> None:
    (folder / "sub" / "secret").mkdir(parents=True)
    (folder / "sub" / "secret" / "plan").touch()
    lock(dav, "/sub/secret/plan")

    answer = bob.ask("DELETE", "/sub")

    assert answer.status == 423
    assert b"plan" not in answer.body and b"secret" not in answer.body


def test_deleted_is_unlocked(dav: Caller, bob: Caller, folder: Path, file: Path) -> None:
    token = lock(dav)

    assert dav.ask("DELETE", "/file", **{"if": f"(<{token}>)"}).status == 204
    assert dav.ask("UNLOCK", "/file", lock_token=f"<{token}>").status == 404
    assert bob.put("/file").status == 201


def test_a_lock_does_not_move(dav: Caller, bob: Caller, file: Path) -> None:
    token = lock(dav)

    assert dav.ask("MOVE", "/file", destination="/dav/moved", **{"if": f"(<{token}>)"}).status == 201
    assert bob.put("/moved").status == 204
    assert bob.put("/file").status == 201


def test_locks_below_do_not_move_with_their_folder(dav: Caller, bob: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").touch()
    token = lock(dav, "/sub/file")

    answer = dav.ask("MOVE", "/sub/", destination="/dav/moved/", **{"if": f"</dav/sub/file> (<{token}>)"})

    assert answer.status == 201
    assert bob.put("/moved/file").status == 204


def test_a_copy_is_not_locked_and_the_target_keeps_its_lock(dav: Caller, bob: Caller, folder: Path, file: Path) -> None:
    (folder / "target").write_bytes(b"target")
    source, target = lock(dav), lock(dav, "/target")

    assert dav.ask("COPY", "/file", destination="/dav/copy").status == 201
    assert bob.put("/copy").status == 204
    fields = {"if": f"</dav/target> (<{target}>)"}
    assert dav.ask("COPY", "/file", destination="/dav/target", **fields).status == 204
    assert (folder / "target").read_bytes() == b"old"
    assert bob.put("/target").status == 423
    assert source != target


def test_a_lock_of_nothing_makes_an_empty_file(dav: Caller, bob: Caller, folder: Path) -> None:
    answer = dav.ask("LOCK", "/new", lockinfo())

    assert answer.status == 201
    assert (folder / "new").read_bytes() == b""
    assert bob.put("/new").status == 423


def test_a_file_that_was_made_for_a_lock_goes_when_there_is_none(
    dav: Caller, asker: FakeAsker, folder: Path, file: Path
) -> None:
    def die(request: Message) -> None:
        asker.is_gone = isinstance(request, wire.AcquireLock)

    asker.before = die

    assert dav.ask("LOCK", "/new", lockinfo()).status == 503
    assert not (folder / "new").exists()
    assert dav.ask("LOCK", "/file", lockinfo()).status == 503
    assert file.read_bytes() == b"old"


def test_a_lock_is_told_to_everybody_who_looks(dav: Caller, bob: Caller, folder: Path, file: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x").touch()
    token = lock(dav, timeout="Second-600")
    deep = lock(dav, "/sub/", depth="infinity")

    seen = told(bob, "/file")
    assert f"<locktoken><href>{token}</href></locktoken>".encode() in seen
    assert b"<lockroot><href>/dav/file</href></lockroot>" in seen
    assert b"mailto:a@x" in seen
    assert b"<depth>0</depth>" in seen
    inherited = told(bob, "/sub/x")
    assert deep.encode() in inherited
    assert b"<lockroot><href>/dav/sub/</href></lockroot>" in inherited


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        ("Second-600", 600),
        ("Infinite, Second-10", wire.MOST_SECONDS),
        ("Second-4100000000", wire.MOST_SECONDS),
        ("", 3600),
    ],
)
def test_a_lock_lasts_as_long_as_asked_up_to_a_week(
    dav: Caller, desk: FakeDesk, file: Path, timeout: str, seconds: int
) -> None:
    token = lock(dav, **({"timeout": timeout} if timeout else {}))

    [found] = desk.asker().ask(wire.ReadLock(token), wire.Found).locks
    assert found.left == seconds


def test_a_lock_ends_unless_it_is_refreshed(dav: Caller, bob: Caller, desk: FakeDesk, file: Path) -> None:
    token = lock(dav, timeout="Second-100")
    desk.now = NOW + 90
    assert dav.ask("LOCK", "/file", **{"if": f"(<{token}>)"}, timeout="Second-100").status == 200
    desk.now = NOW + 180
    assert bob.put("/file").status == 423
    desk.now = NOW + 190

    assert bob.put("/file").status == 204
    assert dav.ask("LOCK", "/file", **{"if": f"(<{token}>)"}).status == 412


def test_bob_neither_refreshes_nor_removes_alices_lock(dav: Caller, bob: Caller, file: Path) -> None:
    token = lock(dav)

    assert bob.ask("LOCK", "/file", **{"if": f"(<{token}>)"}).status == 403
    assert dav.ask("PUT", "/file", b"x").status == 423


def test_a_lock_that_was_moved_away_by_other_means_is_not_refreshed(dav: Caller, file: Path) -> None:
    token = lock(dav)
    file.rename(file.with_name("elsewhere"))
    file.touch()

    assert dav.ask("LOCK", "/elsewhere", **{"if": f"(<{token}>)"}).status == 412


def test_a_token_of_another_resource_unlocks_nothing(dav: Caller, folder: Path, file: Path) -> None:
    (folder / "other").touch()
    token = lock(dav)

    assert dav.ask("UNLOCK", "/other", lock_token=f"<{token}>").status == 409
    assert dav.ask("UNLOCK", "/file", lock_token="<urn:uuid:nothing>").status == 409
    assert dav.ask("UNLOCK", "/file", lock_token=f"<{'x' * 5000}>").status == 409
    assert dav.put("/file").status == 423


def test_shared_locks_bind_who_has_none(dav: Caller, bob: Caller, file: Path) -> None:
    token = lock(dav, scope="shared")
    assert bob.put("/file").status == 423
    theirs = bob.ask("LOCK", "/file", lockinfo("shared"))

    assert theirs.status == 200
    assert bob.put("/file", **{"if": f"({theirs.fields['lock-token']})"}).status == 204
    assert dav.put("/file", **{"if": f"(<{token}>)"}).status == 204
    assert dav.ask("LOCK", "/file", lockinfo("exclusive")).status == 423


class Replacing:
    """Somebody who puts another file in the place of one, past the portal, when a request of a kind is asked."""

    def __init__(self, asker: FakeAsker, file: Path, kind: type[Message], times: int) -> None:
        self._file = file
        self._kind = kind
        self.left = times
        asker.before = self

    def __call__(self, request: Message) -> None:
        if isinstance(request, self._kind) and self.left:
            self.left -= 1
            self._file.with_name("new").write_bytes(b"another")
            self._file.with_name("new").rename(self._file)


@pytest.mark.parametrize("links", [1, 2])
def test_a_lock_is_on_what_bears_the_name_when_it_is_granted(
    dav: Caller, bob: Caller, asker: FakeAsker, file: Path, links: int
) -> None:
    if links == 2:
        os.link(file, file.with_name("link"))
    Replacing(asker, file, wire.AcquireLock, 2)
    lock(dav)

    assert bob.put("/file").status == 423
    assert file.read_bytes() == b"another"


def test_a_file_that_is_replaced_all_the_time_is_not_locked(
    dav: Caller, bob: Caller, asker: FakeAsker, file: Path
) -> None:
    Replacing(asker, file, wire.AcquireLock, 100)

    assert dav.ask("LOCK", "/file", lockinfo()).status == 409
    assert bob.put("/file").status == 204


def test_an_upload_begins_anew_when_its_file_is_replaced(dav: Caller, asker: FakeAsker, file: Path) -> None:
    Replacing(asker, file, wire.BeginWrite, 2)

    assert dav.put("/file", b"mine").status == 204
    assert file.read_bytes() == b"mine"


def test_an_upload_does_not_replace_another_file_that_was_locked_meanwhile(
    dav: Caller, bob: Caller, file: Path
) -> None:
    class Slow(Broken):
        def readinto(self, buffer: Any) -> int:
            file.with_name("new").write_bytes(b"another")
            file.with_name("new").rename(file)
            bob.ask("LOCK", "/file", lockinfo())
            return super().readinto(buffer)

    assert dav.ask("PUT", "/file", Slow(b"mine"), length=4).status == 423
    assert file.read_bytes() == b"another"


def test_an_upload_replaces_what_took_the_place_of_its_file(dav: Caller, file: Path) -> None:
    class Slow(Broken):
        def readinto(self, buffer: Any) -> int:
            file.with_name("new").write_bytes(b"another")
            file.with_name("new").rename(file)
            return super().readinto(buffer)

    assert dav.ask("PUT", "/file", Slow(b"mine"), length=4).status == 204
    assert file.read_bytes() == b"mine"


def test_who_may_not_write_a_file_may_not_lock_it(dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = os.open

    def denied(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_ACCMODE == os.O_WRONLY and not flags & os.O_PATH:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open_(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", denied)
    assert dav.ask("LOCK", "/file", lockinfo()).status == 403


def test_who_does_not_own_a_folder_may_not_lock_all_that_is_in_it(bob: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub").chmod(0o777)

    assert bob.ask("LOCK", "/sub/", lockinfo(), depth="infinity").status == 403
    assert bob.ask("LOCK", "/sub/", lockinfo(), depth="0").status == 200


def test_no_lock_is_granted_while_a_slow_upload_comes(dav: Caller, bob: Caller, file: Path) -> None:
    answers: list[Answer] = []

    class Slow(Broken):
        def readinto(self, buffer: Any) -> int:
            answers.append(bob.ask("LOCK", "/file", lockinfo()))
            return super().readinto(buffer)

    assert dav.ask("PUT", "/file", Slow(b"new"), length=3).status == 204
    assert {answer.status for answer in answers} == {423}
    assert bob.ask("LOCK", "/file", lockinfo()).status == 200


@pytest.mark.parametrize(("target", "status"), [("/file", 423), ("/new", 423)])
def test_an_upload_does_not_replace_what_was_made_and_locked_meanwhile(
    dav: Caller, bob: Caller, folder: Path, target: str, status: int
) -> None:
    class Slow(Broken):
        def readinto(self, buffer: Any) -> int:
            bob.ask("LOCK", target, lockinfo())
            return super().readinto(buffer)

    assert dav.ask("PUT", target, Slow(b"mine"), length=4).status == status
    assert (folder / target[1:]).read_bytes() == b""


def test_an_upload_makes_nothing_in_a_folder_that_was_locked_meanwhile(dav: Caller, bob: Caller, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub").chmod(0o777)

    class Slow(Broken):
        def readinto(self, buffer: Any) -> int:
            bob.ask("LOCK", "/sub/", lockinfo(), depth="0")
            return super().readinto(buffer)

    assert dav.ask("PUT", "/sub/new", Slow(b"mine"), length=4).status == 423
    assert list((folder / "sub").iterdir()) == []


CHANGES: list[tuple[str, str, dict[str, str]]] = [
    ("PUT", "/new", {}), ("PUT", "/file", {}), ("MKCOL", "/sub", {}), ("DELETE", "/file", {}),
    ("COPY", "/file", {"destination": "/dav/new"}), ("MOVE", "/file", {"destination": "/dav/new"}),
    ("LOCK", "/file", {}), ("LOCK", "/new", {}), ("PROPPATCH", "/file", {}), ("UNLOCK", "/file", {"lock_token": "<x>"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "fields"), CHANGES)
def test_while_the_portal_does_not_answer_nothing_is_changed(
    dav: Caller, asker: FakeAsker, folder: Path, file: Path, method: str, path: str, fields: dict[str, str]
) -> None:
    asker.is_gone = True
    body = {"LOCK": lockinfo(), "PROPPATCH": PATCH, "PUT": b"x"}.get(method, b"")

    answer = dav.ask(method, path, body, **fields)

    assert answer.status == 503
    assert answer.fields["retry-after"] == "5"
    assert b"Try again" in answer.body
    assert [made.name for made in folder.iterdir()] == ["file"]
    assert file.read_bytes() == b"old"


def test_while_the_portal_does_not_answer_files_are_read(dav: Caller, asker: FakeAsker, file: Path) -> None:
    asker.is_gone = True

    assert dav.ask("GET", "/file").body == b"old"
    assert dav.ask("PROPFIND", "/", depth="1").status == 207
    assert dav.ask("OPTIONS", "/").status == 200


def test_a_portal_that_goes_away_before_the_end_leaves_the_old_file(dav: Caller, asker: FakeAsker, file: Path) -> None:
    token = lock(dav)

    def die(request: Message) -> None:
        asker.is_gone = asker.is_gone or isinstance(request, wire.ExpectWrite)

    asker.before = die

    assert dav.put("/file", b"new", **{"if": f"(<{token}>)"}).status == 503
    assert file.read_bytes() == b"old"
    assert [made.name for made in file.parent.iterdir()] == ["file"]


def test_a_lock_that_may_be_lost_is_told(dav: Caller, asker: FakeAsker, file: Path) -> None:
    token = lock(dav)

    def die(request: Message) -> None:
        asker.is_gone = asker.is_gone or isinstance(request, wire.FollowWrite)

    asker.before = die
    answer = dav.put("/file", b"new", **{"if": f"(<{token}>)"})

    assert answer.status == 503
    assert b"It was written" in answer.body
    assert file.read_bytes() == b"new"


def test_a_program_that_runs_is_replaced_all_the_same(dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = os.open

    def busy(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_ACCMODE == os.O_WRONLY and not flags & os.O_PATH:
            raise OSError(errno.ETXTBSY, os.strerror(errno.ETXTBSY))
        return open_(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", busy)
    assert dav.put("/file", b"new").status == 204


HOSTILE: list[bytes] = [
    b"", b"not xml", b"<x/>", b'<!DOCTYPE x [<!ENTITY a "b">]><owner xmlns="DAV:">&a;</owner>',
    b'<owner xmlns="DAV:"/><evil/>', b'<owner xmlns="DAV:">' + b"<a>" * 200 + b"</a>" * 200 + b"</owner>", b"\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize("owner", HOSTILE)
def test_an_owner_element_that_bob_made_up_breaks_no_listing_of_alices(
    dav: Caller, bobs: FakeAsker, file: Path, owner: bytes
) -> None:
    handle = os.open(file, os.O_WRONLY)
    bobs.ask(wire.AcquireLock("shared", "0", 60, owner, "/file", ()), wire.Granted, descriptors=(handle,))
    os.close(handle)

    seen = told(dav, "/file")
    assert b"<activelock>" in seen.replace(b"<activelock >", b"<activelock>")
    assert b"evil" not in seen and b"ENTITY" not in seen
    assert dav.ask("LOCK", "/file", lockinfo("shared")).status == 200


def test_an_owner_element_that_is_too_long_is_refused(dav: Caller, file: Path) -> None:
    assert dav.ask("LOCK", "/file", lockinfo(owner=f"<D:owner>{'x' * 5000}</D:owner>")).status == 413


def test_a_lock_in_a_condition_must_cover_the_resource(dav: Caller, folder: Path, file: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x").touch()
    deep = lock(dav, "/sub/", depth="infinity")

    assert dav.put("/file", **{"if": f"(<{deep}>)"}).status == 412
    assert dav.put("/sub/x", **{"if": f"(<{deep}>)"}).status == 204
    assert dav.put("/sub/new", **{"if": f"(<{deep}>)"}).status == 201
    assert dav.put("/file", **{"if": f"(Not <{deep}>)"}).status == 204


def test_hundreds_of_tokens_are_no_error(dav: Caller, file: Path) -> None:
    token = lock(dav)
    many = " ".join(f"<urn:uuid:{number}>" for number in range(500))

    assert dav.put("/file", **{"if": f"(<{token}>) ({many})"}).status == 204
    assert dav.put("/file", **{"if": f"(<{token}> Not <{'x' * 1000}>)"}).status == 204


def test_locked_members_are_found_in_one_question(dav: Caller, asker: FakeAsker, folder: Path, file: Path) -> None:
    (folder / "other").touch()
    lock(dav)
    locks = dav._app.guard.locks  # type: ignore[attr-defined]
    pairs = [(made.stat().st_dev, made.stat().st_ino) for made in (folder / "other", file)] * 1000
    asker.asked.clear()

    assert locks.locked_among(pairs) == set(range(1, 2000, 2))
    assert asker.asked == [wire.FilterLocked] * 2


def test_what_cannot_be_asked_about_is_not_shown(dav: Caller, asker: FakeAsker, file: Path) -> None:
    lock(dav)
    locks = dav._app.guard.locks  # type: ignore[attr-defined]
    asker.is_gone = True

    assert locks.locked_among([(1, 2)]) == set()
    assert locks.get_url_lock_list("/file") == []
    assert locks.get_url_lock_list("/../x") == []


def test_a_file_that_is_not_locked_costs_two_questions(dav: Caller, asker: FakeAsker) -> None:
    dav.put("/new")
    assert asker.asked == [wire.CheckWrite, wire.CheckWrite]
    asker.asked.clear()

    dav.put("/new")
    assert asker.asked == [wire.BeginWrite, wire.EndWrite]
