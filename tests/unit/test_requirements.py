"""No release with a known weakness is installed or admitted, and what is installed is known by its hash. No network."""

from __future__ import annotations

import ast
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(.*?)(?=^[A-Za-z]|\Z)", re.MULTILINE | re.DOTALL)


def _locked(name: str) -> dict[str, tuple[Version, str]]:
    """Package → its version, and what else its entry says."""
    text = (ROOT / "requirements" / name).read_text()
    return {canonicalize_name(found[1]): (Version(found[2]), found[3]) for found in _PINNED.finditer(text)}


def _declared() -> dict[str, list[Requirement]]:
    """What setup.py asks for, by extra; "" for what it always does."""
    [call] = [
        node.value
        for node in ast.parse((ROOT / "setup.py").read_text()).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    given: dict[str, Any] = {
        word.arg: ast.literal_eval(word.value)
        for word in call.keywords
        if word.arg in ("install_requires", "extras_require")
    }
    everything = {"": given["install_requires"], **given["extras_require"]}
    return {extra: [Requirement(text) for text in texts] for extra, texts in everything.items()}


def _lowest(requirement: Requirement) -> Version | None:
    """The lowest version that is admitted; None without a lower bound."""
    bounds = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "==", "~=")]
    return max(bounds, default=None)


ADVISORIES: dict[str, Any] = tomllib.loads((ROOT / "requirements" / "advisories.toml").read_text())
AS_OF = ADVISORIES.pop("as_of")
FIXED = {
    package: max((Version(version), ids) for version, ids in versions.items())
    for package, versions in ADVISORIES.items()
}
LOCKED = {name: _locked(name) for name in ("run.txt", "test.txt")}
DECLARED = _declared()
EACH = [(extra, one) for extra, requirements in DECLARED.items() for one in requirements]


@pytest.mark.parametrize(("extra", "requirement"), EACH, ids=str)
def test_no_lower_bound_admits_a_release_that_is_known_to_be_vulnerable(extra: str, requirement: Requirement) -> None:
    lowest = _lowest(requirement)
    assert lowest is not None, f"{requirement} admits every release there ever was"
    fixed, ids = FIXED.get(canonicalize_name(requirement.name), (Version("0"), []))
    assert lowest >= fixed, f"{requirement} admits releases with {', '.join(ids)}; ask for {fixed}"


@pytest.mark.parametrize("name", LOCKED)
def test_no_locked_release_is_known_to_be_vulnerable(name: str) -> None:
    for package, (fixed, ids) in FIXED.items():
        version, _ = LOCKED[name].get(package, (fixed, ""))
        assert version >= fixed, f"{name}: {package} {version} has {', '.join(ids)}; run make update"


def test_what_there_is_an_advisory_for_is_used_and_bounded() -> None:
    named = {canonicalize_name(requirement.name) for _, requirement in EACH}
    assert FIXED.keys() <= LOCKED["test.txt"].keys(), "an advisory for what is not installed"
    assert FIXED.keys() <= named, "what others bring in needs a lower bound of ours"


@pytest.mark.parametrize(("name", "extras"), [("run.txt", ("", "build")), ("test.txt", ("", "build", "test", "lint"))])
def test_the_locked_sets_are_what_setup_py_asks_for(name: str, extras: tuple[str, ...]) -> None:
    for requirement in (one for extra in extras for one in DECLARED[extra]):
        version, _ = LOCKED[name][canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{name}: {requirement}, but {version}; run make update"


@pytest.mark.parametrize("name", LOCKED)
def test_each_locked_release_has_hashes(name: str) -> None:
    assert len(LOCKED[name]) > 30
    for package, (_, rest) in LOCKED[name].items():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", rest), package


def test_both_sets_lock_the_same_releases() -> None:
    for package, (version, _) in LOCKED["run.txt"].items():
        assert LOCKED["test.txt"][package][0] == version


def test_advisories_are_written_as_they_are_called() -> None:
    assert isinstance(AS_OF, date)
    for package, versions in ADVISORIES.items():
        assert package == canonicalize_name(package)
        for ids in versions.values():
            assert ids
            assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}|GHSA(-[a-z0-9]{4}){3}|PYSEC-\d{4}-\d+", one) for one in ids)


def test_what_builds_the_package_is_what_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["requires"] == [str(one) for one in DECLARED["build"]]
