"""Bob's files, looked at by alice: whatever is in them, nothing of it acts in her name."""

from __future__ import annotations

from pathlib import Path

import pytest

from supercloud.dav.app import make_app
from tests.fakes.portal import Browser, FakePortal
from tests.fakes.wsgi import Caller

SEEN = b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html,*/*\r\n"
EVIL = {
    "evil.html": b"<script>fetch('/dav/~/.ssh/id_rsa')</script><script src='/.portal/files.js'></script>",
    "evil.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(document.domain)</script></svg>",
    "evil.xhtml": b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>",
    "evil.pdf": b"%PDF-1.4 1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj",
    "evil": b"<html><script>alert(1)</script>",
    "evil.mht": b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>",
}


@pytest.fixture
def alices(tmp_path: Path) -> Caller:
    """Her worker's application, over a folder with bob's files."""
    for name, content in EVIL.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "plain.txt").write_bytes(b"<script>alert(1)</script>")
    return Caller(make_app({"/": str(tmp_path)}, str(tmp_path), None))


def look(portal: FakePortal, worker: Caller, path: str, extra: bytes = SEEN) -> Browser:
    """Ask as a browser does; the worker's answer is its application's."""
    browser = portal.browser()
    browser.send(b"GET /dav%b HTTP/1.1\r\nHost: portal.test\r\n" % path.encode() + extra + portal.cookie() + b"\r\n")
    if portal.worker_dialer.dialled:
        answer = worker.ask("GET", path, accept="text/html,*/*")
        fields = "".join(f"{name}: {value}\r\n" for name, value in answer.fields.items() if name != "content-length")
        length = f"content-length: {len(answer.body)}\r\n\r\n"
        portal.worker_dialer[0].send(f"HTTP/1.1 {answer.status} X\r\n{fields}{length}".encode() + answer.body)
    return browser


@pytest.mark.parametrize("name", EVIL)
def test_what_could_run_is_shown_in_a_sandbox_or_saved(portal: FakePortal, alices: Caller, name: str) -> None:
    browser = look(portal, alices, f"/{name}")

    assert browser.status == 200
    assert browser.received.endswith(EVIL[name])
    [policy] = browser.fields(b"Content-Security-Policy")
    assert policy.startswith(b"sandbox; default-src 'none'")
    assert b"allow-" not in policy
    assert browser.fields(b"X-Content-Type-Options") == [b"nosniff"]
    assert browser.fields(b"Cross-Origin-Resource-Policy") == [b"same-origin"]


def test_pdf_is_saved(portal: FakePortal, alices: Caller) -> None:
    assert look(portal, alices, "/evil.pdf").field(b"Content-Disposition") == b"attachment"


def test_plain_text_stays_plain(portal: FakePortal, alices: Caller) -> None:
    browser = look(portal, alices, "/plain.txt")

    assert browser.field(b"Content-Type") == b"text/plain; charset=utf-8"
    assert browser.fields(b"X-Content-Type-Options") == [b"nosniff"]
    assert b"default-src 'none'" in (browser.field(b"Content-Security-Policy") or b"")


@pytest.mark.parametrize("name", EVIL)
def test_a_file_is_not_to_be_had_at_a_folders_address(portal: FakePortal, alices: Caller, name: str) -> None:
    browser = look(portal, alices, f"/{name}/")

    assert browser.status == 404
    assert b"script" not in browser.received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("query", ["?/", "?by=name/", "?a?/"])
def test_a_query_makes_no_folder_of_a_file(portal: FakePortal, query: str) -> None:
    browser = portal.browser()
    target = f"/dav/evil.html{query}".encode()
    browser.send(b"GET " + target + b" HTTP/1.1\r\nHost: portal.test\r\n" + SEEN + portal.cookie() + b"\r\n")
    body = EVIL["evil.html"]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
    portal.worker_dialer[0].send(head + body)

    assert (browser.field(b"Content-Security-Policy") or b"").startswith(b"sandbox")


def test_the_folders_page_has_the_portals_script_alone(portal: FakePortal, alices: Caller) -> None:
    browser = look(portal, alices, "/")

    assert browser.status == 200
    assert b'src="/.portal/files.js"' in browser.received
    [policy] = browser.fields(b"Content-Security-Policy")
    assert b"script-src https://portal.test/.portal/files.js;" in policy


@pytest.mark.parametrize("use", [b"script", b"style", b"iframe", b"serviceworker", b"worker", b"object", b"embed"])
def test_not_even_a_page_of_the_portals_gets_a_file_as_a_part(portal: FakePortal, alices: Caller, use: bytes) -> None:
    extra = b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: " + use + b"\r\n"
    browser = look(portal, alices, "/evil.js", extra)

    assert browser.status == 403
    assert portal.monitor.started == []


def test_what_a_sandboxed_page_asks_for_is_another_sites(portal: FakePortal, alices: Caller) -> None:
    """Its origin is opaque, so that browsers say cross-site and ``Origin: null``."""
    for extra in (b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n", b"Origin: null\r\n"):
        assert look(portal, alices, "/plain.txt", extra).status == 403
