"""Folders of the account's own, in which nobody else may put anything."""

from __future__ import annotations

from pathlib import Path


def make_own_folder(folder: Path) -> None:
    """Make a folder, and those above it that are not there, for the account alone.

    Where a umask lets a group write new folders, whoever may write one of them could exchange all that is below it.

    :raises OSError: one cannot be made.
    """
    if folder.is_dir():
        return
    make_own_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
