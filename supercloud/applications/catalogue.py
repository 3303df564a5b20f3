"""Which applications there are: the site's folders, then the person's own; each folder with an ``app.toml`` is one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from supercloud.applications.definition import Definition, WrongDefinition, read_definition
from supercloud.applications.template import Template

MOST_BYTES: Final = 256 * 1024  # of a definition, and of a script
MOST: Final = 200  # applications of one folder
_FOLDER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DEFINITION: Final = "app.toml"


@dataclass(frozen=True, slots=True)
class App:
    """One application.

    :ivar id: name of its folder; one of the person's own has the same as one of the site's, and is taken instead.
    """

    id: str
    folder: Path
    is_own: bool
    definition: Definition
    template: Template


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder that should be an application, and why it is none.

    :ivar why: for whoever wrote it.
    """

    id: str
    folder: Path
    is_own: bool
    why: str


@dataclass(slots=True)
class Catalogue:
    """Reads folders again when a file in them has changed.

    :ivar folders: the site's, the first one wins.
    :ivar own: the person's.
    """

    folders: Sequence[Path]
    own: Path
    _known: dict[Path, tuple[tuple[int, ...], App | Broken]] = field(default_factory=dict)

    def all(self) -> list[App | Broken]:
        """In the order in which they are shown; broken ones of the site are for the person to see as well."""
        found: dict[str, App | Broken] = {}
        for folder, is_own in ((self.own, True), *((one, False) for one in self.folders)):
            for name in _names(folder):
                found.setdefault(name, self._read(folder / name, is_own=is_own))
        return sorted(found.values(), key=_order)

    def find(self, app_id: str) -> App | None:
        """One that works."""
        if not _FOLDER_NAME.fullmatch(app_id):
            return None
        for folder, is_own in ((self.own, True), *((one, False) for one in self.folders)):
            if (folder / app_id / _DEFINITION).is_file():
                found = self._read(folder / app_id, is_own=is_own)
                return found if isinstance(found, App) else None
        return None

    def _read(self, folder: Path, *, is_own: bool) -> App | Broken:
        state = _state(folder)
        known = self._known.get(folder)
        if known is None or known[0] != state:
            known = self._known[folder] = state, _load(folder, is_own=is_own)
        return known[1]


def _load(folder: Path, *, is_own: bool) -> App | Broken:
    try:
        definition = read_definition(_bytes(folder / _DEFINITION))
        template = Template(_bytes(folder / definition.script).decode("utf-8"), name=definition.script)
    except OSError as error:
        return Broken(folder.name, folder, is_own, f"{error.filename}: {error.strerror}")
    except UnicodeDecodeError as error:
        return Broken(folder.name, folder, is_own, f"the script is not UTF-8: {error.reason}")
    except WrongDefinition as error:
        return Broken(folder.name, folder, is_own, str(error))
    return App(folder.name, folder, is_own, definition, template)


def _bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise WrongDefinition(f"{file.name} is longer than {MOST_BYTES} bytes")
    return data


def _names(folder: Path) -> list[str]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []  # it need not be there
    return [one for one in names if _FOLDER_NAME.fullmatch(one) and (folder / one / _DEFINITION).is_file()][:MOST]


def _state(folder: Path) -> tuple[int, ...]:
    """Changes when a file of the folder does."""
    found: list[int] = []
    try:
        for entry in os.scandir(folder):
            status = entry.stat()
            found += [status.st_ino, status.st_mtime_ns, status.st_size]
    except OSError:
        return ()
    return tuple(found)


def _order(one: App | Broken) -> tuple[int, str]:
    return (one.definition.order, one.definition.name.lower()) if isinstance(one, App) else (1000, one.id)
