"""The API's description (OpenAPI 3.1), for programs and for whoever writes one."""

from __future__ import annotations

from typing import Any, Final

from supercloud.api_scopes import SCOPES

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
        ("id", "name", "app", "icon", "stage", "words", "open", "node", "port"),
        id=_TEXT,
        name=_TEXT,
        app={"type": "string", "description": "the application's id; empty for other jobs"},
        icon=_TEXT,
        stage={"enum": ["waiting", "starting", "ready", "ending", "over"]},
        words={"type": "string", "description": "what is going on, for people"},
        open={"type": ["string", "null"], "description": "path at the portal, once it can be opened"},
        idle={
            "type": ["object", "null"],
            "description": "set when it ends soon, as nobody uses it",
            "required": ["since", "ends"],
            "properties": {"since": {"type": "number"}, "ends": {"type": "number"}},
        },
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
        ("name", "label", "kind", "help", "default", "required", "advanced"),
        name=_TEXT, label=_TEXT, help=_TEXT, default=_TEXT, required={"type": "boolean"}, advanced={"type": "boolean"},
        kind={"enum": ["text", "integer", "choice", "flag", "folder", "lines", "size", "time", "options"]},
        choices=_list(_object(("value", "label", "when"), value=_TEXT, label=_TEXT, when={"type": "object"})),
        least={"type": "integer"}, most={"type": "integer"}, when={"type": "object"},
    ),
    "Key": _object(
        ("kind", "fingerprint", "comment", "options"),
        kind=_TEXT, fingerprint=_TEXT, comment=_TEXT,
        options={"type": "string", "description": "what stands before it"},
    ),
    "Forward": _object(("name", "url", "state"), name=_TEXT, url=_TEXT, state=_TEXT),
    "Listener": _object(
        ("node", "port", "name", "open"),
        node=_TEXT, port={"type": "integer"}, name=_TEXT,
        open={"type": "string", "description": "path at the portal"},
    ),
    "Problem": _object(
        ("title", "status", "detail"),
        title=_TEXT, status={"type": "integer"}, detail=_TEXT,
        wrong={"type": "object", "description": "field → what would be right", "additionalProperties": _TEXT},
        request={"type": "string", "description": "its name in the portal's log, where the portal itself refused it"},
    ),
}  # fmt: skip

# What each request may be refused with, by the portal before it reaches the workspace or by the workspace.
_REFUSALS: Final = {
    "400": "Not to be read.",
    "401": "No token is shown, or none that is good.",
    "403": "The token is for something else, the account is locked, or another site's page asks.",
    "404": "There is none.",
    "405": "Not with this method.",
    "409": "Not now, or not so.",
    "413": "The body is too long.",
    "422": "Something has to be changed.",
    "429": "Too much is under way for this account.",
    "502": "Its workspace did not answer as it should.",
    "503": "The scheduler does not answer, or the portal is busy.",
}
_PROBLEMS: Final = {
    status: {"description": words, "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    for status, words in _REFUSALS.items()
}


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
            "Make a token at /tokens, or by: supercloud token create --for jobs,read. Each operation names, by its "
            "security, the scopes of which a token must have one.",
        },
        "servers": [{"url": portal}],
        "paths": {path: _with_scopes(path, operations) for path, operations in _PATHS.items()},
        "components": {
            "schemas": _SCHEMAS,
            "responses": _PROBLEMS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _with_scopes(path: str, operations: dict[str, Any]) -> dict[str, Any]:
    """:raises KeyError: no token is taken there; see `api_scopes`."""
    return {
        method: {**operation, "security": [{"token": [scope]} for scope in SCOPES[path][method.upper()]]}
        for method, operation in operations.items()
    }


def _answers(schema: dict[str, Any] | None, *, status: str = "200", **links: Any) -> dict[str, Any]:
    """:param links: operation → its parameter, and where in this request or its answer that is found."""
    answer: dict[str, Any] = {"description": "Done."}
    if schema is not None:
        answer["content"] = {"application/json": {"schema": schema}}
    if links:
        answer["links"] = {name: {"operationId": name, "parameters": told} for name, told in links.items()}
    return {status: answer, **{number: {"$ref": f"#/components/responses/{number}"} for number in _REFUSALS}}


def _takes(schema: dict[str, Any], **example: Any) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _operation(name: str, summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": answers, **more}


_APP_ID: Final = {**_NAME, "name": "app_id"}
_OFFSET: Final = {
    "name": "offset",
    "in": "query",
    "description": "bytes; negative for the end",
    "schema": {"type": "integer", "default": -1},
}
_FINGERPRINT: Final = {"name": "fingerprint", "in": "query", "required": True, "schema": _TEXT}
_SESSIONS: Final = _list(_ref("Session"))
_NOTICE: Final = _object(("kind", "text"), kind={"enum": ["info", "warning"]}, text=_TEXT)
_WORKSPACE: Final = _object(("sessions", "notices"), sessions=_SESSIONS, notices=_list(_NOTICE))
_LOOK: Final = {
    "name": "look",
    "in": "query",
    "description": "nodes: on the nodes of running jobs too",
    "schema": {"enum": ["here", "nodes"], "default": "here"},
}
_OF_THE_JOB: Final = {"job_id": "$response.body#/id"}
_OF_THE_NAME: Final = {"name": "$request.path.name"}
_PATHS: Final[dict[str, Any]] = {
    "/api/openapi.json": {"get": _operation("openapi", "This description", _answers({"type": "object"}))},
    "/api/token": {
        "get": _operation(
            "token",
            "What the token that is shown is for",
            _answers(
                _object(("id", "name", "for", "ends"), id=_TEXT, name=_TEXT, **{"for": _list(_TEXT)}, ends=_NUMBER)
            ),
        )
    },
    "/api/workspace": {
        "get": _operation(
            "workspace",
            "The newest 300 of the jobs, and what the site tells everybody, for who waits for a change: "
            "up to 15 seconds old",
            _answers(_WORKSPACE),
        )
    },
    "/api/apps": {"get": _operation("apps", "Applications", _answers(_object(("apps",), apps=_list(_ref("App")))))},
    "/api/apps/{app_id}": {
        "get": _operation("app", "An application, and what it asks", _answers(_ref("App")), parameters=[_APP_ID])
    },
    "/api/jobs": {
        "get": _operation("jobs", "Jobs, the newest first", _answers(_object(("jobs",), jobs=_SESSIONS))),
        "post": _operation(
            "launch",
            "Start an application",
            _answers(_object(("id",), id=_TEXT), status="201", job=_OF_THE_JOB, log=_OF_THE_JOB, stop=_OF_THE_JOB),
            requestBody=_takes(
                _object(("app",), app=_TEXT, values={"type": "object"}),
                app="web",
                values={"command": "python3 -m http.server {port}", "minutes": "30m"},
            ),
        ),
    },
    "/api/jobs/{job_id}": {
        "get": _operation("job", "A job", _answers(_ref("Session")), parameters=[_JOB_ID]),
        "delete": _operation("stop", "End it", _answers(None, status="204"), parameters=[_JOB_ID]),
    },
    "/api/jobs/{job_id}/renew": {
        "post": _operation(
            "renew", "Have it go on though nobody uses it", _answers(None, status="204"), parameters=[_JOB_ID]
        )
    },
    "/api/jobs/{job_id}/log": {
        "get": _operation(
            "log",
            "What it printed",
            _answers(
                _object(("text", "offset", "over"), text=_TEXT, offset={"type": "integer"}, over={"type": "boolean"})
            ),
            parameters=[_JOB_ID, _OFFSET],
        )
    },
    "/api/listeners": {
        "get": _operation(
            "listeners",
            "Programs that listen and are no jobs' applications",
            _answers(_object(("listeners",), listeners=_list(_ref("Listener")))),
            parameters=[_LOOK],
        )
    },
    "/api/quota": {
        "get": _operation(
            "quota",
            "Room in the home folder, in bytes",
            _answers(_object((), used={"type": "integer"}, available={"type": "integer"})),
        )
    },
    "/api/keys": {
        "get": _operation("keys", "SSH keys that let one in", _answers(_object(("keys",), keys=_list(_ref("Key"))))),
        "post": _operation(
            "add_key",
            "Let a key in",
            _answers(_ref("Key"), status="201", remove_key={"fingerprint": "$response.body#/fingerprint"}),
            requestBody=_takes(
                _object(("key",), key=_TEXT),
                key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFw5Ss0l8yDbKqvDQ6j8mJYgrZcYVWzUmGvB9fYqV0cH alice@laptop",
            ),
        ),
        "delete": _operation("remove_key", "Take a key out", _answers(None, status="204"), parameters=[_FINGERPRINT]),
    },
    "/api/forwards": {
        "get": _operation(
            "forwards", "Named forwards", _answers(_object(("forwards",), forwards=_list(_ref("Forward"))))
        )
    },
    "/api/forwards/{name}": {
        "put": _operation(
            "add_forward",
            "Have a name lead to a URL",
            _answers(
                None,
                status="204",
                disable_forward=_OF_THE_NAME,
                share_forward=_OF_THE_NAME,
                unshare_forward=_OF_THE_NAME,
                remove_forward=_OF_THE_NAME,
            ),
            parameters=[_NAME],
            requestBody=_takes(_object(("url",), url=_TEXT), url="http://node1:12001/"),
        ),
        "delete": _operation("remove_forward", "Give the name up", _answers(None, status="204"), parameters=[_NAME]),
    },
    "/api/forwards/{name}/disable": {
        "post": _operation(
            "disable_forward", "Keep the name, lead nobody", _answers(None, status="204"), parameters=[_NAME]
        )
    },
    "/api/forwards/{name}/share": {
        "post": _operation(
            "share_forward",
            "Let a group in",
            _answers(None, status="204"),
            parameters=[_NAME],
            requestBody=_takes(_object(("group",), group=_TEXT), group="proj"),
        )
    },
    "/api/forwards/{name}/unshare": {
        "post": _operation("unshare_forward", "Let nobody else in", _answers(None, status="204"), parameters=[_NAME])
    },
}
