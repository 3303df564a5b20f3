"""What goes with each answer of an origin."""

from __future__ import annotations

import pytest

from supercloud.routing.always import Always
from supercloud.target import Application, Origin

COOP = b"Cross-Origin-Opener-Policy: same-origin\r\n"
HSTS = b"Strict-Transport-Security: max-age=31536000\r\n"
YEAR = 365 * 86400.0
JUPYTER = Application("node1", 8888)


def test_the_portals_own_parts_with_who_opened_it_and_is_secure() -> None:
    assert Always("portal.test", hsts=YEAR).of(Origin("portal.test:8443")) == COOP + HSTS


@pytest.mark.parametrize(
    "origin",
    [
        Origin("node1-8888.fh.portal.test", JUPYTER),
        Origin("alice-tb.fn.portal.test:8443", forward="alice-tb"),
        Origin("node1-8888.fh.apps.test", JUPYTER, 1002),  # a domain of their own
        Origin("apps.portal.test", is_shared=True),
        Origin("portal.test:8444", is_shared=True),
    ],
)
def test_an_application_is_secure_and_its_windows_are_its_own(origin: Origin) -> None:
    assert Always("portal.test", hsts=YEAR).of(origin) == HSTS


def test_a_host_of_another_domain_that_applications_share_may_be_others_too() -> None:
    assert Always("portal.test", hsts=YEAR).of(Origin("apps.other.test", is_shared=True)) == b""
    assert Always("portal.test", hsts=YEAR).of(Origin("notportal.test", is_shared=True)) == b""


def test_a_site_can_leave_it_out() -> None:
    always = Always("portal.test", hsts=0.0)
    assert always.of(Origin("portal.test")) == COOP
    assert always.of(Origin("node1-8888.fh.portal.test", JUPYTER)) == b""


@pytest.mark.parametrize("hostname", ["localhost", "portal.localhost"])
def test_it_is_never_said_of_localhost_where_other_things_live(hostname: str) -> None:
    always = Always(hostname, hsts=YEAR)
    assert always.of(Origin(f"{hostname}:8443")) == COOP
    assert always.of(Origin(f"node1-8888.fh.{hostname}:8443", JUPYTER)) == b""


def test_hosts_below_the_portals_name_are_not_spoken_for() -> None:
    assert b"includeSubDomains" not in Always("portal.test", hsts=YEAR).of(Origin("portal.test"))
