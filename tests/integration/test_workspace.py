"""The workspace of a real worker behind a real front: its first page, its live updates, and the way into a job."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.portal import ROOT, Curl, is_readable_by_all, start_embedded, until
from lab.processes import Processes, free_port

pytestmark = pytest.mark.root
_PAGE = ("-H", "Sec-Fetch-Site: none", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: document")


@pytest.fixture(scope="module")
def hers(processes: Processes, accounts: Any, public_copies: Any) -> Iterator[SimpleNamespace]:
    """Alice's own portal, and a curl that is signed in there."""
    if not is_readable_by_all(ROOT / "setup.py"):
        pytest.skip("this checkout lies where other accounts cannot read it")
    alice, port = accounts["alice"], free_port()
    state = alice.home / "workspace-state"

    def as_alice(argv: list[str], node: str | None = None, **pipes: Any) -> Any:
        return accounts.run_as("alice", argv, node=node, **pipes)

    portal = start_embedded(processes, port, state, start=as_alice)
    ca = public_copies.folder / "workspace-ca.pem"
    ca.write_bytes((state / "tls" / "ca.pem").read_bytes())
    curl = Curl(public_copies.folder / "curl-workspace", ca)
    assert curl(portal.link()).status == 200
    _make_application(alice)
    made = SimpleNamespace(url=f"https://localhost:{port}", port=port, curl=curl, account=alice, jobs=[])
    yield made
    for job in made.jobs:
        curl(
            f"{made.url}/api/jobs/{job}",
            "-X",
            "DELETE",
            "-H",
            "Sec-Fetch-Site: same-origin",
            "-H",
            f"Origin: {made.url}",
        )
    portal.stop()


def _make_application(alice: Any) -> None:
    folder = alice.home / ".config/supercloud/apps/hers"
    folder.mkdir(parents=True)
    (folder / "app.toml").write_text('name = "Hers"\n[open]\nauthorization = "token {token}"\n')
    (folder / "script.sh.j2").write_text("exec sleep 600\n")
    for path in (*folder.iterdir(), folder, *list(folder.parents)[:3]):
        os.chown(path, alice.uid, alice.gid)


def start(hers: SimpleNamespace) -> str:
    """A job of an application of her own, which never listens; its id."""
    form = ["-d", "minutes=10m", "-H", "Sec-Fetch-Site: same-origin", "-H", f"Origin: {hers.url}"]
    answer = hers.curl(f"{hers.url}/launch/hers", *form, follow=False)
    assert answer.status == 303
    job = str(answer.field("Location").rpartition("/")[2])
    hers.jobs.append(job)
    return job


def announce(account: Any, job: str, mode: int = 0o600, **said: Any) -> Path:
    """What a job of the account's would write."""
    folder = account.home / ".local/share/supercloud/sessions"
    made = [folder, *list(folder.parents)[:3]]
    folder.mkdir(parents=True, exist_ok=True)
    file: Path = folder / f"{job}.json"
    file.write_text(json.dumps(said))
    file.chmod(mode)
    for path in (file, *made):
        os.chown(path, account.uid, account.gid)
    return file


def test_the_first_page_is_the_workers_and_runs_the_portals_script_only(hers: Any) -> None:
    answer = hers.curl(f"{hers.url}/", *_PAGE)
    assert answer.status == 200
    assert "workspace.js" in answer.text
    policy = answer.field("Content-Security-Policy")
    assert f"script-src https://localhost:{hers.port}/.portal/workspace.js;" in policy
    assert f"form-action 'self' https://*.fh.localhost:{hers.port}" in policy
    assert hers.curl(f"{hers.url}/.portal/workspace.js").status == 200
    assert hers.curl(f"{hers.url}/api/workspace").json() is not None


def test_open_pages_are_told_at_once(hers: Any) -> None:
    listening: subprocess.Popen[bytes] = hers.curl.start(f"{hers.url}/api/events")
    assert listening.stdout is not None
    try:
        assert [listening.stdout.readline() for _ in range(3)] == [b"retry: 3000\n", b"\n", b"event: workspace\n"]
        assert isinstance(json.loads(listening.stdout.readline().removeprefix(b"data: ")), dict)
    finally:
        listening.kill()
        listening.wait()
        listening.stdout.close()


@pytest.mark.usefixtures("accounts")
def test_a_job_is_opened_with_what_lets_its_owner_in(hers: Any, applications: Any) -> None:
    app = applications.start("alice")
    job = start(hers)
    announce(hers.account, job, node="localhost", port=app.port, path="/who?lab", token="secret-1", forward="")
    led = hers.curl(f"{hers.url}/open/{job}", *_PAGE, follow=False)
    assert led.status == 303
    assert led.field("Location") == f"https://localhost-{app.port}-u{hers.account.uid}.fh.localhost:{hers.port}/who?lab"
    told = hers.curl(f"{hers.url}/open/{job}", *_PAGE).json()
    assert (told["uid"], told["path"]) == (hers.account.uid, "/who?lab")
    assert dict(told["headers"])["Authorization"] == "token secret-1"
    jar = hers.curl.jar.read_text()
    assert "secret-1" not in jar


def test_a_listener_of_bobs_that_a_file_names_is_told_nothing(hers: Any, applications: Any) -> None:
    app = applications.start("bob")
    job = start(hers)
    announce(hers.account, job, node="localhost", port=app.port, path="/who", token="secret-2")
    assert hers.curl(f"{hers.url}/open/{job}", *_PAGE).status == 404
    assert app.events("accepted") == []


def test_a_file_that_others_may_read_tells_nothing(hers: Any) -> None:
    job = start(hers)
    announce(hers.account, job, 0o644, node="localhost", port=8888)
    answer = hers.curl(f"{hers.url}/open/{job}", *_PAGE)
    assert answer.status == 503
    assert "has not said where it listens" in answer.text


def test_a_job_saved_on_a_drive_runs_is_followed_and_cancelled(hers: Any) -> None:
    def dav(name: str, *how: str) -> Any:
        return hers.curl(f"{hers.url}/dav/~/portal-jobs{name}", *how, "-H", "Sec-Fetch-Site: same-origin")

    def save(name: str, text: str) -> int:
        origin = ("-H", f"Origin: {hers.url}")
        return int(dav(f"/{name}", "-X", "PUT", "--data-binary", text, *origin).status)

    assert dav("", "-X", "MKCOL", "-H", f"Origin: {hers.url}").status == 201
    assert save("sim.job", "#!/bin/sh\nid -u\nsleep 600\n") == 201
    until(lambda: dav("/sim.out").text == f"{hers.account.uid}\n", "its output")
    until(lambda: dav("/sim.status").json()["state"] == "running", "its status")
    assert save("sim.cancel", "now") == 201
    until(lambda: dav("/sim.status").json()["state"] == "cancelled", "its end")
    told = dav("/sim.status").json()
    assert (told["node"], told["message"]) == ("localhost", "It was stopped.")
