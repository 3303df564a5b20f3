"""The workspace as a WSGI application: pages, and the API below ``/api``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from supercloud.pages import api, html
from supercloud.pages.api import MOST_BODY, Refusal, refusal_of
from supercloud.pages.workspace import Workspace

_log = logging.getLogger("supercloud.pages")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make_app(workspace: Workspace) -> Application:
    """The application of the account that this process is."""
    app = Flask("supercloud.pages", static_folder=None, template_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MOST_BODY, MAX_FORM_MEMORY_SIZE=MOST_BODY, PROPAGATE_EXCEPTIONS=False)
    app.register_blueprint(api.make_api(workspace))
    app.register_blueprint(html.make_pages(workspace))

    @app.errorhandler(Exception)
    def refuse(error: Exception) -> Response:
        refusal = _known(error)
        if refusal.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("%s %s failed", request.method, request.path, exc_info=error)
        if request.path.startswith("/api/"):
            response = api.refuse(refusal)
        else:
            response = html.refuse(refusal, workspace.login, has_forwards=workspace.forwards is not None)
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))  # RFC 9110 section 15.5.6
        return response

    @app.after_request
    def keep_nothing(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    application: Application = app.wsgi_app
    return application


def _known(error: Exception) -> Refusal:
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.code or 500)
        if isinstance(error, NotFound):
            return Refusal(status, "There is nothing at this address.")
        return Refusal(status, error.description or status.description)
    return refusal_of(error)
