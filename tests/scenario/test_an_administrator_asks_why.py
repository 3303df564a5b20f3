"""What is told to an administrator who asks why somebody is let in or not; it is what a request is answered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supercloud.authn.lock_store import LockRow
from supercloud.desk.service import Asker
from supercloud.desk.why_wire import AskWhy, WhyTold
from supercloud.desk.wire import Refusal
from supercloud.identity import Principal
from supercloud.routing.origin_rule import OriginRule
from supercloud.why import Why
from tests.fakes.accounts import ALICE, BOB, CAROL
from tests.fakes.awaiting import run
from tests.fakes.portal import HIS_PORT, PORT, SHARED_PORT, FakePortal
from tests.scenario.person import Person

HERS = f"https://localhost-{PORT}-u1001.fh.portal.test/lab?token=secret"
FORWARD = "https://apps.portal.test/fw/alice-tb/"
UID = 990


def ask(portal: FakePortal, url: str, login: str = "alice", *, uid: int = 0) -> WhyTold:
    why = Why(
        hosts=portal.hosts,
        accounts=portal.accounts,
        standing=portal.standing,
        state_of=portal.monitor.read_account,
        access=portal.access,
        rule=OriginRule(portal.hosts),
        uid=UID,
    )
    asker = Asker(pid=1, uid=uid, gid=uid, groups=frozenset())
    told = run(why.handlers[AskWhy](asker, AskWhy(login, url), ()))
    assert isinstance(told, WhyTold)
    return told


def test_each_stage_tells_its_verdict(portal: FakePortal) -> None:
    told = ask(portal, HERS)
    assert told.refused == ""
    assert told.stages == (
        ("address", f"application localhost:{PORT} on https://localhost-{PORT}-u1001.fh.portal.test"),
        ("account", "alice, uid 1001, gids 1001: good"),
        ("node", "localhost is allowed: 127.0.0.1, ::1"),
        ("listener", "127.0.0.1: pid 11, uid 1001, gid 1001: same user"),
        ("listener", "::1: pid 11, uid 1001, gid 1001: same user"),
        ("shown", "at this address"),
    )


def test_nothing_reaches_the_application_and_nothing_changes(portal: FakePortal) -> None:
    ask(portal, HERS)
    assert portal.dialer.dialled == []
    assert portal.lines() == []


def test_a_query_is_not_told(portal: FakePortal) -> None:
    assert "secret" not in str(ask(portal, HERS))


@pytest.mark.parametrize("uid", [ALICE.uid, 33])
def test_nobody_but_root_and_the_portal_itself_may_ask(portal: FakePortal, uid: int) -> None:
    with pytest.raises(Refusal, match="only root"):
        ask(portal, HERS, uid=uid)
    assert portal.owners.asked == []


def test_the_portals_own_account_may_ask(portal: FakePortal) -> None:
    assert ask(portal, HERS, uid=UID).refused == ""


def test_a_forward_tells_of_its_file_its_bit_and_its_content(portal: FakePortal) -> None:
    portal.forwards.write("alice-tb", f"http://jim:sesame@localhost:{PORT}/x/\n", executors=(1001, 1003))
    told = ask(portal, FORWARD, "carol")
    assert told.refused == ""
    assert [stage for stage in told.stages if stage[0] in ("execute", "forward", "shown")] == [
        ("execute", "carol may execute the file of uid 1001"),
        ("forward", "file of uid 1001, gid 1001, mode 0700"),
        ("forward", f"leads to http://localhost:{PORT}/x/"),
        ("shown", "at https://alice-tb-u1001.fn.portal.test/, to which a browser is sent on"),
    ]
    assert "sesame" not in str(told)


REFUSALS: dict[str, tuple[Callable[[FakePortal], object], str, str, tuple[str, str]]] = {
    "another site": (lambda p: None, "https://other.test/", "alice", ("address", "421")),
    "no URL": (lambda p: None, "portal.test/fw2/x:1/", "alice", ("address", "404")),
    "a line end": (lambda p: None, "https://portal.test/\r\nHost: x", "alice", ("address", "400")),
    "no account": (lambda p: None, HERS, "mallory", ("account", "403")),
    "locked here": (lambda p: p.locks.lock(LockRow(1001, "alice", "", 1.0)), HERS, "alice", ("account", "403")),
    "expired": (lambda p: p.monitor.states.update({1001: "expired"}), HERS, "alice", ("account", "403")),
    "no forward": (lambda p: None, FORWARD, "alice", ("forward", "404")),
    "not executable": (
        lambda p: p.forwards.write("alice-tb", "http://localhost:8080/", executors=()),
        FORWARD,
        "alice",
        ("forward", "410"),
    ),
    "a foreign node": (lambda p: None, "https://apps.portal.test/fw2/evil.test:8080/", "alice", ("node", "404")),
    "a low port": (lambda p: None, "https://apps.portal.test/fw2/localhost:22/", "alice", ("node", "404")),
    "nobody listens": (lambda p: None, "https://apps.portal.test/fw2/localhost:7777/", "alice", ("listener", "503")),
    "somebody else's": (
        lambda p: None,
        f"https://apps.portal.test/fw2/localhost:{HIS_PORT}/",
        "alice",
        ("listener", "404"),
    ),
    "a silent node": (lambda p: setattr(p.owners, "is_silent", True), HERS, "alice", ("listener", "502")),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_the_stage_that_refuses_is_the_last(portal: FakePortal, case: str) -> None:
    prepare, url, login, (stage, status) = REFUSALS[case]
    prepare(portal)
    portal.clock.advance(1)
    told = ask(portal, url, login)
    assert told.refused.startswith(status)
    last, words = told.stages[-1]
    assert last == stage
    assert words.startswith("refused: ")


def test_a_listener_of_somebody_elses_is_told_with_its_process(portal: FakePortal) -> None:
    told = ask(portal, f"https://apps.portal.test/fw2/localhost:{HIS_PORT}/")
    assert ("listener", "127.0.0.1: pid 12, uid 1002, gid 1002: somebody else's") in told.stages


def test_a_page_of_the_portals_own_needs_an_account_only(portal: FakePortal) -> None:
    assert [stage for stage, _ in ask(portal, "https://portal.test/dav/x").stages] == ["address", "account"]
    assert ask(portal, "https://portal.test/tokens").refused == ""


def test_a_missing_slash_is_followed_as_a_browser_does(portal: FakePortal) -> None:
    told = ask(portal, f"https://apps.portal.test/fw2/localhost:{PORT}")
    assert told.stages[0] == ("address", f"sent on to https://apps.portal.test/fw2/localhost:{PORT}/")
    assert told.refused == ""


@pytest.mark.parametrize("principal", [ALICE, BOB, CAROL], ids=lambda one: one.login)
@pytest.mark.parametrize("port", [PORT, HIS_PORT, SHARED_PORT, 7777])
def test_what_is_told_is_what_a_request_gets(portal: FakePortal, principal: Principal, port: int) -> None:
    url = f"https://apps.portal.test/fw2/localhost:{port}/"
    browser = Person(portal, principal).visit(url)
    told = ask(portal, url, principal.login)
    if portal.dialer.dialled:
        assert told.refused == ""
    else:
        assert told.refused.startswith(str(browser.status))
