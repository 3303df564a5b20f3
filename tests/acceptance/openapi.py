"""schemathesis asks the API all that its description allows, and what it does not; what it promises is true."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from lab.processes import PYTHON

from tests.acceptance.lab_of import OUT, Lab
from tests.acceptance.people_of import People
from tests.acceptance.site_of import PasswordSite

_VERSION = "4.32.5"
# Not under a home, and kept from run to run.
VENV = Path(f"/var/tmp/supercloud-schemathesis-{_VERSION}")
# What an application asks is the application's own: a description of the API cannot say which values are right.
_SETTINGS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]
"""


def prepare() -> None:
    """Install schemathesis from PyPI, once."""
    if (VENV / "bin" / "schemathesis").exists():
        return
    subprocess.run([PYTHON, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "pip"), "--disable-pip-version-check", "--quiet", "install", f"schemathesis=={_VERSION}"]
    subprocess.run(pip, check=True)


def run(lab: Lab) -> None:
    """See the module's first line."""
    prepare()
    folder = lab.folder / "portal-url-fw"
    folder.mkdir()
    folder.chmod(0o1777)
    site = PasswordSite(lab, more=f'[forwards]\ndirectory = "{folder}"\n[scheduler]\nkind = "local"\n')
    people = People(lab, site)
    token = people.token("alice", "read,jobs,keys,forwards")
    description = _ask(site, token, "GET", "/api/openapi.json")
    (lab.folder / "schemathesis.toml").write_text(_SETTINGS)
    try:
        for seed in ("1", "2"):
            _examine(lab, site, token, seed)
        _hold_answers(lab, site, description)
    finally:
        _end_jobs(site, token)
    site.portal.stop()


def _examine(lab: Lab, site: PasswordSite, token: str, seed: str) -> None:
    argv = [
        *(str(VENV / "bin" / "schemathesis"), "run", f"{site.url}/api/openapi.json", "--tls-verify", str(site.ca)),
        *("--header", f"Authorization: Bearer {token}", "--seed", seed, "--max-examples", "50"),
        # A job that was ended is still there to be looked at.
        *("--checks", "all", "--exclude-checks", "use_after_free", "--continue-on-failure", "--request-timeout", "20"),
    ]
    done = subprocess.run(argv, cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (OUT / f"openapi-{seed}.txt").write_text(done.stdout.replace(token, "TOKEN"))
    said = re.findall(r"^ +(?:\d+ generated.*|.* passed.*|API Links.*)$|^- ST\d.*$", done.stdout, re.MULTILINE)
    for line in said:
        lab.saw(line.strip())
    lab.holds(done.returncode == 0, f"seed {seed}: schemathesis finds nothing that is not as it is described")


def _hold_answers(lab: Lab, site: PasswordSite, description: dict[str, Any]) -> None:
    """Each operation was carried out as well, and none failed in the portal."""
    answered: dict[str, Counter[int]] = {}
    for path, operations in description["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for method in operations:
            answered[f"{method.upper()} {path}"] = Counter(
                line["status"]
                for line in map(json.loads, site.audit.read_text().splitlines())
                if line.get("method") == method.upper() and pattern.fullmatch(line["path"].partition("?")[0])
            )
    for operation, statuses in answered.items():
        lab.saw(f"{operation}: {', '.join(f'{status} {number} times' for status, number in sorted(statuses.items()))}")
    lab.holds(
        all(any(status < 300 for status in statuses) for statuses in answered.values()),
        "each operation was carried out",
    )
    lab.holds(
        not any(status >= 500 for statuses in answered.values() for status in statuses),
        "none was answered by 500 or more",
    )


def _end_jobs(site: PasswordSite, token: str) -> None:
    for one in _ask(site, token, "GET", "/api/jobs")["jobs"]:
        if one["stage"] != "over":
            _ask(site, token, "DELETE", f"/api/jobs/{one['id']}")


def _ask(site: PasswordSite, token: str, method: str, path: str) -> Any:
    answer = site.curl()(f"{site.url}{path}", "-X", method, "-H", f"Authorization: Bearer {token}")
    if answer.status >= 300:
        raise ConnectionError(f"{method} {path}: {answer}")
    return answer.json() if answer.body else None
