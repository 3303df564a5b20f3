"""SECURITY.md's promises each name the tests that attack them, and those tests are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = (ROOT / "tests/acceptance/__main__.py").read_text()
_ROW = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<tests>[^|]+) \|$", re.MULTILINE)
_TEST = re.compile(r"`([^`]+)`")


def rows() -> dict[str, list[str]]:
    """Promise to the tests that it names."""
    text = (ROOT / "SECURITY.md").read_text()
    _, _, rest = text.partition("## What the portal promises\n")
    section, _, _ = rest.partition("\n## ")
    found = {row["promise"].strip(): _TEST.findall(row["tests"]) for row in _ROW.finditer(section)}
    return {promise: tests for promise, tests in found.items() if promise != "promise" and promise[0] != "-"}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_each_promise_stands_in_the_table() -> None:
    text = (ROOT / "SECURITY.md").read_text().partition("## What the portal promises\n")[2].partition("\n## ")[0]
    assert len(rows()) >= 20
    assert not re.search(r"^- ", text, re.MULTILINE), "a promise without tests"


@pytest.mark.parametrize(("promise", "tests"), rows().items(), ids=lambda one: str(one)[:40])
def test_the_tests_of_a_promise_are_there(promise: str, tests: list[str]) -> None:
    assert tests, f"no test attacks: {promise}"
    for one in tests:
        if one.startswith("ONLY="):
            assert f'"{one.removeprefix("ONLY=")}"' in NAMES, one
            continue
        file, _, name = one.partition("::")
        assert name in names_in(file), one
