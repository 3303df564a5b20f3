"""supercloud.dav.tree: what a path leads to, and what is never opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from supercloud.dav.part import is_part_name, litter, part_name, resumable_name
from supercloud.dav.tree import NotServed, Tree

HOME = "/home/alice"


@pytest.fixture
def tree(folder: Path, home: Path) -> Tree:
    return Tree({"/": str(folder)}, str(home))


def names(tree: Tree, path: str = "/") -> set[str]:
    return {entry.name for entry in tree.children(tree.locate(path))}


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/", "/"),
        ("/tmp", "/tmp"),
        ("/tmp/", "/tmp"),
        ("/~", HOME),
        ("/~/", HOME),
        ("/~/notes/a b", f"{HOME}/notes/a b"),
        ("/~bob", "/~bob"),
        ("/x/~", "/x/~"),
        ("/data", "/srv/data"),
        ("/data/set", "/srv/data/set"),
        ("/database", "/database"),
        ("/caf\udcc3\udc28", "/caf\udcc3\udc28"),
    ],
)
def test_the_longest_address_says_which_folder(path: str, leads_to: str) -> None:
    tree = Tree({"/": "/", "/data": "/srv/data"}, HOME)

    assert tree.locate(path).path == leads_to


@pytest.mark.parametrize(
    "path",
    ["", "tmp", "//", "/a//b", "/a//", "/..", "/a/../b", "/./a", "/a/.", "/a\0b", "/~/../bob", "/data/../../etc"],
)
def test_traversal_is_refused_not_cleaned_up(path: str) -> None:
    with pytest.raises(NotServed):
        Tree({"/": "/", "/data": "/srv/data"}, HOME).locate(path)


@pytest.mark.parametrize("path", ["/proc", "/proc/self/environ", "/sys/kernel", "/dev/sda", "/dev/shm/x"])
def test_the_kernels_folders_are_nowhere(path: str) -> None:
    with pytest.raises(NotServed):
        Tree({"/": "/"}, HOME).locate(path)


def test_names_that_only_begin_like_the_kernels_are_served() -> None:
    assert Tree({"/": "/"}, HOME).locate("/processes/dev").path == "/processes/dev"


def test_outside_every_root_nothing_is_served() -> None:
    with pytest.raises(NotServed):
        Tree({"/data": "/srv/data"}, HOME).locate("/etc/passwd")


def test_a_tilde_is_a_name_where_not_everything_is_served(folder: Path) -> None:
    assert Tree({"/": str(folder)}, HOME).locate("/~").path == f"{folder}/~"


@pytest.mark.parametrize(
    ("path", "href"),
    [
        ("/", "/"),
        ("/~", "/~"),
        ("/~/a b", "/~/a%20b"),
        ("/data/100%", "/data/100%25"),
        ("/a?b#c", "/a%3Fb%23c"),
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/\udcff\udcfe", "/%FF%FE"),
    ],
)
def test_an_href_leads_back_by_the_address_that_was_asked_for(path: str, href: str) -> None:
    assert Tree({"/": "/", "/data": "/srv/data"}, HOME).locate(path).href == href


def test_ownclouds_addresses_lead_to_the_home_and_its_uploads(home: Path) -> None:
    tree = Tree({"/": "/"}, str(home), "alice")

    assert tree.locate("/files/alice/x").path == f"{home}/x"
    assert tree.locate("/files/alice/x").href == "/files/alice/x"
    assert tree.locate("/uploads/alice/id").path == f"{home}/.cache/supercloud/uploads/id"
    assert tree.locate("/files/bob/x").path == "/files/bob/x"


def test_a_home_that_is_not_served_has_no_second_address(home: Path) -> None:
    with pytest.raises(NotServed):
        Tree({"/data": "/srv/data"}, str(home), "alice").locate("/files/alice")


def test_a_link_out_of_the_root_is_not_served(tree: Tree, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to("..")

    for path in ("/out", "/up", "/up/secret"):
        with pytest.raises(NotServed):
            tree.open(tree.locate(path), os.O_RDONLY)
    with pytest.raises(NotServed):
        tree.followed(tree.locate("/out"))
    with pytest.raises(NotServed):
        tree.landing(tree.locate("/up/new"))


def test_a_link_within_the_root_is_followed_absolute_or_not(tree: Tree, folder: Path) -> None:
    (folder / "real").write_text("here")
    (folder / "absolute").symlink_to(folder / "real")
    (folder / "relative").symlink_to("real")

    for path in ("/absolute", "/relative"):
        handle = tree.open(tree.locate(path), os.O_RDONLY)
        assert os.read(handle, 10) == b"here"
        os.close(handle)


def test_a_root_that_is_a_link_itself_is_served(folder: Path, tmp_path: Path, home: Path) -> None:
    (folder / "file").write_text("x")
    (tmp_path / "link").symlink_to(folder)
    tree = Tree({"/": str(tmp_path / "link")}, str(home))

    assert tree.stat(tree.locate("/file")).st_size == 1


def test_a_link_to_the_kernels_files_is_not_served(folder: Path) -> None:
    (folder / "environ").symlink_to("/proc/self/environ")
    (folder / "proc").symlink_to("/proc")
    (folder / "null").symlink_to("/dev/null")
    (folder / "shm").symlink_to("/dev/shm")
    tree = Tree({"/": "/"}, "/root")

    for name in ("environ", "proc", "proc/self/environ", "null", "shm"):
        with pytest.raises(NotServed):
            tree.open(tree.locate(f"{folder}/{name}"), os.O_RDONLY)


def test_a_fifo_makes_nobody_wait(tree: Tree, folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        with pytest.raises(NotServed):
            tree.open(tree.locate("/pipe"), flags)


def test_a_fifo_swapped_in_after_the_look_is_not_opened(
    tree: Tree, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_text("first")
    check = tree._check

    def swap(*args: object) -> None:
        check(*args)  # type: ignore[arg-type]
        (folder / "file").unlink()
        os.mkfifo(folder / "file")

    monkeypatch.setattr(tree, "_check", swap)
    handle = tree.open(tree.locate("/file"), os.O_RDONLY)

    assert os.read(handle, 10) == b"first"
    os.close(handle)


def test_a_socket_is_not_served(tree: Tree, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(NotServed):
            tree.stat(tree.locate("/s"))


def test_children_leave_out_what_is_never_served(tree: Tree, folder: Path) -> None:
    (folder / "file").touch()
    (folder / "sub").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / part_name("file")).touch()

    assert names(tree) == {"file", "sub", "dangling"}


def test_members_tell_what_links_lead_to(tree: Tree, folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("sub")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "out").symlink_to(tmp_path)
    top = tree.locate("/")

    served = {entry.name for entry in tree.children(top) if tree.member(top, entry) is not None}

    assert served == {"sub", "link"}


def test_the_listing_of_everything_lacks_the_kernels_folders() -> None:
    tree = Tree({"/": "/"}, "/root")
    top = tree.locate("/")

    served = {entry.name for entry in tree.children(top) if tree.member(top, entry) is not None}

    assert "tmp" in served
    assert not served & {"proc", "sys", "dev"}


def test_names_that_are_not_utf8_are_reached(tree: Tree, folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))).write_text("latin")

    (name,) = names(tree)

    assert tree.stat(tree.locate(f"/{name}")).st_size == 5
    assert tree.locate(f"/{name}").href == "/caf%E9"


def test_a_root_is_neither_renamed_nor_removed(tree: Tree) -> None:
    with pytest.raises(NotServed):
        tree.landing(tree.locate("/"))


def test_links_in_a_circle_are_an_error_not_a_loop(tree: Tree, folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")

    with pytest.raises(OSError, match="symbolic links"):
        tree.followed(tree.locate("/a"))


@pytest.mark.parametrize("name", ["a", "x" * 255, "\u00e9" * 127, "caf\udce9", "a\nb"])
def test_a_parts_name_fits_and_is_known(name: str) -> None:
    for made in (part_name(name), resumable_name(name, 10)):
        assert is_part_name(made)
        assert len(os.fsencode(made)) <= 255


@pytest.mark.parametrize("name", ["a.part", ".a.supercloud-.part", ".a.supercloud-t12.part", "supercloud-x.part"])
def test_other_peoples_names_are_no_parts(name: str) -> None:
    assert not is_part_name(name)


def test_parts_are_litter_when_their_writer_is_gone_or_silent_for_a_day(folder: Path) -> None:
    mine = part_name("mine")
    dead = mine.replace(f"{os.getpid():06x}", "fffffe")
    kept = resumable_name("kept", 10)
    for name in (mine, dead, kept, "a.part"):
        (folder / name).touch()
    handle = os.open(folder, os.O_PATH)
    now = (folder / mine).stat().st_ctime

    try:
        assert litter(handle, now) == [dead]
        assert set(litter(handle, now + 24 * 3600 + 1)) == {mine, dead, kept}
    finally:
        os.close(handle)


def test_what_is_there_in_the_other_normal_form_is_found_and_keeps_its_name(folder: Path) -> None:
    tree = Tree({"/": str(folder)}, HOME, alike=True)
    (folder / "\u00e9t\u00e9").mkdir()
    (folder / "\u00e9t\u00e9" / "cafe\u0301").touch()

    found = tree.locate("/e\u0301te\u0301/caf\u00e9")

    assert found.path == f"{folder}/\u00e9t\u00e9/cafe\u0301"
    assert found.address == "/e\u0301te\u0301/caf\u00e9"  # as it was asked for: clients compare
    assert found.parent.address == "/e\u0301te\u0301"
    assert found.parent.child("new").path == f"{folder}/\u00e9t\u00e9/new"
    assert tree.locate("/e\u0301te\u0301/ne\u0301/e\u0301").path == f"{folder}/\u00e9t\u00e9/ne\u0301/e\u0301"


def test_a_name_that_is_there_as_asked_goes_before_its_other_form(folder: Path) -> None:
    tree = Tree({"/": str(folder)}, HOME, alike=True)
    for name in ("\u00e9", "e\u0301"):
        (folder / name).touch()

        assert tree.locate(f"/{name}").path == f"{folder}/{name}"
