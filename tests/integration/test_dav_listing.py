"""Listings as real accounts: what one may see of somebody else's folders, by PROPFIND and on the page."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lab.accounts import Account, Accounts
from lab.dav import Dav, serve
from lab.processes import Processes

pytestmark = pytest.mark.root
PAGE = "text/html,*/*"


@pytest.fixture(scope="module")
def alice(processes: Processes) -> Dav:
    """The whole file system, as alice."""
    return serve(processes, "alice")


@pytest.fixture
def bobs(accounts: Accounts) -> Iterator[Path]:
    """A folder of bob's that everybody may read, with some that nobody else may."""
    bob: Account = accounts["bob"]
    made = Path(tempfile.mkdtemp(prefix="supercloud-bob-", dir="/tmp"))
    for name, mode in (("open", 0o755), ("closed", 0o700), ("no-entry", 0o744), ("no-list", 0o711)):
        (made / name).mkdir()
        (made / name / "inside").write_text("bob's")
        (made / name).chmod(mode)
    (made / "secret.txt").write_text("bob's")
    (made / "secret.txt").chmod(0o600)
    for path in (made, *made.rglob("*")):
        os.chown(path, bob.uid, bob.gid)
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def hrefs(dav: Dav, path: Path, depth: str) -> set[str]:
    answer = dav.ask("PROPFIND", f"{path}/", depth=depth)
    assert answer.status == 207
    root = ElementTree.fromstring(answer.body)
    return {(one.findtext("{DAV:}href") or "").removeprefix(f"/dav{path}/") for one in root}


def test_what_is_in_a_readable_folder_is_named_and_no_more(alice: Dav, bobs: Path) -> None:
    named = {"", "open/", "closed/", "no-entry/", "no-list/", "secret.txt"}

    assert hrefs(alice, bobs, "1") == named
    assert alice.ask("GET", f"{bobs}/secret.txt").status == 403


def test_infinity_passes_over_what_is_closed(alice: Dav, bobs: Path) -> None:
    """Of a folder that may be read but not entered, the kernel tells names, and nothing about what they are."""
    below = hrefs(alice, bobs, "infinity")

    assert {one for one in below if "inside" in one} == {"open/inside"}


@pytest.mark.parametrize(
    ("name", "itself", "members"), [("closed", 207, 403), ("no-list", 207, 403), ("open", 207, 207)]
)
def test_a_folder_that_may_not_be_listed_is_an_error_by_every_way(
    alice: Dav, bobs: Path, name: str, itself: int, members: int
) -> None:
    assert alice.ask("PROPFIND", f"{bobs}/{name}", depth="0").status == itself
    assert alice.ask("PROPFIND", f"{bobs}/{name}", depth="1").status == members
    assert alice.ask("PROPFIND", f"{bobs}/{name}", depth="infinity").status == members
    page = alice.ask("GET", f"{bobs}/{name}/", accept=PAGE)
    assert page.status == (200 if members == 207 else 403)
    assert (b"inside" in page.body) is (members == 207)


def test_the_page_offers_to_change_only_what_may_be_changed(alice: Dav, bobs: Path, accounts: Accounts) -> None:
    assert b"You cannot change" in alice.ask("GET", f"{bobs}/", accept=PAGE).body
    assert b'id="tools"' in alice.ask("GET", f"{accounts['alice'].home}/", accept=PAGE).body


def test_the_root_is_listed_without_the_kernels_folders(alice: Dav) -> None:
    page = alice.ask("GET", "/", accept=PAGE).body

    assert b'href="./tmp/"' in page
    assert b'href="./proc/"' not in page
    listing = alice.ask("PROPFIND", "/", depth="1").body
    assert b"<D:href>/dav/tmp/</D:href>" in listing
    assert b"<D:href>/dav/proc/</D:href>" not in listing
    assert alice.ask("PROPFIND", "/", depth="infinity").status == 403
