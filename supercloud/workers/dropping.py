"""Tells the account's drop-box what is saved in it through /dav, and has it look before its files are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from supercloud.applications.dropbox import FOLDER, DropBox
from supercloud.dav import failures
from supercloud.dav.failures import refused
from supercloud.dav.guard import local_path
from supercloud.dav.tree import NotServed, Tree

_SAVES: Final = frozenset({"PUT", "COPY", "MOVE"})
_LOOKS: Final = frozenset({"GET", "HEAD", "PROPFIND"})
# A piece of an upload is 202: nothing is saved yet.
_SAVED: Final = ("201", "204")
_log = logging.getLogger("supercloud.dropbox")

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Dropping:
    """A WSGI application around that of the files.

    :param tree: leads from addresses to files.
    """

    def __init__(self, files: Application, tree: Tree, box: DropBox) -> None:
        self._files = files
        self._tree = tree
        self._box = box

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        method = environ["REQUEST_METHOD"]
        if method in _LOOKS and FOLDER in environ["PATH_INFO"]:
            file = self._place(environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape"))
            if file is not None and (self._is_box(file) or self._is_box(file.parent)):
                self._box.refresh()
        if method not in _SAVES:
            return self._files(environ, start_response)
        return self._save(environ, start_response)

    def _save(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        file = self._meant(environ)
        if file is None or FOLDER not in file.parts:
            return self._files(environ, start_response)
        said: list[tuple[Any, ...]] = []
        answer = self._files(environ, lambda *told: said.append(told))
        if said[-1][0].startswith(_SAVED) and self._is_box(file.parent):
            try:
                self._box.saved(file.name)
            except OSError as error:
                _log.error("a saved job cannot be noted: %s", error)
                text = f"It was saved, but does not run: no .status can be written ({error.strerror}). Save it again."
                return failures.answer(start_response, refused(HTTPStatus.INSUFFICIENT_STORAGE, text))
        start_response(*said[-1])
        return answer

    def _meant(self, environ: Environ) -> Path | None:
        """The file that there will be."""
        if environ["REQUEST_METHOD"] == "PUT":
            return self._place(environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape"))
        try:
            return self._place(local_path(environ, environ.get("HTTP_DESTINATION", "").strip()))
        except ValueError:
            return None

    def _place(self, address: str) -> Path | None:
        try:
            return Path(self._tree.locate(address or "/").path)
        except NotServed:
            return None

    def _is_box(self, folder: Path) -> bool:
        """Whatever way leads there: a home can be reached through links."""
        if folder.name != FOLDER:
            return False
        try:
            return folder.samefile(self._box.folder)
        except OSError:
            return False
