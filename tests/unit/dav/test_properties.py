"""Dead properties: with the file, at the portal where the file system takes none, and wherever the file goes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from defusedxml.ElementTree import fromstring

from supercloud.dav.app import make_app
from supercloud.dav.properties import ATTRIBUTE
from supercloud.desk.property_wire import MOST_BYTES, MOST_NUMBER, MOST_VALUE, ReadProperties, ReplaceProperties
from tests.fakes.desk import FakeAsker
from tests.fakes.wsgi import Answer, Caller


def patch(**values: str | None) -> bytes:
    """A PROPPATCH that sets those with a value, and removes the others, in order."""
    parts = [
        f"<D:remove><D:prop><n:{name}/></D:prop></D:remove>"
        if value is None
        else f"<D:set><D:prop><n:{name}>{value}</n:{name}></D:prop></D:set>"
        for name, value in values.items()
    ]
    return f'<D:propertyupdate xmlns:D="DAV:" xmlns:n="urn:n">{"".join(parts)}</D:propertyupdate>'.encode()


def set_(dav: Caller, path: str, **values: str | None) -> bytes:
    answer = dav.ask("PROPPATCH", path, patch(**values))
    assert answer.status == 207, answer
    return answer.body


def get(dav: Caller, path: str, name: str = "mood") -> bytes:
    """The whole answer about one property."""
    ask = f'<D:propfind xmlns:D="DAV:"><D:prop><n:{name} xmlns:n="urn:n"/></D:prop></D:propfind>'
    answer: Answer = dav.ask("PROPFIND", path, ask.encode(), depth="0")
    assert answer.status == 207
    return answer.body


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "file"
    made.write_bytes(b"old")
    return made


class NoAttributes:
    """A file system without extended attributes, as NFSv3, or one that takes few bytes of them, as ext4."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most: int | None = None
        for name in ("getxattr", "setxattr", "removexattr"):
            monkeypatch.setattr(os, name, self._replaced(name, getattr(os, name)))

    def _replaced(self, kind: str, real: Any) -> Any:
        def call(file: Any, name: str, *rest: Any, **named: Any) -> Any:
            if name != ATTRIBUTE:
                return real(file, name, *rest, **named)
            if self.most is None:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            if kind == "setxattr" and len(rest[0]) > self.most:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(file, name, *rest, **named)

        return call


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[NoAttributes]:
    with monkeypatch.context() as patched:
        yield NoAttributes(patched)


@pytest.fixture(params=["attributes", "portal", "little room"])
def kept(request: pytest.FixtureRequest) -> str:
    """Where they are kept."""
    if request.param != "attributes":
        request.getfixturevalue("bare").most = None if request.param == "portal" else 10
    return str(request.param)


@pytest.mark.usefixtures("kept")
class TestWhereverTheyAreKept:
    """The same for clients."""

    def test_what_was_set_is_found_until_it_is_removed(self, dav: Caller, file: Path) -> None:
        set_(dav, "/file", mood="calm", other="x")
        assert b"calm" in get(dav, "/file")
        set_(dav, "/file", mood="wild")
        assert b"wild" in get(dav, "/file") and b"calm" not in get(dav, "/file")
        set_(dav, "/file", mood=None, nothing=None)
        assert b"404" in get(dav, "/file")
        assert b">x<" in get(dav, "/file", "other")

    def test_folders_have_them_too(self, dav: Caller, folder: Path) -> None:
        (folder / "sub").mkdir()
        set_(dav, "/sub/", mood="calm")
        assert b"calm" in get(dav, "/sub/")
        set_(dav, "/sub/", mood=None)
        assert b"404" in get(dav, "/sub/")

    def test_they_stay_through_a_put(self, dav: Caller, file: Path) -> None:
        set_(dav, "/file", mood="calm")
        assert dav.put("/file", b"new").status == 204
        assert b"calm" in get(dav, "/file")

    def test_they_stay_with_a_file_that_is_written_in_place(self, dav: Caller, folder: Path, file: Path) -> None:
        os.link(file, folder / "link")
        set_(dav, "/file", mood="calm")
        dav.put("/file", b"new")
        assert b"calm" in get(dav, "/link")

    def test_they_go_with_a_move(self, dav: Caller, folder: Path, file: Path) -> None:
        set_(dav, "/file", mood="calm")
        (folder / "sub").mkdir()
        assert dav.ask("MOVE", "/file", destination="/dav/sub/file").status == 201
        assert dav.ask("MOVE", "/sub/", destination="/dav/moved/").status == 201
        assert b"calm" in get(dav, "/moved/file")

    def test_they_are_copied_with_a_tree(self, dav: Caller, folder: Path) -> None:
        (folder / "tree" / "sub").mkdir(parents=True)
        (folder / "tree" / "sub" / "file").touch()
        for path in ("/tree/", "/tree/sub/", "/tree/sub/file"):
            set_(dav, path, mood="calm")
        assert dav.ask("COPY", "/tree/", destination="/dav/copy/").status == 201
        set_(dav, "/tree/sub/file", mood="wild")
        for path in ("/copy/", "/copy/sub/", "/copy/sub/file"):
            assert b"calm" in get(dav, path)

    def test_a_copy_over_a_file_has_those_of_its_source_only(self, dav: Caller, folder: Path, file: Path) -> None:
        (folder / "target").touch()
        set_(dav, "/target", mood="wild", other="x")
        set_(dav, "/file", mood="calm")
        assert dav.ask("COPY", "/file", destination="/dav/target").status == 204
        assert b"calm" in get(dav, "/target")
        assert b"404" in get(dav, "/target", "other")

    def test_a_copy_of_what_has_none_has_none(self, dav: Caller, folder: Path, file: Path) -> None:
        (folder / "target").touch()
        set_(dav, "/target", mood="wild")
        assert dav.ask("COPY", "/file", destination="/dav/target").status == 204
        assert b"404" in get(dav, "/target")

    def test_a_new_file_of_an_old_name_has_none(self, dav: Caller, file: Path) -> None:
        set_(dav, "/file", mood="calm")
        dav.ask("DELETE", "/file")
        dav.put("/file")
        assert b"404" in get(dav, "/file")

    def test_too_much_is_refused_whole(self, dav: Caller, file: Path) -> None:
        half = "x" * (MOST_VALUE - 100)
        set_(dav, "/file", mood="calm")
        answer = set_(dav, "/file", a=half, b=half, mood="wild", c=half)
        assert b"507" in answer and b"424" in answer
        assert b"calm" in get(dav, "/file")
        assert b"404" in get(dav, "/file", "a")
        assert 3 * len(half) > MOST_BYTES

    def test_values_are_xml_as_it_was(self, dav: Caller, file: Path) -> None:
        set_(dav, "/file", mood='<n:a b="&lt;&amp;">\u00e9 &#x1F600;</n:a>')
        [told] = fromstring(get(dav, "/file")).iter("{urn:n}a")
        assert (told.get("b"), told.text) == ("<&", "\u00e9 \U0001f600")

    def test_a_listing_asks_about_those_members_that_have_any(
        self, dav: Caller, asker: FakeAsker, folder: Path
    ) -> None:
        (folder / "sub").mkdir()
        for name in ("a", "b \u00e9", "c"):
            (folder / name).touch()
        set_(dav, "/b%20%C3%A9", mood="calm")
        set_(dav, "/sub/", mood="wild")
        asker.asked.clear()

        body = dav.ask("PROPFIND", "/", depth="1").body

        assert body.count(b"calm") == body.count(b"wild") == 1
        assert asker.asked.count(ReadProperties) <= 5  # for the folder itself, and twice for each of the two


def stored(file: Path) -> dict[str, bytes]:
    return msgspec.msgpack.decode(os.getxattr(file, ATTRIBUTE), type=dict[str, bytes])


def test_they_are_one_attribute_of_the_file_and_the_portal_is_not_asked(
    dav: Caller, asker: FakeAsker, file: Path
) -> None:
    set_(dav, "/file", mood="calm")
    get(dav, "/file")
    set_(dav, "/file", mood=None)

    assert ReadProperties not in asker.asked and ReplaceProperties not in asker.asked
    assert ATTRIBUTE not in os.listxattr(file)


def test_what_finds_no_room_in_the_file_goes_to_the_portal_and_back(
    dav: Caller, asker: FakeAsker, bare: NoAttributes, file: Path
) -> None:
    bare.most = 400
    set_(dav, "/file", mood="calm")
    assert list(stored(file)) == ["{urn:n}mood"]
    set_(dav, "/file", large="x" * 1000)
    assert os.getxattr(file, ATTRIBUTE) == b""
    assert b"calm" in get(dav, "/file") and b"xxx" in get(dav, "/file", "large")

    set_(dav, "/file", large=None)
    assert list(stored(file)) == ["{urn:n}mood"]
    os.removexattr(file, ATTRIBUTE)
    assert b"404" in get(dav, "/file")


def test_a_used_up_quota_is_told(dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "setxattr", full)
    answer = set_(dav, "/file", mood="calm")
    assert b"507" in answer
    assert b"exception" not in answer and b"proc" not in answer


def test_they_go_to_a_file_system_that_has_less_room_for_them(
    dav: Caller, bare: NoAttributes, folder: Path, file: Path
) -> None:
    bare.most = 10**6
    set_(dav, "/file", mood="calm")
    bare.most = 10
    assert dav.ask("COPY", "/file", destination="/dav/copy").status == 201

    assert os.getxattr(folder / "copy", ATTRIBUTE) == b""
    assert b"calm" in get(dav, "/copy")


def test_without_a_portal_they_are_kept_where_they_can_be(
    folder: Path, home: Path, file: Path, bare: NoAttributes
) -> None:
    dav = Caller(make_app({"/": str(folder)}, str(home), None))
    bare.most = 10**6
    set_(dav, "/file", mood="calm")
    assert b"calm" in get(dav, "/file")
    bare.most = None
    assert b"404" in get(dav, "/file")
    assert b"403" in set_(dav, "/file", mood="calm")


HOSTILE: list[bytes] = [
    b"\x81\xa2\xff\xff\xc4\x01x", b"\x81\xa1x" + b"\x91" * 3000 + b"\xc0",
    b"\xff", b"\x80\x80", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"{x}y": 1}), b"x" * 3000,
    msgspec.msgpack.encode({"{x}" + "y" * 3000: b""}),
    msgspec.msgpack.encode({str(n): b"" for n in range(MOST_NUMBER + 1)}),
]  # fmt: skip


@pytest.mark.parametrize("packed", HOSTILE)
def test_what_somebody_wrote_there_past_the_portal_breaks_nothing(dav: Caller, file: Path, packed: bytes) -> None:
    os.setxattr(file, ATTRIBUTE, packed)

    assert dav.ask("PROPFIND", "/file", depth="0").status == 207
    assert b"404" in get(dav, "/file")
    assert dav.ask("COPY", "/file", destination="/dav/copy").status == 201
    set_(dav, "/file", mood="calm")
    assert b"calm" in get(dav, "/file")


@pytest.mark.parametrize(
    "value", [b"no xml", b"<a/><b/>", b"</D:prop><D:evil/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>']
)
def test_an_element_that_somebody_made_up_does_not_get_into_the_answer(dav: Caller, file: Path, value: bytes) -> None:
    os.setxattr(file, ATTRIBUTE, msgspec.msgpack.encode({"{urn:n}mood": value}))

    answer = get(dav, "/file")
    assert b"evil" not in answer and b"ENTITY" not in answer and value not in answer


def test_a_member_that_cannot_be_read_hides_no_others(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open", "closed"):
        (folder / name).touch()
        set_(dav, f"/{name}", mood="calm")
    real = os.getxattr

    def denied(path: Any, name: str, **named: Any) -> bytes:
        if str(path).endswith("/closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, name, **named)

    monkeypatch.setattr(os, "getxattr", denied)
    assert dav.ask("PROPFIND", "/", depth="1").body.count(b"calm") == 1


def test_a_mood_that_is_not_readable_is_not_there(dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_(dav, "/file", mood="calm")

    def denied(*_: object, **__: object) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "getxattr", denied)
    assert b"404" in get(dav, "/file")


def test_while_the_portal_is_gone_nothing_is_made_up(
    dav: Caller, asker: FakeAsker, bare: NoAttributes, file: Path
) -> None:
    set_(dav, "/file", mood="calm")
    asker.is_gone = True
    ask = b'<D:propfind xmlns:D="DAV:"><D:prop><n:mood xmlns:n="urn:n"/></D:prop></D:propfind>'

    answer = dav.ask("PROPFIND", "/file", ask, depth="0")
    assert answer.status == 503 or b"503" in answer.body
    asker.is_gone = False
    assert b"calm" in get(dav, "/file")


def test_a_copy_is_made_though_its_properties_cannot_be(
    dav: Caller, asker: FakeAsker, bare: NoAttributes, folder: Path, file: Path
) -> None:
    set_(dav, "/file", mood="calm")

    def die(request: Any) -> None:
        asker.is_gone = isinstance(request, ReadProperties)

    asker.before = die
    assert dav.ask("COPY", "/file", destination="/dav/copy").status == 201
    assert (folder / "copy").read_bytes() == b"old"
