"""What the page of tokens says about one; the page itself is in tests/scenario."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supercloud.authn.authenticate import Viewer
from supercloud.authn.credential import Credential
from supercloud.authn.scope import ABOUT
from supercloud.authn.token_store import TokenRow
from supercloud.errors import NotAuthenticated
from supercloud.front import pages
from supercloud.front.token_page import TokenPage, told
from supercloud.target import Origin
from tests.fakes.accounts import ALICE
from tests.fakes.awaiting import run

ROW = TokenRow("one", b"1" * 32, 1001, "alice", "dav", "laptop", 0.0, 86400.0)


def test_it_says_when_a_token_was_made_used_and_ends() -> None:
    assert told(ROW) == "made 1970-01-01 00:00, never used, ends 1970-01-02 00:00 UTC"
    assert (
        told(replace(ROW, last_used=3600.0))
        == "made 1970-01-01 00:00, last used 1970-01-01 01:00, ends 1970-01-02 00:00 UTC"
    )


def test_a_token_without_a_name_is_called_by_its_id() -> None:
    page = pages.tokens("alice", [pages.ListedToken("0a1b", "", "dav", "")], ABOUT.items()).decode()
    assert "<strong>0a1b</strong>" in page
    assert 'aria-label="Revoke 0a1b"' in page


def test_every_field_of_the_forms_has_a_label() -> None:
    page = pages.tokens("alice", [], ABOUT.items()).decode()
    for name in ("name", "forward", "expires"):
        assert f'<label for="{name}">' in page
        assert f'id="{name}"' in page
    for scope, words in ABOUT.items():
        assert f'<label class="choice"><input type="checkbox" name="for-{scope}"> {words}' in page
    assert "checked" not in page


def test_whoever_has_no_session_is_refused_by_the_page_itself() -> None:
    exchange: Any = None
    tokens: Any = None
    acts: Any = None
    viewer = Viewer(ALICE, Credential(), ALICE.uid, tokens)
    with pytest.raises(NotAuthenticated, match="alice without a session"):
        run(TokenPage(tokens, acts).answer(exchange, viewer, Origin("portal.test")))
