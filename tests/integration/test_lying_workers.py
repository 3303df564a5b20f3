"""A worker is its user's process and may say what it likes: what the front then does, with real accounts.

Alice's worker answers from a file (`lab/lying_worker.py`). Bob's applications tell what reached them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lab.forward_site import ForwardSite, forward_site, visit
from lab.portal import Answer, until
from lab.processes import Processes

pytestmark = pytest.mark.root

_LAB = Path(__file__).with_name("lab")
_PAGE = ("-H", "Sec-Fetch-Site: none", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: document")


@pytest.fixture(scope="module")
def site(accounts: Any, public_copies: Any) -> Iterator[ForwardSite]:
    processes = Processes()

    def lying(argv: list[str], node: object = None, **popen: Any) -> Any:
        return processes.start([sys.executable, str(_LAB / "lying_portal.py"), *argv[1:]], cwd="/", **popen)

    try:
        with forward_site(accounts, public_copies, start=lying) as made:
            yield made
    finally:
        processes.stop()


@pytest.fixture(autouse=True)
def honest_again(site: ForwardSite) -> Iterator[None]:
    lies(site).mkdir(exist_ok=True)
    lies(site).chmod(0o777)
    yield
    for file in lies(site).iterdir():
        file.unlink()


def lies(site: ForwardSite) -> Path:
    return site.head.folder / "run" / "lies"


def say(site: ForwardSite, says: dict[str, dict[str, Any]]) -> None:
    """Have alice's worker say so."""
    (lies(site) / "alice.json").write_text(json.dumps(says))


def asked(site: ForwardSite) -> list[str]:
    file = lies(site) / "alice.asked"
    return file.read_text().splitlines() if file.exists() else []


def go(site: ForwardSite, path: str, *more: str, follow: bool = True) -> Answer:
    """Alice goes to an address of the portal's."""
    answer: Answer = site.people["alice"](f"{site.head.url}{path}", *_PAGE, *more, follow=follow)
    return answer


def lie_about(site: ForwardSite, name: str) -> None:
    """Say that alice may execute a file, whatever its state is now."""
    status = (site.folder.path / name).lstat()
    told = {"device": status.st_dev, "inode": status.st_ino, "ctime": status.st_ctime_ns, "uid": status.st_uid}
    body = json.dumps({**told, "regular": True, "allowed": True})
    say(site, {"MAY-EXECUTE": {"body": body}})


def test_her_worker_does_not_say_whether_she_may_use_bobs_forward(site: ForwardSite) -> None:
    bobs = site.holders["bob"]
    name, before = site.write("bob", f"http://localhost:{bobs.port}/", 0o700), bobs.bytes
    lie_about(site, name)
    assert visit(site, "alice", name).status == 404
    assert bobs.bytes == before


def test_her_worker_does_not_undo_bobs_chmod(site: ForwardSite) -> None:
    bobs = site.holders["bob"]
    name = site.write("bob", f"http://localhost:{bobs.port}/", 0o711)
    assert visit(site, "alice", name).status == 200
    (site.folder.path / name).chmod(0o700)
    lie_about(site, name)
    until(lambda: visit(site, "alice", name).status == 404, "the refusal", within=2)
    before = bobs.bytes
    assert visit(site, "alice", name).status == 404
    assert bobs.bytes == before


def test_her_worker_is_asked_nothing_about_anybodys_forward(site: ForwardSite) -> None:
    name = site.write("bob", f"http://localhost:{site.holders['bob'].port}/", 0o711)
    assert go(site, "/dav/~/").status == 200, "she has a worker"
    assert visit(site, "alice", name).status == 200
    assert "GET /dav/" in " ".join(asked(site)), "it notes what it is asked"
    assert not [line for line in asked(site) if name in line]


@dataclass(frozen=True)
class Lie:
    """:ivar says: of alice's worker, by method and path.
    :ivar path: where she goes then; ``{bob}`` is bob's port.
    :ivar status: what she is answered.
    :ivar never: field of the answer that must not be there, or words of the page.
    """

    says: dict[str, dict[str, Any]]
    path: str
    status: tuple[int, ...]
    never: tuple[str, ...] = ()
    more: tuple[str, ...] = field(default=())


_ORIGINS_FIELDS = [
    ("Set-Cookie", "__Host-Http-supercloud=planted; Path=/; Secure; HttpOnly"),
    ("Clear-Site-Data", '"*"'),
    ("Strict-Transport-Security", "max-age=7"),
    ("Service-Worker-Allowed", "/"),
    ("Alt-Svc", 'h2="evil.example:443"'),
    ("NEL", "{}"),
    ("Report-To", "{}"),
    ("Access-Control-Allow-Origin", "https://evil.example"),
    ("Content-Security-Policy", "script-src *"),
    ("Content-Type", "text/html"),
]
_NEVER = ("planted", "clear-site-data", "max-age=7", "service-worker-allowed", "alt-svc", "nel", "script-src *")
_SESSION = {"path": "/", "authorization": "token stolen"}

LIES: dict[str, Lie] = {
    "a job of hers listens at bob's port": Lie(
        {"SESSION": {"body": json.dumps({"node": "localhost", "port": "{bob}", **_SESSION})}}, "/open/42", (404,)
    ),
    "a job of hers listens at a node that the site does not open": Lie(
        {"SESSION": {"body": json.dumps({"node": "example.org", "port": 8080, **_SESSION})}}, "/open/42", (404,)
    ),
    "a job of hers is opened at another site": Lie(
        {"SESSION": {"body": json.dumps({"node": "localhost", "port": 8080, **_SESSION, "path": "//evil.example/"})}},
        "/open/42",
        (503,),
        ("evil.example",),
    ),
    "a job of hers is let in by two fields": Lie(
        {
            "SESSION": {
                "body": json.dumps({"node": "localhost", "port": 8080, **_SESSION, "authorization": "a b\r\nX: y"})
            }
        },
        "/open/42",
        (503,),
    ),
    "what it says of a job is no JSON": Lie({"SESSION": {"body": "{" * 1000}}, "/open/42", (503,)),
    "what it says of a job is too long": Lie({"SESSION": {"body": "x" * 100_000}}, "/open/42", (503,)),
    "it answers about a job with another status": Lie(
        {"SESSION": {"status": "302 Found", "fields": [("Location", "https://evil.example/")]}},
        "/open/42",
        (503,),
        ("evil.example",),
    ),
    "a file with fields that are the origin's": Lie(
        {"GET": {"fields": _ORIGINS_FIELDS, "body": "<script>1</script>"}}, "/dav/~/x.html", (200,), _NEVER
    ),
    "a folder with fields that are the origin's": Lie(
        {"GET": {"fields": _ORIGINS_FIELDS, "body": "<script>1</script>"}}, "/dav/~/", (200,), _NEVER
    ),
    "a page with fields that are the origin's": Lie(
        {"GET": {"fields": _ORIGINS_FIELDS, "body": "<script>1</script>"}}, "/", (200,), _NEVER
    ),
    "another protocol": Lie(
        {"GET": {"status": "101 Switching Protocols", "fields": [("Upgrade", "x"), ("Connection", "upgrade")]}},
        "/dav/~/x",
        (502,),
    ),
    "a challenge for a password": Lie(
        {"GET": {"status": "401 No", "fields": [("WWW-Authenticate", 'Basic realm="x"')]}},
        "/",
        (401,),
        ("www-authenticate",),
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_what_her_worker_says_gains_nothing_of_anybody_elses(site: ForwardSite, name: str) -> None:
    lie, bobs = LIES[name], site.holders["bob"]
    before = bobs.bytes
    say(site, json.loads(json.dumps(lie.says).replace('\\"{bob}\\"', str(bobs.port))))
    answer = go(site, lie.path, *lie.more)
    told = f"{answer.fields}".lower() + answer.text
    assert answer.status in lie.status, answer
    assert not [word for word in lie.never if word in told], answer
    assert bobs.bytes == before
    assert "stolen" not in bobs.last


def test_what_her_worker_says_is_told_to_her_alone(site: ForwardSite) -> None:
    """Not to bob, and not to whoever signs in with the same browser after her."""
    say(site, {"GET": {"fields": [("Cache-Control", "public, max-age=31536000, immutable")], "body": "hers"}})
    for path in ("/", "/dav/~/", "/dav/~/x.txt", "/api/workspace"):
        hers = go(site, path)
        assert hers.text == "hers"
        assert "max-age" not in str(hers.field("Cache-Control")), path
        assert set(str(hers.field("Cache-Control")).replace(" ", "").split(",")) & {"no-store", "no-cache"}, path
        bobs = site.people["bob"](f"{site.head.url}{path}", *_PAGE)
        assert bobs.text != "hers"


def test_a_symbolic_link_does_not_make_her_worker_another_accounts(site: ForwardSite) -> None:
    """Its socket lies in a folder that only the front enters, and the front looks at who listens."""
    run = site.head.folder / "run" / "workers"
    assert go(site, "/dav/~/").status == 200
    tried: Callable[..., Any] = site.accounts.run_as
    command = f"ln -s /tmp/x {run}/evil.sock; ls {run}"
    assert tried("alice", ["/bin/sh", "-c", command], stderr=-3, stdout=-3).wait(10) != 0
    assert not (run / "evil.sock").is_symlink()
    assert os.stat(run).st_mode & 0o007 == 0 or os.stat(run).st_uid != site.accounts["alice"].uid
