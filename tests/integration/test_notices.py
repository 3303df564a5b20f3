"""What the site tells everybody, and maintenance, at a running portal: by a file that an administrator writes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from lab.certificates import Certificates
from lab.portal import TWISTD, until
from lab.processes import Processes
from lab.site import Head

pytestmark = pytest.mark.root
_PAGE = ("-H", "Sec-Fetch-Site: none", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: document")
_CLOSED = '[maintenance]\ntext = "Back at <six>."\nallow = ["alice"]\n'


@pytest.fixture
def site(accounts: Any, applications: Any, public_copies: Any) -> Iterator[SimpleNamespace]:
    """A portal, an application of bob's, and two people who are signed in."""
    processes = Processes()
    head = Head(public_copies.folder / "notices", Certificates(public_copies.folder), address="127.0.0.1")
    more = '[scheduler]\nkind = "local"\n'
    head.start(processes, logins=("alice", "bob"), ident2='socket = ""\nudp = ""\n', nodes='["localhost"]', more=more)
    port = applications.start(login="bob").port
    yield SimpleNamespace(head=head, port=port, alice=head.signed_in("alice"), bob=head.signed_in("bob"))
    head.portal.stop()
    head.notices.unlink(missing_ok=True)
    processes.stop()


def test_everybody_is_told_and_nobody_else_begins_anything_while_it_is_closed(site: Any) -> None:
    head, alice, bob = site.head, site.alice, site.bob
    head.notices.write_text('[[notice]]\ntext = "Scratch is <slow>."\nkind = "warning"\n')
    head.notices.chmod(0o644)
    said = '<p class="notice warning">Scratch is &lt;slow&gt;.</p>'
    until(lambda: said in bob(f"{head.url}/", *_PAGE).text, "the notice on his page")
    assert said in head.curl()(f"{head.url}/login", *_PAGE).text
    stream = f"{head.together}/fw2/localhost:{site.port}/events/100000"
    with bob.start(stream) as running:
        assert running.stdout.read(100)
        head.notices.write_text(_CLOSED)
        until(lambda: bob(f"{head.url}/", *_PAGE).status == 503, "the portal to be closed")
        for path in ("/", "/dav/~/", "/api/jobs", f"/fw2/localhost:{site.port}/", "/open/"):
            answer = bob(f"{head.url}{path}", *_PAGE)
            assert (answer.status, "Back at &lt;six&gt;." in answer.text) == (503, True), path
        again = head.curl("bob")(f"https://{head.hostname}:{head.port}/login", *_PAGE)
        assert again.status == 503
        assert alice(f"{head.url}/", *_PAGE).status == 200
        assert running.stdout.read(100), "what is under way goes on"
        head.notices.write_text("nonsense")
        until(lambda: any("going on as before" in line for line in head.portal.printed), "the log of what is wrong")
        assert bob(f"{head.url}/", *_PAGE).status == 503
        head.notices.unlink()
        until(lambda: bob(f"{head.url}/", *_PAGE).status == 200, "the portal to be open")
        running.kill()
        running.wait()


def test_one_can_sign_out_while_it_is_closed(site: Any) -> None:
    head, bob = site.head, site.bob
    head.notices.write_text(_CLOSED)
    head.notices.chmod(0o644)
    until(lambda: bob(f"{head.url}/", *_PAGE).status == 503, "the portal to be closed")
    same = ("-H", "Sec-Fetch-Site: same-origin", "-H", f"Origin: {head.url}")
    assert bob(f"{head.url}/logout", "-X", "POST", *same).status == 200
    head.notices.unlink()
    until(lambda: site.alice(f"{head.url}/", *_PAGE).status == 200, "the portal to be open")
    assert bob(f"{head.url}/api/jobs").status == 401


def test_a_file_that_is_wrong_keeps_the_portal_from_starting(site: Any) -> None:
    site.head.notices.write_text('[[notice]]\ntext = "x"\nuntill = 3\n')
    site.head.notices.chmod(0o644)
    argv = [*TWISTD, "--check", "--config", str(site.head.folder / "portal.toml")]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/", timeout=30)
    assert done.returncode != 0
    assert "front.notices" in done.stderr + done.stdout
    assert "untill" in done.stderr + done.stdout
