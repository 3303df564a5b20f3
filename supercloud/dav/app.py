"""The WSGI application behind ``/dav``: which method does what, and what is said when something fails.

PROPPATCH, LOCK and UNLOCK are wsgidav's; everything that touches files is done here,
because there wsgidav writes into the file itself, reads names as UTF-8 only, walks trees by URL, and its conditions are
those of RFC 2616. Its ``WsgiDAVApp`` is not used: it changes addresses before anything can refuse them.
"""

from __future__ import annotations

import io
import logging
import os
import pwd
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from wsgidav.dav_error import DAVError, DAVErrorCondition
from wsgidav.request_server import RequestServer

from supercloud.dav import failures, folder_page
from supercloud.dav.asking import Asking
from supercloud.dav.body import Body, CutShort
from supercloud.dav.chunks import Chunks
from supercloud.dav.failures import Fields, StartResponse, refused
from supercloud.dav.guard import Guard, Request
from supercloud.dav.locks import Locked, Locks
from supercloud.dav.methods import Methods
from supercloud.dav.properties import DeadProperties
from supercloud.dav.propfind import Propfind
from supercloud.dav.provider import Environ, Provider
from supercloud.dav.reading import read
from supercloud.dav.tree import Tree
from supercloud.dav.upload import Upload
from supercloud.desk.client import Desk

MAX_XML: Final = 1024 * 1024  # bytes of a PROPFIND, PROPPATCH or LOCK; mod_dav takes as much (LimitXMLRequestBody)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND"})
_WSGIDAV: Final = frozenset({"PROPPATCH", "LOCK", "UNLOCK"})
_MACOS: Final = " Darwin/"  # the Finder's User-Agent has it, and what Apple's own libraries send
_CONFIG: Final[dict[str, Any]] = {"hotfixes": {}, "mutable_live_props": [], "add_header_MS_Author_Via": False}
_log = logging.getLogger("supercloud.dav")
Handler = Callable[[Request, StartResponse], Iterable[bytes]]


def make_app(roots: Mapping[str, str], home: str, desk: str | None) -> Application:
    """Make the application for the account that runs this process.

    :param roots: address below /dav to folder, as ``Tree`` takes them.
    :param desk: path of the portal's socket. None where there is no portal: there are no locks then, and class 2 is
        not promised.
    """
    login, asking = _login(), None if desk is None else Desk(desk)
    for_macs = Application(Tree(roots, home, login, alike=True), login, asking)
    return Application(Tree(roots, home, login), login, asking, for_macs=for_macs)


class _Wsgidav(RequestServer):  # type: ignore[misc]
    """wsgidav's methods, under our conditions and locks: they were checked before."""

    def _evaluate_if_headers(self, res: Any, environ: Environ) -> None:
        return

    def _check_write_permission(self, res: Any, depth: str, environ: Environ) -> None:
        return

    def _write_transaction(self, res: Any, environ: Environ) -> AbstractContextManager[None]:
        return nullcontext()


class Application:
    """A WSGI application; ``tree`` is for those who wrap it.

    :param for_macs: answers macOS, which asks for names in decomposed letters, however they were listed.
    """

    def __init__(self, tree: Tree, login: str, desk: Asking | None, *, for_macs: Application | None = None) -> None:
        self.tree = tree
        self._for_macs = for_macs
        self.login = login
        locks = None if desk is None else Locks(tree, desk)
        properties = DeadProperties(tree, desk)
        self.provider = Provider(tree, locks, properties)
        self.guard = Guard(tree, locks)
        self._wsgidav = _Wsgidav(self.provider)
        self._upload = Upload(tree, self.guard)
        self._chunks = Chunks(tree, self.guard, self._upload)
        methods = Methods(tree, self.guard, properties)
        self._handlers: dict[str, Handler] = {
            "OPTIONS": methods.options,
            "GET": self._read,
            "HEAD": self._read,
            "MKCOL": self._make_folder,
            "PUT": self._put,
            "DELETE": methods.delete,
            "COPY": methods.copy_or_move,
            "MOVE": self._move,
            "PROPFIND": self._find,
            **dict.fromkeys(_WSGIDAV, self._by_wsgidav),
        }
        self._propfind = Propfind(tree, self.guard, properties)
        self._methods = methods

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if self._for_macs is not None and _MACOS in environ.get("HTTP_USER_AGENT", ""):
            return self._for_macs(environ, start_response)
        environ["supercloud.body"] = Body(environ)
        try:
            return self._answer(environ, start_response)
        except Exception as error:  # the last place before the server's own page
            return self._fail(error, environ, start_response)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        handler = self._handlers.get(method)
        if handler is None:
            allowed = [("Allow", ", ".join(self._handlers))]
            raise refused(HTTPStatus.METHOD_NOT_ALLOWED, "This method does nothing here.", fields=allowed)
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape") or "/"
        located = self.tree.locate(path)
        # Who reads opens it anyway, and looks then.
        request = Request(environ, located, None if handler == self._read else self.tree.stat_or_none(located))
        environ["wsgidav.user_name"] = self.login
        self.guard.read_if(request)
        return handler(request, start_response)

    def _fail(self, error: Exception, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if isinstance(error, Locked):
            error = _locked(error, environ)
        known = failures.of_any(error, writing=environ["REQUEST_METHOD"] not in _READS)
        if int(known.value) >= HTTPStatus.INTERNAL_SERVER_ERROR and int(known.value) != HTTPStatus.INSUFFICIENT_STORAGE:
            _log.error("%s failed", environ["REQUEST_METHOD"], exc_info=error)
        failed = type(error), error, error.__traceback__

        def start(status: str, fields: Fields) -> Any:
            return start_response(status, fields, failed)

        if environ["REQUEST_METHOD"] == "GET" and folder_page.is_wanted(environ):
            return folder_page.answer_failure(start, known, environ)
        return failures.answer(start, known)

    def _read(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        return read(self.tree, self.guard, request, start_response)

    def _make_folder(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        body: Body = request.environ["supercloud.body"]
        if body.length != 0:
            raise refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "MKCOL takes no body here.")
        self._chunks.prepare(request)
        return self._methods.make_folder(request, start_response)

    def _move(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        handle = self._chunks.assemble if self._chunks.are_meant(request) else self._methods.copy_or_move
        return handle(request, start_response)

    def _put(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        return self._upload.put(request, start_response, request.environ["supercloud.body"])

    def _find(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        return self._propfind.answer(request, start_response, _whole(request.environ["supercloud.body"]))

    def _by_wsgidav(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        environ = request.environ
        self.guard.check_conditions(request, request.status)
        if request.method == "LOCK" and request.status is None:
            # wsgidav makes the empty file before it looks whether a lock of the folder's forbids that.
            self.guard.check_locks(request, request.located.parent)
        if request.method == "PROPPATCH":
            self.guard.check_locks(request, request.located)
        xml = _whole(environ["supercloud.body"])
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(xml), str(len(xml))
        environ["PATH_INFO"] = request.located.address
        environ["wsgidav.provider"], environ["wsgidav.config"] = self.provider, _CONFIG
        environ["wsgidav.verbose"] = 1
        if "HTTP_DEPTH" in environ:
            environ["HTTP_DEPTH"] = environ["HTTP_DEPTH"].strip().lower()
        handle: Callable[..., Iterable[bytes]] = getattr(self._wsgidav, f"do_{request.method}")
        try:
            return handle(environ, start_response)
        except BaseException:
            self.provider.unmake(environ)
            raise


def _whole(body: Body) -> bytes:
    """A body of XML.

    :raises DAVError: 400, 413.
    """
    blocks = []
    try:
        for block in body.blocks():
            if body.received > MAX_XML:
                raise refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too much XML.")
            blocks.append(bytes(block))
    except CutShort as error:
        raise refused(HTTPStatus.BAD_REQUEST, str(error)) from error
    return b"".join(blocks)


def _locked(error: Locked, environ: Environ) -> DAVError:
    """423, and where the locks lie, as this client sees it."""
    condition = DAVErrorCondition(error.condition)
    for url in error.urls:
        condition.add_href(quote(environ.get("SCRIPT_NAME", "")) + url)
    return DAVError(HTTPStatus.LOCKED, "It is locked.", err_condition=condition)


def _login() -> str:
    """The account's name; its number where it has none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
