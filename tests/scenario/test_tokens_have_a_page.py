"""Whoever signed in makes, lists and revokes tokens at /tokens; nobody else does, and no page of somebody else's."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from supercloud.authn.token import MAX_PER_ACCOUNT
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.awaiting import run
from tests.fakes.portal import Browser, FakePortal, basic, bearer

FORM = (
    b"Content-Type: application/x-www-form-urlencoded\r\nOrigin: https://portal.test\r\nSec-Fetch-Site: same-origin\r\n"
)
MAKE = {"do": "create", "for-dav": "on", "expires": "30d", "name": "laptop"}


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal(takes_programs=True)


def get(portal: FakePortal, extra: bytes) -> Browser:
    browser = portal.browser()
    browser.send(b"GET /tokens HTTP/1.1\r\nHost: portal.test\r\n" + extra + b"\r\n")
    return browser


def post(portal: FakePortal, form: dict[str, str], extra: bytes) -> Browser:
    browser = portal.browser()
    body = urlencode(form).encode()
    browser.send(
        b"POST /tokens HTTP/1.1\r\nHost: portal.test\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    return browser


def test_a_token_is_shown_once_when_it_is_made(portal: FakePortal) -> None:
    made = post(portal, MAKE, FORM + portal.cookie())
    assert made.status == 200
    [text] = re.findall(rb"scp_[0-9a-f]{64}", made.received)
    assert made.field(b"cache-control") == b"no-store"
    listed = get(portal, portal.cookie())
    assert b"laptop" in listed.received
    assert text not in listed.received
    [row] = portal.token_store.rows.values()
    assert (row.uid, row.scope, row.ends - row.created) == (1001, "dav", 30 * 86400)
    token = run(portal.tokens.verify(text.decode(), "192.0.2.7"))
    assert token is not None


def test_one_for_a_forward_opens_that_forward(portal: FakePortal) -> None:
    made = post(portal, {"do": "create", "expires": "30d", "forward": " alice-tb "}, FORM + portal.cookie())
    assert made.status == 200
    [row] = portal.token_store.rows.values()
    assert row.scope == "forward:alice-tb"


def test_only_ones_own_are_listed(portal: FakePortal) -> None:
    portal.token(BOB)
    [row] = portal.token_store.rows.values()
    assert row.id.encode() not in get(portal, portal.cookie(ALICE)).received


def test_a_revoked_token_is_over(portal: FakePortal) -> None:
    text = portal.token()
    [row] = portal.token_store.rows.values()
    revoked = post(portal, {"do": "revoke", "id": row.id}, FORM + portal.cookie())
    assert (revoked.status, revoked.field(b"location")) == (303, b"https://portal.test/tokens")
    assert run(portal.tokens.verify(text, "192.0.2.7")) is None


def test_nobody_revokes_somebody_elses(portal: FakePortal) -> None:
    text = portal.token(BOB)
    [row] = portal.token_store.rows.values()
    post(portal, {"do": "revoke", "id": row.id}, FORM + portal.cookie(ALICE))
    assert run(portal.tokens.verify(text, "192.0.2.7")) is not None


@pytest.mark.parametrize(
    "extra",
    [
        b"Origin: https://localhost-8080-u1001.fh.portal.test\r\nSec-Fetch-Site: same-site\r\n",
        b"Origin: https://evil.test\r\n",
        b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
    ],
)
def test_a_page_of_somebody_elses_makes_and_revokes_none(portal: FakePortal, extra: bytes) -> None:
    kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
    portal.token()
    [row] = portal.token_store.rows.values()
    for form in (MAKE, {"do": "revoke", "id": row.id}):
        assert post(portal, form, extra + kind + portal.cookie()).status == 403
    assert list(portal.token_store.rows) == [row.id]


def test_a_token_is_no_way_to_another_one(portal: FakePortal) -> None:
    token = portal.token()
    for extra in (bearer(token), bearer(token, b"X-Supercloud-Authorization"), basic("alice", "alice-secret")):
        assert get(portal, extra).status == 401
        assert post(portal, MAKE, FORM + extra).status == 401
    assert len(portal.token_store.rows) == 1


def test_a_name_is_text_and_never_a_page(portal: FakePortal) -> None:
    shown = post(portal, MAKE | {"name": '"><script>alert(1)</script>'}, FORM + portal.cookie())
    assert shown.status == 200
    assert b"<script" not in shown.received


@pytest.mark.parametrize(
    "wrong",
    [
        {"forward": ".."},
        {"forward": "a/b"},
        {"expires": "30"},
        {"expires": "9999d"},
        {"expires": "1s"},
        {"for-dav": "", "for-root": "on"},
        {"name": "a\nb"},
        {"for-dav": ""},
    ],
)
def test_what_cannot_be_made_is_said_so(portal: FakePortal, wrong: dict[str, str]) -> None:
    refused = post(portal, MAKE | wrong, FORM + portal.cookie())
    assert refused.status == 400
    assert b'role="alert"' in refused.received
    assert portal.token_store.rows == {}


def test_a_hundred_and_no_more(portal: FakePortal) -> None:
    for _ in range(MAX_PER_ACCOUNT):
        portal.token()
    refused = post(portal, MAKE, FORM + portal.cookie())
    assert refused.status == 409
    assert b"revoke one first" in refused.received


def test_other_methods_are_refused(portal: FakePortal) -> None:
    browser = portal.browser()
    browser.send(b"DELETE /tokens HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie() + b"\r\n")
    assert browser.status == 405


def test_a_site_without_tokens_has_no_such_page() -> None:
    portal = FakePortal()
    assert get(portal, portal.cookie()).status == 404
