"""What an administrator may ask why about, and where a browser is sent; the stages are in the scenario of that name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supercloud.access import Access
from supercloud.desk.service import Asker
from supercloud.desk.why_wire import AskWhy, WhyTold
from supercloud.routing.origin_rule import OriginRule
from supercloud.why import Why
from tests.fakes.awaiting import run
from tests.fakes.portal import PORT, SHARED_PORT, FakePortal

ROOT = Asker(pid=1, uid=0, gid=0, groups=frozenset())


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal()


def why(portal: FakePortal, *, paths_for_others: frozenset[str] = frozenset()) -> Why:
    return Why(
        hosts=portal.hosts,
        accounts=portal.accounts,
        standing=portal.standing,
        state_of=portal.monitor.read_account,
        access=portal.access,
        rule=OriginRule(portal.hosts, paths_for_others),
        uid=990,
    )


def ask(asked: Why, url: str, login: str = "alice") -> WhyTold:
    told = run(asked.handlers[AskWhy](ROOT, AskWhy(login, url), ()))
    assert isinstance(told, WhyTold)
    return told


@pytest.mark.parametrize("url", ["", "x", "http://portal.test/", "https:///x", "https://[x/", "https://portal.test/ä"])
def test_what_is_no_address_of_a_portals_is_refused_at_the_first_stage(portal: FakePortal, url: str) -> None:
    told = ask(why(portal), url)
    assert [stage for stage, _ in told.stages] == ["address"]
    assert told.refused.startswith("404 ")


def test_a_site_without_forwards_has_none(portal: FakePortal) -> None:
    access = Access(portal.access.nodes, portal.access.authorizer)
    told = ask(replace(why(portal), access=access), "https://apps.portal.test/fw/tb/")
    assert told.refused == "404 forward tb: this site has none"


def test_somebody_elses_application_is_shown_at_its_owners_label(portal: FakePortal) -> None:
    told = ask(why(portal), f"https://apps.portal.test/fw2/localhost:{SHARED_PORT}/", "bob")
    shown = ("shown", f"at https://localhost-{SHARED_PORT}-u1001.fh.portal.test/, to which a browser is sent on")
    assert told.stages[-1] == shown
    own_label = f"https://localhost-{SHARED_PORT}-u1001.fh.portal.test/"
    assert ask(why(portal), own_label, "bob").stages[-1] == ("shown", "at this address")


def test_a_node_whose_paths_are_for_others_is_shown_there(portal: FakePortal) -> None:
    asked = why(portal, paths_for_others=frozenset({"localhost"}))
    told = ask(asked, f"https://apps.portal.test/fw2/localhost:{SHARED_PORT}/", "bob")
    assert told.stages[-1] == ("shown", "at this address")


@pytest.mark.parametrize(
    "url", [f"https://localhost-{PORT}.fh.portal.test/", f"https://portal.test/fw2/localhost:{PORT}/"]
)
def test_ones_own_application_is_shown_at_the_label_that_names_its_owner(portal: FakePortal, url: str) -> None:
    told = ask(why(portal), url)
    shown = f"at https://localhost-{PORT}-u1001.fh.portal.test/, to which a browser is sent on"
    assert told.stages[-1] == ("shown", shown)


def test_what_has_no_label_for_its_owner_needs_an_origin(portal: FakePortal) -> None:
    portal.forwards.write("Upper", f"http://localhost:{SHARED_PORT}/", executors=(1001, 1002))
    told = ask(why(portal), "https://apps.portal.test/fw/Upper/", "bob")
    assert told.refused.startswith("403 ")
    assert told.stages[-1][0] == "shown"


def test_words_have_a_length(portal: FakePortal) -> None:
    told = ask(why(portal), "https://apps.portal.test/fw2/" + "x" * 4000)
    assert all(len(words) <= 500 for _, words in told.stages)
    assert len(told.refused) <= 500
