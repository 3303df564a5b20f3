"""HSTS goes with each answer of the portal's and of applications, and is nobody else's to say."""

from __future__ import annotations

import pytest

from tests.fakes.portal import OK, ORIGIN, FakePortal, get

FIELD = b"Strict-Transport-Security"
YEAR = 365 * 86400.0
THEIRS = OK.replace(b"\r\n\r\n", b"\r\nStrict-Transport-Security: max-age=0; includeSubDomains\r\n\r\n")


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal(takes_programs=True, hsts=YEAR)


@pytest.mark.parametrize("path", [b"/login", b"/healthz", b"/.portal/icon.svg", b"/nothing", b"/api/jobs", b"/dav/x"])
def test_it_goes_with_the_portals_own(portal: FakePortal, path: bytes) -> None:
    browser = portal.browser()
    browser.send(b"GET " + path + b" HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    assert browser.fields(FIELD) == [b"max-age=31536000"]


def test_it_goes_with_applications_whatever_they_say_themselves(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal))
    portal.dialer[0].send(THEIRS)
    assert browser.fields(FIELD) == [b"max-age=31536000"]


def test_a_worker_does_not_undo_it(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(get(portal, b"/dav/x", origin="portal.test"))
    portal.worker_dialer[0].send(THEIRS)
    assert browser.fields(FIELD) == [b"max-age=31536000"]


@pytest.mark.parametrize(
    "host", [b"other.test", b"test", b"sub.portal.test", b"x.fh.other.test", ORIGIN.encode() + b"x"]
)
def test_it_is_not_said_of_hosts_that_are_not_the_portals(portal: FakePortal, host: bytes) -> None:
    browser = portal.browser()
    browser.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert browser.status in (404, 421)
    assert browser.fields(FIELD) == []


def test_nor_with_a_message_that_names_no_host(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"GET / HTTP/1.1\r\n\r\n")
    assert (browser.status, browser.fields(FIELD)) == (400, [])
