"""``/api/``: all that the pages do, in JSON, for programs and for the pages themselves. Described in openapi.py."""

from __future__ import annotations

import codecs
import re
from http import HTTPStatus
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, request

from supercloud.applications.definition import WrongDefinition
from supercloud.applications.form import Unanswered
from supercloud.applications.sessions import MOST_LOG
from supercloud.forward_files import ForwardFiles, NotDone
from supercloud.notice import FIELD as NOTICES
from supercloud.notice import read_field
from supercloud.pages.keys import NotAKey
from supercloud.pages.openapi import describe
from supercloud.pages.workspace import Workspace, told_app, told_field, told_session
from supercloud.scheduler.interface import NoSuchJob, Refused, SchedulerError

MOST_BODY: Final = 256 * 1024
MOST_WATCHED: Final = 300  # sessions; the front takes no longer answer for open pages
# Terminals' colours and cursors (ECMA-48), and other controls: what is printed is text here.
_CONTROLS: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)|[\x00-\x08\x0b-\x1f\x7f]")
# One of these whose end is still to come, or a carriage return that may belong to a line feed.
_BEGUN: Final = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?)?|\r)\Z")
_LONGEST_SEQUENCE: Final = 256  # bytes; a longer one comes in pieces

Body = dict[str, Any]


class Refusal(Exception):
    """What a request is refused with.

    :ivar text: for the person.
    :ivar wrong: field → what would be right.
    """

    def __init__(self, status: HTTPStatus, text: str, wrong: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.wrong = wrong or {}


def refusal_of(error: Exception) -> Refusal:
    """The refusal that an error of the parts comes to; one of its own for whatever is not known."""
    match error:
        case Refusal():
            return error
        case Unanswered():
            return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "Some of this has to be changed.", error.wrong)
        case NoSuchJob():
            return Refusal(HTTPStatus.NOT_FOUND, str(error))
        case Refused():
            return Refusal(HTTPStatus.CONFLICT, str(error))
        case SchedulerError():
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        case WrongDefinition():
            return Refusal(HTTPStatus.CONFLICT, f"The application's own files have to be mended: {error}")
        case NotDone() | NotAKey():
            text = str(error)
            return Refusal(HTTPStatus.CONFLICT, text[:1].upper() + text[1:] + ("" if text.endswith(".") else "."))
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            return Refusal(HTTPStatus.CONFLICT, f"{error.strerror or error}{where}")
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here; it is in the log of your worker.")


def log_text(data: bytes) -> str:
    """What a job printed, as text."""
    return _CONTROLS.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n"))


def log_part(data: bytes, *, is_last: bool) -> tuple[str, int]:
    """A part of what a job prints, as text, and the number of bytes that this is.

    A letter, a line's end or a control sequence whose rest has not come yet is left for the next part.
    """
    kept = data if is_last else data[: len(data) - len(_begun(data))]
    return log_text(kept), len(kept)


def _begun(data: bytes) -> bytes:
    """What a part ends within; empty when it is whole."""
    if (sequence := _BEGUN.search(data, max(0, len(data) - _LONGEST_SEQUENCE))) is not None:
        return sequence[0]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return decoder.getstate()[0]


def make_api(workspace: Workspace) -> Blueprint:
    """The API of one person."""
    api = Blueprint("api", __name__, url_prefix="/api")
    on = workspace

    @api.get("/openapi.json")
    def openapi() -> Response:
        return _json(describe(on.portal))

    @api.get("/workspace")
    def state() -> Response:
        sessions = [told_session(one) for one in on.sessions.watched()[:MOST_WATCHED]]
        return _json({"sessions": sessions, "notices": msgspec.to_builtins(read_field(request.headers.get(NOTICES)))})

    @api.get("/apps")
    def apps() -> Response:
        return _json({"apps": [told_app(one) for one in on.catalogue.all()]})

    @api.get("/apps/<app_id>")
    def app(app_id: str) -> Response:
        found = on.catalogue.find(app_id)
        if found is None:
            raise Refusal(
                HTTPStatus.NOT_FOUND, "There is no such application, or it cannot be started. See the list of all."
            )
        return _json({**told_app(found), "fields": [told_field(one) for one in on.launching.usual(found)]})

    @api.get("/jobs")
    def jobs() -> Response:
        return _json({"jobs": [told_session(one) for one in on.sessions.all()]})

    @api.post("/jobs")
    def launch() -> Response:
        body = _body()
        found = on.catalogue.find(_text(body, "app"))
        if found is None:
            raise Refusal(
                HTTPStatus.NOT_FOUND, "There is no such application, or it cannot be started. See the list of all."
            )
        values = body.get("values", {})
        if not isinstance(values, dict):
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "values has to be an object.")
        job_id = on.launch(found, values)
        return _json({"id": job_id}, HTTPStatus.CREATED)

    @api.get("/jobs/<job_id>")
    def job(job_id: str) -> Response:
        return _json(told_session(on.sessions.find(job_id)))

    @api.delete("/jobs/<job_id>")
    def stop(job_id: str) -> Response:
        on.sessions.stop(job_id)
        return _empty()

    @api.post("/jobs/<job_id>/renew")
    def renew(job_id: str) -> Response:
        on.sessions.renew(job_id)
        return _empty()

    @api.get("/jobs/<job_id>/log")
    def log(job_id: str) -> Response:
        session = on.sessions.known(job_id)
        try:
            offset = int(request.args.get("offset", "-1"))
        except ValueError:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "offset has to be a whole number.") from None
        try:
            data, after = on.sessions.log(session, offset)
        except FileNotFoundError:
            data, after = b"", 0
        is_over = session.stage == "over"
        text, length = log_part(data, is_last=is_over and len(data) < MOST_LOG)
        return _json({"text": text, "offset": after - len(data) + length, "over": is_over})

    @api.get("/listeners")
    def listeners() -> Response:
        look = request.args.get("look", "here")
        if look not in ("here", "nodes"):
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "look is here or nodes.")
        found = on.listeners(on.sessions.all(), on_nodes=look == "nodes")
        return _json(
            {"listeners": [{**msgspec.to_builtins(one), "open": f"/open/{one.node}:{one.port}"} for one in found]}
        )

    @api.get("/quota")
    def quota() -> Response:
        found = on.quota()
        return _json({"used": found.used, "available": found.available} if found is not None else {})

    @api.get("/keys")
    def keys() -> Response:
        return _json({"keys": msgspec.to_builtins(on.keys.all())})

    @api.post("/keys")
    def add_key() -> Response:
        return _json(msgspec.to_builtins(on.keys.add(_text(_body(), "key"))), HTTPStatus.CREATED)

    @api.delete("/keys")
    def remove_key() -> Response:
        if not on.keys.remove(request.args.get("fingerprint", "")):
            raise Refusal(HTTPStatus.NOT_FOUND, "There is no such key.")
        return _empty()

    @api.get("/forwards")
    def forwards() -> Response:
        listed = on.forwards.list() if on.forwards is not None else []
        return _json({"forwards": [{"name": one.name, "url": one.url, "state": one.state} for one in listed]})

    @api.put("/forwards/<name>")
    def add_forward(name: str) -> Response:
        _forwards(on).add(name, _text(_body(), "url"))
        return _empty()

    @api.delete("/forwards/<name>")
    def remove_forward(name: str) -> Response:
        _forwards(on).remove(name)
        return _empty()

    @api.post("/forwards/<name>/disable")
    def disable_forward(name: str) -> Response:
        _forwards(on).disable(name)
        return _empty()

    @api.post("/forwards/<name>/share")
    def share_forward(name: str) -> Response:
        _forwards(on).share(name, _text(_body(), "group"))
        return _empty()

    @api.post("/forwards/<name>/unshare")
    def unshare_forward(name: str) -> Response:
        _forwards(on).unshare(name)
        return _empty()

    return api


def refuse(error: Refusal) -> Response:
    """A refusal in JSON (RFC 9457)."""
    told: Body = {"title": error.status.phrase, "status": error.status.value, "detail": error.text}
    if error.wrong:
        told["wrong"] = error.wrong
    response = _json(told, error.status)
    response.content_type = "application/problem+json"
    return response


def _forwards(on: Workspace) -> ForwardFiles:
    if on.forwards is None:
        raise Refusal(HTTPStatus.CONFLICT, "This site has no forwards.")
    return on.forwards


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(value), status=status.value, content_type="application/json")


def _empty() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT.value)


def _body() -> Body:
    """:raises Refusal: it is no object."""
    try:
        return msgspec.json.decode(request.get_data(cache=False), type=Body)
    except (ValueError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"The body has to be an object in JSON: {error}") from None


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "Some of this has to be changed.", {name: "a text is needed"})
    return value
