"""The pages. Each works without a script; forms are answered by a redirect to what they changed (303)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from flask import Blueprint, Response, request

from supercloud.applications.catalogue import App
from supercloud.applications.definition import WrongDefinition
from supercloud.applications.form import Unanswered
from supercloud.applications.sessions import Session
from supercloud.forward_files import NotDone
from supercloud.notice import FIELD as NOTICES
from supercloud.notice import read_field
from supercloud.pages.api import Refusal, log_text, refusal_of
from supercloud.pages.keys import NotAKey
from supercloud.pages.rendering import render
from supercloud.pages.workspace import Workspace
from supercloud.scheduler.interface import SchedulerError

_RUNNING: Final = frozenset({"waiting", "starting", "ready", "ending"})


def make_pages(workspace: Workspace) -> Blueprint:
    """The pages of one person."""
    pages = Blueprint("pages", __name__)
    on = workspace

    def page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
        notices = read_field(request.headers.get(NOTICES))
        text = render(template, login=on.login, has_forwards=on.forwards is not None, notices=notices, **values)
        return Response(text, status=status.value, content_type="text/html; charset=utf-8")

    @pages.get("/")
    def home() -> Response:
        sessions, trouble = _sessions(on)
        has_looked = request.args.get("look") == "nodes"
        return page(
            "home.html",
            sessions=[one for one in sessions if one.stage in _RUNNING],
            recent=[one for one in sessions if one.stage == "over"][:3],
            trouble=trouble,
            apps=[one for one in on.catalogue.all() if isinstance(one, App)],
            listeners=on.listeners(sessions, on_nodes=has_looked),
            has_looked=has_looked,
            has_nodes=any(
                one.job is not None and one.job.state == "running" and one.job.nodes != ("localhost",)
                for one in sessions
            ),
            forwards=on.forwards.list() if on.forwards is not None else [],
            quota=on.quota(),
        )

    @pages.get("/launch")
    def launch() -> Response:
        return page("launch.html", apps=on.catalogue.all())

    @pages.get("/launch/<app_id>")
    def form(app_id: str) -> Response:
        app = _app(on, app_id)
        return page("form.html", app=app, fields=on.launching.asked(app), wrong={}, typed={}, trouble="")

    @pages.post("/launch/<app_id>")
    def submit(app_id: str) -> Response:
        app = _app(on, app_id)
        typed = request.form.to_dict()
        fields = on.launching.asked(app)
        # A box that is not ticked is not sent at all.
        given = {**{one.name: "false" for one in fields if one.kind == "flag"}, **typed}
        try:
            job_id = on.launch(app, given)
        except (Unanswered, SchedulerError, WrongDefinition, OSError) as error:
            refusal = refusal_of(error)
            return page(
                "form.html",
                refusal.status,
                app=app,
                fields=fields,
                wrong=refusal.wrong,
                typed=given,
                trouble=refusal.text,
            )
        return _see(f"/jobs/{quote(job_id, safe='')}")

    @pages.get("/jobs")
    def jobs() -> Response:
        sessions, trouble = _sessions(on)
        return page("jobs.html", sessions=sessions, trouble=trouble)

    @pages.get("/jobs/<job_id>")
    def job(job_id: str) -> Response:
        session = on.sessions.find(job_id)
        try:
            data, offset = on.sessions.log(session)
        except OSError:
            data, offset = b"", 0
        return page("job.html", one=session, log=log_text(data), offset=offset)

    @pages.post("/jobs/<job_id>/stop")
    def stop(job_id: str) -> Response:
        on.sessions.stop(job_id)
        return _see(f"/jobs/{quote(job_id, safe='')}")

    @pages.post("/jobs/<job_id>/renew")
    def renew(job_id: str) -> Response:
        on.sessions.renew(job_id)
        return _see(f"/jobs/{quote(job_id, safe='')}")

    def forwards_page(trouble: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
        if on.forwards is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "This site has no forwards.")
        # The first page leads here with an application's address, for whoever wants a name for it.
        typed = request.form or request.args
        return page("forwards.html", status, forwards=on.forwards.list(), trouble=trouble, typed=typed)

    @pages.get("/forwards")
    def forwards() -> Response:
        return forwards_page()

    @pages.post("/forwards")
    def change_forward() -> Response:
        if on.forwards is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "This site has no forwards.")
        name, do = request.form.get("name", ""), request.form.get("do", "")
        ways: dict[str, Callable[[], object]] = {
            "add": lambda: on.forwards.add(name, request.form.get("url", "")),  # type: ignore[union-attr]
            "remove": lambda: on.forwards.remove(name),  # type: ignore[union-attr]
            "disable": lambda: on.forwards.disable(name),  # type: ignore[union-attr]
            "share": lambda: on.forwards.share(name, request.form.get("group", "")),  # type: ignore[union-attr]
            "unshare": lambda: on.forwards.unshare(name),  # type: ignore[union-attr]
        }
        if do not in ways:
            raise Refusal(HTTPStatus.BAD_REQUEST, "This form says nothing that could be done.")
        try:
            ways[do]()
        except NotDone as error:
            refusal = refusal_of(error)
            return forwards_page(refusal.text, refusal.status)
        return _see("/forwards")

    def keys_page(trouble: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
        return page("keys.html", status, keys=on.keys.all(), trouble=trouble, typed=request.form)

    @pages.get("/keys")
    def keys() -> Response:
        return keys_page()

    @pages.post("/keys")
    def change_keys() -> Response:
        try:
            if request.form.get("do") == "remove":
                on.keys.remove(request.form.get("fingerprint", ""))
            else:
                on.keys.add(request.form.get("key", ""))
        except (NotAKey, OSError) as error:
            refusal = refusal_of(error)
            return keys_page(refusal.text, refusal.status)
        return _see("/keys")

    return pages


def refuse(error: Refusal, login: str, *, has_forwards: bool) -> Response:
    """A refusal as a page."""
    text = render(
        "trouble.html", login=login, title=error.status.phrase, words=error.text, has_forwards=has_forwards,
        notices=read_field(request.headers.get(NOTICES)),
    )  # fmt: skip
    return Response(text, status=error.status.value, content_type="text/html; charset=utf-8")


def _app(on: Workspace, app_id: str) -> App:
    found = on.catalogue.find(app_id)
    if found is None:
        raise Refusal(
            HTTPStatus.NOT_FOUND,
            "There is no such application, or it cannot be started. See what there is under Launch.",
        )
    return found


def _sessions(on: Workspace) -> tuple[list[Session], str]:
    """What runs; or why nobody can say, for a page that has more to show than this."""
    try:
        return on.sessions.all(), ""
    except SchedulerError as error:
        return [], str(error)


def _see(path: str) -> Response:
    return Response(status=HTTPStatus.SEE_OTHER.value, headers={"Location": path})
