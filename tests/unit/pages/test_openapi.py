"""The API's description says what the API does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supercloud.pages.openapi import describe
from tests.fakes.workspace import FakeWorkspace

DESCRIPTION = describe("https://portal.test")
OPERATIONS = {
    operation["operationId"]: (path, method, operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [one for name, part in value.items() for one in ([part] if name == "$ref" else _references(part))]
    return [one for part in value for one in _references(part)] if isinstance(value, list) else []


def test_each_reference_leads_somewhere() -> None:
    for reference in _references(DESCRIPTION):
        found = DESCRIPTION
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def test_each_operation_has_a_name_of_its_own() -> None:
    assert len(OPERATIONS) == sum(map(len, DESCRIPTION["paths"].values()))


def test_links_lead_to_operations_and_name_their_parameters() -> None:
    for _, _, operation in OPERATIONS.values():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                named = {one["name"] for one in OPERATIONS[link["operationId"]][2]["parameters"]}
                assert set(link["parameters"]) <= named


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_each_refusal_has_the_one_form(name: str) -> None:
    answers = OPERATIONS[name][2]["responses"]
    for status in ("400", "401", "403", "404", "409", "413", "422", "503"):
        content = DESCRIPTION["components"]["responses"][answers[status]["$ref"].rpartition("/")[2]]["content"]
        assert set(content) == {"application/problem+json"}


def test_what_is_always_there_is_there(tmp_path: Path) -> None:
    here = FakeWorkspace(tmp_path)
    here.scheduler.has("7")
    schemas = DESCRIPTION["components"]["schemas"]
    told = {
        "Session": here.client.get("/api/jobs/7").json,
        "App": here.client.get("/api/apps/jupyterlab").json,
        "Field": here.client.get("/api/apps/jupyterlab").json["fields"][0],  # type: ignore[index]
        "Problem": here.client.get("/api/jobs/8").json,
    }
    for name, value in told.items():
        assert set(schemas[name]["required"]) <= set(value or ()) <= set(schemas[name]["properties"]), name
