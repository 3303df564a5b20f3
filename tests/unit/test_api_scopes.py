"""The table of scopes is whole: what the API describes and answers stands in it, and nothing else does."""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from supercloud.api_scopes import SCOPES, methods_of
from supercloud.authn.scope import ABOUT, EVENTS
from supercloud.pages.api import make_api
from supercloud.pages.openapi import describe
from tests.fakes.workspace import FakeWorkspace

DESCRIBED = {
    (path, method.upper()): operation
    for path, operations in describe("https://portal.test")["paths"].items()
    for method, operation in operations.items()
}
TAKEN = {(path, method): scopes for path, methods in SCOPES.items() for method, scopes in methods.items()}


def test_each_operation_that_is_described_has_its_scopes_and_says_so() -> None:
    assert DESCRIBED.keys() == TAKEN.keys()
    for operation, scopes in TAKEN.items():
        assert DESCRIBED[operation]["security"] == [{"token": [scope]} for scope in scopes]


def test_each_route_that_the_worker_answers_stands_in_the_table(tmp_path: Path) -> None:
    made = Flask("api")
    made.register_blueprint(make_api(FakeWorkspace(tmp_path).workspace))
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method)
        for rule in made.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    assert routes == TAKEN.keys() - {("/api/token", "GET")}
    assert (EVENTS.decode(), "GET") not in TAKEN


def test_only_known_scopes_are_named_and_never_none() -> None:
    assert all(scopes and ABOUT.keys() >= set(scopes) for scopes in TAKEN.values())


def test_what_only_tells_is_open_to_who_may_only_read_and_nothing_else_is() -> None:
    assert {operation for operation, scopes in TAKEN.items() if "read" in scopes} == {
        operation for operation in TAKEN if operation[1] == "GET"
    }


def test_a_name_stands_for_one_segment() -> None:
    assert methods_of("/api/jobs/7") == SCOPES["/api/jobs/{job_id}"]
    assert methods_of("/api/jobs/7/log") == SCOPES["/api/jobs/{job_id}/log"]
    assert methods_of("/api/jobs/7/log/x") == methods_of("/api/jobs/") == {}
