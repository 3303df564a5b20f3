"""What the front adds to the answers of workers, and what it does not let browsers do with them."""

from __future__ import annotations

import pytest

from supercloud.errors import BadAddress, NotPassive
from supercloud.message.head import parse_request, parse_response
from supercloud.routing.own_worker import check_path, check_use, is_of_workspace, leads_to_worker, outward

FILE = b"/dav/home/bob/evil.html"


def lines(fields: bytes, path: bytes = FILE) -> list[bytes]:
    head = parse_response(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\n")
    return outward(head, path=path, host=b"portal.test:8443").split(b"\r\n")[:-1]


def policy(fields: bytes, path: bytes = FILE) -> set[bytes]:
    [found] = [line for line in lines(fields, path) if line.lower().startswith(b"content-security-policy")]
    return set(found.partition(b": ")[2].split(b"; "))


ACTIVE = [
    b"text/html; charset=utf-8",
    b"image/svg+xml",
    b"application/xhtml+xml",
    b"text/xml; charset=utf-8",
    b"application/xml",
    b"application/pdf",
    b"text/css; charset=utf-8",
    b"text/javascript; charset=utf-8",
    b"application/octet-stream",
    b"multipart/x-mixed-replace",
    b"text/plain; charset=utf-8, text/html",
    b"text/plain, text/html",
    b"text/plain;charset=utf-7;text/html",
    b"ximage/png",
    b"image/png+xml",
    b"audio/",
    b"",
]


@pytest.mark.parametrize("kind", ACTIVE)
def test_what_could_run_is_in_a_sandbox(kind: bytes) -> None:
    found = policy(b"Content-Type: " + kind + b"\r\n")

    assert {b"sandbox", b"default-src 'none'", b"frame-ancestors 'none'"} <= found
    assert not any(b"script-src" in one or b"allow-" in one or b"'self'" in one for one in found)


def test_what_has_no_kind_or_two_is_in_a_sandbox() -> None:
    assert b"sandbox" in policy(b"")
    assert b"sandbox" in policy(b"Content-Type: application/x-tar\r\n", b"/dav/folder/")
    assert b"sandbox" in policy(b"Content-Type: text/plain\r\nContent-Type: text/html\r\n")


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain; charset=utf-8",
        b"text/plain",
        b"Image/PNG",
        b"image/jpeg",
        b"audio/x-wav",
        b"video/mp4",
        b"video/3gpp",
    ],
)
def test_what_cannot_run_loads_itself_and_nothing_else(kind: bytes) -> None:
    found = policy(b"Content-Type: " + kind + b"\r\n")

    assert b"sandbox" not in found
    assert {b"default-src 'none'", b"form-action 'none'", b"base-uri 'none'", b"frame-ancestors 'none'"} <= found
    assert not any(b"script-src" in one or b"connect-src" in one for one in found)


@pytest.mark.parametrize("path", [b"/dav/", b"/dav/home/alice/", b"/dav/home/bob/evil.html/"])
def test_at_a_folders_address_the_portals_own_script_runs_and_no_other(path: bytes) -> None:
    found = policy(b"Content-Type: text/html; charset=utf-8\r\n", path)

    assert b"script-src https://portal.test:8443/.portal/files.js" in found
    assert b"img-src https://portal.test:8443/.portal/icon.svg" in found
    assert {b"default-src 'none'", b"form-action 'none'", b"frame-ancestors 'none'", b"base-uri 'none'"} <= found


@pytest.mark.parametrize("path", [b"/dav", b"/dav/a/%2f", b"/dav/a/;", b"/dav/evil.html/.", b"/dav/a%2F"])
def test_what_only_looks_like_a_folders_address_is_a_files(path: bytes) -> None:
    assert b"sandbox" in policy(b"Content-Type: text/html\r\n", path)


# What a browser would keep for the origin, or do with all of it.
OF_AN_ORIGIN = (
    b"set-cookie clear-site-data strict-transport-security service-worker-allowed alt-svc nel report-to "
    b"reporting-endpoints origin-agent-cluster access-control-allow-origin refresh link www-authenticate accept-ch "
    b"use-as-dictionary speculation-rules set-login expires pragma age a-field-of-next-year"
).split()


@pytest.mark.parametrize("path", [FILE, b"/dav/", b"/dav", b"/", b"/jobs/42", b"/api/workspace"])
@pytest.mark.parametrize("name", OF_AN_ORIGIN)
def test_no_field_that_is_an_origins_passes(path: bytes, name: bytes) -> None:
    assert not any(line.lower().startswith(name + b":") for line in lines(name + b": x\r\n", path))


@pytest.mark.parametrize("said", [b"", b"Cache-Control: public, max-age=31536000, immutable\r\n"])
@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (FILE, b"private, no-cache"),
        (b"/dav", b"private, no-cache"),
        (b"/dav/", b"no-store"),
        (b"/dav/a/", b"no-store"),
        (b"/", b"no-store"),
        (b"/api/workspace", b"no-store"),
    ],
)
def test_nothing_is_shown_to_whoever_signs_in_next(path: bytes, kept: bytes, said: bytes) -> None:
    """Addresses are the same for everybody, as /dav/~/; and one browser serves several people."""
    found = lines(said, path)
    assert [line for line in found if line.lower().startswith(b"cache-control:")] == [b"Cache-Control: " + kept]
    assert (b"Vary: Cookie" in found) == (kept != b"no-store")


def test_a_file_that_the_worker_would_have_nobody_keep_is_kept_by_nobody() -> None:
    assert b"Cache-Control: no-store" in lines(b"Cache-Control: no-store\r\n", FILE)


@pytest.mark.parametrize("path", [FILE, b"/dav/"])
def test_a_worker_cannot_say_otherwise(path: bytes) -> None:
    hostile = (
        b"Content-Security-Policy: script-src *\r\ncontent-security-policy-report-only: report-uri https://evil.test\r\n"
        b"X-Content-Type-Options: sniff\r\nCross-Origin-Resource-Policy: cross-origin\r\nSet-Cookie: a=b\r\n"
        b"Content-Type: text/html\r\n"
    )
    found = lines(hostile, path)

    assert found.count(b"X-Content-Type-Options: nosniff") == 1
    assert found.count(b"Cross-Origin-Resource-Policy: same-origin") == 1
    assert sum(line.lower().startswith(b"content-security-policy") for line in found) == 1
    assert not any(
        word in line for line in found for word in (b"evil", b"sniff\r", b"cross-origin", b"a=b", b"script-src *")
    )


@pytest.mark.parametrize(
    "use", [b"script", b"style", b"worker", b"sharedworker", b"serviceworker", b"iframe", b"frame", b"embed", b"object",
            b"xslt", b"font", b"manifest", b"audioworklet", b"json", b"something-new", b""],
)  # fmt: skip
def test_no_page_gets_a_file_as_a_part_that_acts(use: bytes) -> None:
    head = parse_request(b"GET /dav/evil.js HTTP/1.1\r\nHost: a\r\nSec-Fetch-Dest: " + use + b"\r\n\r\n")

    with pytest.raises(NotPassive):
        check_use(head)


@pytest.mark.parametrize(
    "fields", [b"", *(b"Sec-Fetch-Dest: %b\r\n" % use for use in (b"document", b"empty", b"image", b"video"))]
)
def test_people_and_programs_get_files(fields: bytes) -> None:
    check_use(parse_request(b"GET /dav/a HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"))


@pytest.mark.parametrize(
    "path", [b"/", b"/launch", b"/launch/", b"/jobs/42/log", b"/forwards", b"/keys", b"/api/x", b"/dav"]
)
def test_addresses_of_the_worker(path: bytes) -> None:
    assert leads_to_worker(path)


@pytest.mark.parametrize(
    "path",
    [b"//", b"//jobs", b"/%61pi/", b"/API/", b"/apix", b"/jobs;x", b"/job", b"/login", b"/tokens", b"/logout",
     b"/open/42", b"/healthz", b"/.portal/workspace.js", b"/davx", b"/api%2fjobs"],
)  # fmt: skip
def test_addresses_that_are_not_the_workers(path: bytes) -> None:
    assert not leads_to_worker(path)


@pytest.mark.parametrize(
    "path", [b"/api/../dav/", b"/api/%2e%2E/x", b"/jobs/.", b"/keys/a%2f..%2fb", b"/launch\\..\\x"]
)
def test_dots_are_no_segment_of_the_workspace(path: bytes) -> None:
    if is_of_workspace(path):
        with pytest.raises(BadAddress):
            check_path(path)
    else:
        assert not leads_to_worker(path)


@pytest.mark.parametrize("path", [b"/api/a..b", b"/jobs/.hidden", b"/dav/a/../b", b"/"])
def test_other_dots_pass(path: bytes) -> None:
    check_path(path)


@pytest.mark.parametrize("path", [b"/", b"/jobs/42", b"/keys/"])
def test_what_is_no_html_at_a_pages_address_is_as_inert_as_a_file(path: bytes) -> None:
    for kind in (b"image/svg+xml", b"application/xhtml+xml", b"text/html, text/plain", b"text/xml"):
        assert b"sandbox" in policy(b"Content-Type: " + kind + b"\r\n", path)
    assert b"sandbox" in policy(b"", path)
    assert b"script-src https://portal.test:8443/.portal/workspace.js" in policy(b"Content-Type: text/html\r\n", path)


@pytest.mark.parametrize("path", [b"/api", b"/api/", b"/api/jobs"])
def test_nothing_of_the_api_runs_not_even_at_a_folders_address(path: bytes) -> None:
    assert b"sandbox" in policy(b"Content-Type: text/html\r\n", path)
    assert b"sandbox" in policy(b"Content-Type: application/json\r\n", path)
