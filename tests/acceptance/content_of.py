"""What alice has at a portal: jobs in every stage, forwards good and broken, keys, files, applications of her own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from lab.portal import until
from lab.processes import PYTHON, free_port, wait_until_listening

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import Site

LONG = "a-name-that-somebody-made-much-longer-than-any-line-of-a-phone-has-room-for-" * 2
_KEYS = (
    "# laptop and workstation\n"
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA alice@laptop\n"
    'from="10.77.0.0/24,*.example.org",no-agent-forwarding ssh-ed25519 '
    "AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n"
)
_FILES = {
    "results.csv": 48_213,
    "thesis.pdf": 7_340_032,
    "raw.h5": 12_884_901_888,
    "Übersicht März.txt": 912,
    "مرحبا.txt": 3,
    f"{LONG}.dat": 1_000_000,
    "empty": 0,
}
_FAILS = "echo reading config; for i in $(seq 40); do echo step $i of 40; done; echo ValueError: no data >&2; exit 3"


class Content:
    """Alice's, at one portal.

    :ivar jobs: stage → id of a job that is in it, or has come to this end.
    :ivar port: of an application of hers that listens here.
    :ivar others: of one of bob's.
    :ivar unused: a port where nothing listens.
    """

    def __init__(self, lab: Lab, site: Site, forwards: Path) -> None:
        self._lab, self._site = lab, site
        self._alice = lab.accounts["alice"]
        self.jobs: dict[str, str] = {}
        self.port, self.others = free_port(), free_port()
        self.listen("alice", self.port)
        self.listen("bob", self.others)
        self.unused = free_port()
        self._forwards(forwards)
        self._files()
        self._write(".ssh/authorized_keys", _KEYS)
        self._write(".config/supercloud/apps/broken/app.toml", 'name = "Broken"\ncolour = "blue"\n')
        self._write(".config/supercloud/apps/broken/script.sh.j2", "true\n")
        self._write(
            ".config/supercloud/apps/sweep/app.toml",
            'name = "Parameter sweep"\nabout = "Of her own."\nicon = "Sw"\n'
            '[[field]]\nname = "kind"\nkind = "choice"\ndefault = "grid"\n'
            'choices = [{ value = "grid" }, { value = "random" }]\n'
            '[[field]]\nname = "draws"\nkind = "integer"\ndefault = 20\nleast = 1\nmost = 500\n'
            'when = { kind = ["random"] }\n'
            '[[field]]\nname = "mail"\nlabel = "Write to me when it ends"\nkind = "flag"\ndefault = true\n'
            '[[field]]\nname = "lines"\nlabel = "Parameters, one a line"\nkind = "lines"\n',
        )
        self._write(".config/supercloud/apps/sweep/script.sh.j2", "true\n")
        lab.at_end(self._end_jobs)
        self._jobs()

    def listen(self, login: str, port: int) -> None:
        """Start an application of somebody's."""
        argv = [PYTHON, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
        process = self._lab.accounts.run_as(login, argv, cwd="/", stderr=subprocess.DEVNULL)
        wait_until_listening("127.0.0.1", port, process=process)

    def _forwards(self, folder: Path) -> None:
        here, nowhere = f"http://localhost:{self.port}/", f"http://localhost:{self.unused}/"
        for name, owner, text, mode in (
            ("alice-board", "alice", here, 0o700),
            ("alice-silent", "alice", nowhere, 0o700),
            ("alice-off", "alice", here, 0o600),
            ("alice-kept", "alice", "", 0o600),
            ("alice-twice", "alice", f"http://localhost:1/\n{here}", 0o700),
            ("alice-broken", "alice", "localhost 8080", 0o700),
            (LONG, "alice", f"{here}{LONG}/", 0o700),
            ("bob-private", "bob", f"http://localhost:{self.others}/", 0o700),
        ):
            file, account = folder / name, self._lab.accounts[owner]
            file.write_text(f"{text}\n" if text else "")
            os.chown(file, account.uid, account.gid)
            file.chmod(mode)

    def _files(self) -> None:
        for name, size in _FILES.items():
            with self._own(f"work/{name}").open("wb") as file:
                file.truncate(size)
        for name in ("figures", "notebooks", "empty folder"):
            self._folder(self._alice.home / "work" / name)

    def _own(self, path: str) -> Path:
        """A file of hers."""
        file = self._alice.home / path
        self._folder(file.parent)
        file.touch()
        os.chown(file, self._alice.uid, self._alice.gid)
        return file

    def _folder(self, path: Path) -> None:
        """A folder of hers, and all above it in her home."""
        if path != self._alice.home and not path.is_dir():
            self._folder(path.parent)
            path.mkdir()
            os.chown(path, self._alice.uid, self._alice.gid)

    def _write(self, path: str, text: str) -> None:
        self._own(path).write_text(text)

    def _jobs(self) -> None:
        self.jobs["done"] = self._start("web", command="echo all is well")
        self.jobs["stopped"] = self._start("web", command="sleep 900")
        self.jobs["failed"] = self._start("web", command=_FAILS)
        self.jobs["unable"] = self._start("jupyterlab", environment="/nothing/here")
        self.jobs["starting"] = self._start("web", command="echo it takes its time; sleep 900")
        self.jobs["ready"] = self._start("web", command="python3 -m http.server {port}")
        folders = set(self._job_folders())
        self.jobs["idle"] = self._start("web", command="python3 -m http.server {port}")
        [folder] = set(self._job_folders()) - folders
        judged = {"since": time.time() - 7200, "ends": time.time() + 1500}
        self._write(f"{folder.relative_to(self._alice.home)}/idle.json", json.dumps(judged))
        self._api("DELETE", f"/api/jobs/{self.jobs['stopped']}")
        # One that waits: nothing waits here, so it is one that its runner has said nothing of yet.
        self.jobs["waiting"] = str(max(map(int, self.jobs.values())) + 1)
        self._write(
            f".local/state/supercloud/jobs/{self.jobs['waiting']}/job.json",
            json.dumps({"name": "train", "script": "/x", "folder": "/", "output": "/x", "submitted": time.time()}),
        )
        stages = {
            "done": "over",
            "stopped": "over",
            "failed": "over",
            "unable": "over",
            "ready": "ready",
            "idle": "ready",
        }
        for name, stage in {**stages, "starting": "starting", "waiting": "waiting"}.items():
            until(lambda name=name, stage=stage: self._stage(name) == stage, f"{name} is {stage}", within=20)  # type: ignore[misc]

    def _job_folders(self) -> list[Path]:
        return list((self._alice.home / ".local/share/supercloud/jobs").iterdir())

    def _start(self, app: str, **values: str) -> str:
        return str(self._api("POST", "/api/jobs", {"app": app, "values": values})["id"])

    def _stage(self, name: str) -> str:
        return str(self._api("GET", f"/api/jobs/{self.jobs[name]}")["stage"])

    def _api(self, method: str, path: str, body: object = None) -> dict[str, str]:
        data = None if body is None else json.dumps(body).encode()
        same = ("-H", "Sec-Fetch-Site: same-origin", "-H", f"Origin: {self._site.url}")
        answer = self._site.of("alice")(f"{self._site.url}{path}", "-X", method, *same, data=data)
        if answer.status >= 400:
            raise ConnectionError(f"{method} {path}: {answer}")
        told: dict[str, str] = answer.json() if answer.body else {}
        return told

    def _end_jobs(self) -> None:
        for name in ("starting", "ready", "idle", "stopped"):
            with contextlib.suppress(ConnectionError, KeyError):
                self._api("DELETE", f"/api/jobs/{self.jobs[name]}")
        with contextlib.suppress(KeyError):
            shutil.rmtree(self._alice.home / f".local/state/supercloud/jobs/{self.jobs['waiting']}")
