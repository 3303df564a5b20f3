"""What programs show, and whom it stands for."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from twisted.internet.task import Clock

from supercloud.authn.authenticate import Viewer
from supercloud.authn.password import Passwords
from supercloud.authn.programs import Programs, shows_token
from supercloud.authn.scope import DAV, JOBS, READ, Need, Scope
from supercloud.authn.throttle import Throttle
from supercloud.authn.token import Tokens
from supercloud.errors import MethodRefused, NotAuthenticated, NotFound, OutOfScope
from supercloud.identity import Principal
from supercloud.message.head import UNREADABLE, Field, RequestHead
from tests.fakes.accounts import ALICE, BOB, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload
from tests.fakes.passwords import FakePasswordCheck
from tests.fakes.tokens import FakeTokenStore

HOME = "192.0.2.7"


class Site:
    def __init__(self) -> None:
        clock = Clock()
        clock.advance(1000.0)
        self.clock = clock
        self.accounts = FakeAccounts()
        self.check = FakePasswordCheck()
        self.passwords = Passwords(check=self.check, accounts=self.accounts, throttle=Throttle(clock), clock=clock)
        self.tokens = Tokens(store=FakeTokenStore(), offload=FakeOffload(), clock=clock, now=clock.seconds)
        self.programs = Programs(self.accounts, passwords=self.passwords, tokens=self.tokens)

    def token(self, principal: Principal = ALICE, scope: Scope = DAV) -> str:
        text, _ = run(self.tokens.create(principal, (scope,), life=3600))
        return text

    def verify(self, value: bytes, *need: Scope) -> Viewer:
        return run(self.programs.verify(value, Need(need or (DAV,)), HOME))


def basic(login: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{login}:{password}".encode())


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    made: list[Field] = [(name.lower(), name, value) for name, value in fields]
    return replace(UNREADABLE, fields=made, first={lower: value for lower, _, value in reversed(made)})


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_password_is_its_account_for_whatever_programs_may_do(site: Site) -> None:
    for need in (DAV, JOBS):
        viewer = site.verify(basic("alice", "alice-secret"), need)
        assert (viewer.principal, viewer.owner) == (ALICE, 1001)
        assert viewer.keeper is site.passwords


def test_a_token_stands_for_its_owner_as_bearer_and_as_a_password(site: Site) -> None:
    token = site.token()
    for value in (bearer(token), basic("alice", token)):
        viewer = site.verify(value)
        assert (viewer.principal, viewer.keeper) == (ALICE, site.tokens)
    assert site.check.asked == []


def test_a_token_under_another_name_is_refused(site: Site) -> None:
    with pytest.raises(NotAuthenticated, match="another name") as caught:
        site.verify(basic("hunter2", site.token()))
    assert "hunter2" not in str(caught.value)
    assert caught.value.claimed == "alice"


@pytest.mark.parametrize(("scope", "need"), [(DAV, JOBS), (JOBS, DAV), (Scope("forward:alice-tb"), DAV)])
def test_a_token_opens_only_what_it_is_for(site: Site, scope: Scope, need: Scope) -> None:
    with pytest.raises(OutOfScope) as caught:
        site.verify(bearer(site.token(scope=scope)), need)
    assert scope not in caught.value.public
    assert f"takes one for {need}. Make it" in caught.value.public
    assert f"supercloud token create --for {need}" in caught.value.public


def test_it_is_told_the_least_that_would_do(site: Site) -> None:
    with pytest.raises(OutOfScope) as caught:
        site.verify(bearer(site.token()), READ, JOBS)
    assert "takes one for read or jobs." in caught.value.public
    assert caught.value.public.endswith("--for read")


def test_who_shows_no_good_token_is_not_told_what_would_do(site: Site) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        site.verify(bearer("scp_" + "0" * 64), JOBS)
    assert "jobs" not in caught.value.public


def test_where_no_token_is_taken_one_is_told_so_by_what_the_address_is(site: Site) -> None:
    token = bearer(site.token())
    with pytest.raises(NotFound):
        run(site.programs.verify(token, Need(()), HOME))
    with pytest.raises(MethodRefused) as caught:
        run(site.programs.verify(token, Need((), ("GET", "PUT")), HOME))
    assert caught.value.allow == b"GET, PUT"


def test_something_of_a_tokens_form_is_never_asked_about_as_a_password(site: Site) -> None:
    with pytest.raises(NotAuthenticated, match="token refused"):
        site.verify(basic("alice", "scp_" + "0" * 64))
    assert site.check.asked == []


def test_a_password_is_no_bearers(site: Site) -> None:
    with pytest.raises(NotAuthenticated):
        site.verify(bearer("alice-secret"))
    assert site.check.asked == []


@pytest.mark.parametrize("value", [b"", b"Negotiate abc", b"Basic !", b"Digest x", basic("alice", "wrong")])
def test_anything_else_is_nobody(site: Site, value: bytes) -> None:
    with pytest.raises(NotAuthenticated):
        site.verify(value)


@pytest.mark.parametrize("shown", ["password", "token"])
def test_a_uid_that_went_to_somebody_else_takes_no_credential_along(site: Site, shown: str) -> None:
    value = bearer(site.token()) if shown == "token" else basic("alice", "alice-secret")
    site.verify(value)
    site.accounts.known = {1001: replace(ALICE, login="mallory")}
    with pytest.raises(NotAuthenticated, match="uid 1001 was alice, is mallory"):
        site.verify(value)


def test_an_account_that_is_gone_has_no_token(site: Site) -> None:
    value = bearer(site.token())
    site.accounts.known = {1002: BOB}
    with pytest.raises(NotAuthenticated, match="no account 1001"):
        site.verify(value)


def test_groups_are_those_of_now(site: Site) -> None:
    now = replace(ALICE, groups=frozenset({1001, 3000}))
    value = bearer(site.token())
    site.accounts.known = {1001: now}
    assert site.verify(value).principal == now


def test_a_site_takes_what_it_says_and_nothing_else(site: Site) -> None:
    without_passwords = Programs(site.accounts, tokens=site.tokens)
    without_tokens = Programs(site.accounts, passwords=site.passwords)
    with pytest.raises(NotAuthenticated):
        run(without_passwords.verify(basic("alice", "alice-secret"), DAV, HOME))
    for value in (bearer(site.token()), basic("alice", site.token())):
        with pytest.raises(NotAuthenticated):
            run(without_tokens.verify(value, DAV, HOME))
    assert site.check.asked == []


def test_ours_goes_before_authorization(site: Site) -> None:
    fields = ((b"Authorization", b"token of-the-application"), (b"X-Supercloud-Authorization", b"Bearer x"))
    assert site.programs.shown(head(*fields)) == b"Bearer x"
    assert site.programs.shown(head(*fields[:1])) == b"token of-the-application"
    assert site.programs.shown(head()) is None


@pytest.mark.parametrize(
    "told", [(b"Sec-Fetch-Site", b"none"), (b"Sec-Fetch-Mode", b"navigate"), (b"Origin", b"https://portal.test")]
)
def test_what_a_browser_remembers_is_not_looked_at(site: Site, told: tuple[bytes, bytes]) -> None:
    assert site.programs.shown(head((b"Authorization", basic("alice", "alice-secret")), told)) is None
    assert site.programs.shown(head((b"X-Supercloud-Authorization", b"Bearer x"), told)) == b"Bearer x"


def test_a_portals_token_is_known_in_either_field_and_nothing_else_is(site: Site) -> None:
    token = site.token()
    for name in (b"Authorization", b"X-Supercloud-Authorization"):
        for value in (bearer(token), basic("alice", token)):
            assert shows_token(head((name, value)))
    for value in (basic("alice", "alice-secret"), bearer("other"), b"token x", b""):
        assert not shows_token(head((b"Authorization", value)))
