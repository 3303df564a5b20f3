"""The API's description (OpenAPI 3.1), for programs and for whoever writes one."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_OPTIONAL_TEXT: Final = {"type": ["string", "null"]}
_NUMBER: Final = {"type": ["number", "null"]}
_JOB_ID: Final = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,80}$"},
}
_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,255}$"},
}


def _object(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_SCHEMAS: Final = {
    "Session": _object(
        ("id", "name", "stage", "words", "open"),
        id=_TEXT,
        name=_TEXT,
        app={"type": "string", "description": "the application's id; empty for other jobs"},
        icon=_TEXT,
        stage={"enum": ["waiting", "starting", "ready", "ending", "over"]},
        words={"type": "string", "description": "what is going on, for people"},
        open={"type": ["string", "null"], "description": "path at the portal, once it can be opened"},
        node=_OPTIONAL_TEXT,
        port={"type": ["integer", "null"]},
        state={"enum": ["pending", "running", "ending", "done", "failed", "cancelled", "timed-out", "lost"]},
        reason=_TEXT,
        partition=_TEXT,
        nodes=_list(_TEXT),
        submitted=_NUMBER,
        starts=_NUMBER,
        ends=_NUMBER,
    ),
    "App": _object(
        ("id", "name", "own"),
        id=_TEXT, name=_TEXT, about=_TEXT, icon=_TEXT, own={"type": "boolean"},
        broken={"type": "string", "description": "why it cannot be started"}, fields=_list(_ref("Field")),
    ),
    "Field": _object(
        ("name", "label", "kind", "default"),
        name=_TEXT, label=_TEXT, help=_TEXT, default=_TEXT, required={"type": "boolean"}, advanced={"type": "boolean"},
        kind={"enum": ["text", "integer", "choice", "flag", "folder", "lines", "size", "time"]},
        choices=_list(_object(("value",), value=_TEXT, label=_TEXT, when={"type": "object"})),
        least={"type": "integer"}, most={"type": "integer"}, when={"type": "object"},
    ),
    "Key": _object(("kind", "fingerprint"), kind=_TEXT, fingerprint=_TEXT, comment=_TEXT, options=_TEXT),
    "Forward": _object(("name", "url", "state"), name=_TEXT, url=_TEXT, state=_TEXT),
    "Problem": _object(
        ("title", "status", "detail"),
        title=_TEXT, status={"type": "integer"}, detail=_TEXT,
        wrong={"type": "object", "description": "field → what would be right", "additionalProperties": _TEXT},
    ),
}  # fmt: skip


def describe(portal: str) -> dict[str, Any]:
    """The whole description.

    :param portal: URL of the portal's own origin.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SuperCloud portal",
            "version": "1",
            "description": "Acts as the account whose token is shown, and can do what it can by ssh. "
            "Make a token for launching at /tokens, or by: supercloud token create --for launch",
        },
        "servers": [{"url": portal}],
        "security": [{"token": []}],
        "paths": _PATHS,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _answers(schema: dict[str, Any] | None, *, status: str = "200") -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Done."}
    if schema is not None:
        answer["content"] = {"application/json": {"schema": schema}}
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    known = {"400": "Not to be read.", "409": "Not now, or not so.", "422": "Something has to be changed."}
    known |= {"404": "There is none.", "503": "The scheduler does not answer."}
    others = {number: {"description": words, "content": problem} for number, words in known.items()}
    return {status: answer, **others}


def _takes(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _operation(summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": answers, **more}


_APP_ID: Final = {**_NAME, "name": "app_id"}
_SESSIONS: Final = _list(_ref("Session"))
_PATHS: Final[dict[str, Any]] = {
    "/api/workspace": {
        "get": _operation(
            "What runs now, for who waits for a change: up to 15 seconds old",
            _answers(_object(("sessions",), sessions=_SESSIONS)),
        )
    },
    "/api/apps": {"get": _operation("Applications", _answers(_object(("apps",), apps=_list(_ref("App")))))},
    "/api/apps/{app_id}": {
        "get": _operation("An application, and what it asks", _answers(_ref("App")), parameters=[_APP_ID])
    },
    "/api/jobs": {
        "get": _operation("Jobs, the newest first", _answers(_object(("jobs",), jobs=_SESSIONS))),
        "post": _operation(
            "Start an application",
            _answers(_object(("id",), id=_TEXT), status="201"),
            requestBody=_takes(_object(("app",), app=_TEXT, values={"type": "object"})),
        ),
    },
    "/api/jobs/{job_id}": {
        "get": _operation("A job", _answers(_ref("Session")), parameters=[_JOB_ID]),
        "delete": _operation("End it", _answers(None, status="204"), parameters=[_JOB_ID]),
    },
    "/api/jobs/{job_id}/log": {
        "get": _operation(
            "What it printed",
            _answers(
                _object(("text", "offset", "over"), text=_TEXT, offset={"type": "integer"}, over={"type": "boolean"})
            ),
            parameters=[
                _JOB_ID,
                {
                    "name": "offset",
                    "in": "query",
                    "description": "bytes; negative for the end",
                    "schema": {"type": "integer", "default": -1},
                },
            ],
        )
    },
    "/api/quota": {
        "get": _operation(
            "Room in the home folder, in bytes",
            _answers(_object((), used={"type": "integer"}, available={"type": "integer"})),
        )
    },
    "/api/keys": {
        "get": _operation("SSH keys that let one in", _answers(_object(("keys",), keys=_list(_ref("Key"))))),
        "post": _operation(
            "Let a key in", _answers(_ref("Key"), status="201"), requestBody=_takes(_object(("key",), key=_TEXT))
        ),
        "delete": _operation(
            "Take a key out",
            _answers(None, status="204"),
            parameters=[{"name": "fingerprint", "in": "query", "required": True, "schema": _TEXT}],
        ),
    },
    "/api/forwards": {
        "get": _operation("Named forwards", _answers(_object(("forwards",), forwards=_list(_ref("Forward")))))
    },
    "/api/forwards/{name}": {
        "put": _operation(
            "Have a name lead to a URL",
            _answers(None, status="204"),
            parameters=[_NAME],
            requestBody=_takes(_object(("url",), url=_TEXT)),
        ),
        "delete": _operation("Give the name up", _answers(None, status="204"), parameters=[_NAME]),
    },
    "/api/forwards/{name}/disable": {
        "post": _operation("Keep the name, lead nobody", _answers(None, status="204"), parameters=[_NAME])
    },
    "/api/forwards/{name}/share": {
        "post": _operation(
            "Let a group in",
            _answers(None, status="204"),
            parameters=[_NAME],
            requestBody=_takes(_object(("group",), group=_TEXT)),
        )
    },
}
