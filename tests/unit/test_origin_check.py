"""What a site lacks for applications to have origins of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace as replace_of

from supercloud import config
from supercloud.config import Front
from supercloud.config_values import Listen
from supercloud.origin_check import advice, has_wildcards, look

NOW = datetime.now(UTC)
HERE = frozenset({"192.0.2.1"})
ALL = ("portal.test", "*.fh.portal.test", "*.fn.portal.test")


def front(folder: Path, *names: str, hostname: str = "portal.test", ends: datetime | None = None) -> Front:
    trustme.CA().issue_cert(*names, not_after=ends).cert_chain_pems[0].write_to_path(str(folder / "chain.pem"))
    made = config.embedded(folder).front
    assert made is not None
    return replace_of(made, hostname=hostname, applications_host="", certificate=folder / "chain.pem")


def said(made: Front, **dns: frozenset[str]) -> dict[str, str]:
    known = {"home": HERE, "fh": HERE, "fn": HERE, **dns}

    def resolve(name: str) -> frozenset[str]:
        return next((found for kind, found in known.items() if f".{kind}." in name), known["home"])

    return {one.shown: " ".join(one.lacks) for one in look(made, NOW, resolve)}


def test_a_site_that_has_all_lacks_nothing(tmp_path: Path) -> None:
    assert said(front(tmp_path, *ALL)) == dict.fromkeys(ALL, "")


def test_a_record_that_is_missing_is_named_with_the_address(tmp_path: Path) -> None:
    found = said(front(tmp_path, *ALL), fn=frozenset())
    assert found["*.fn.portal.test"] == (
        "DNS has no *.fn.portal.test. Add a record: *.fn.portal.test. with the address 192.0.2.1."
    )
    assert not found["*.fh.portal.test"]


def test_a_record_that_leads_elsewhere_is_named(tmp_path: Path) -> None:
    found = said(front(tmp_path, *ALL), fh=frozenset({"192.0.2.9"}))
    assert "leads *.fh.portal.test to 192.0.2.9, and the portal's name to 192.0.2.1" in found["*.fh.portal.test"]


@pytest.mark.parametrize("names", [("portal.test", "*.portal.test"), ("portal.test",), ("portal.test", "*.test")])
def test_a_wildcard_covers_one_label_only(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = said(front(tmp_path, *names))
    assert not found["portal.test"]
    assert "DNS:*.fh.portal.test among" in found["*.fh.portal.test"]


def test_names_are_the_same_in_capitals(tmp_path: Path) -> None:
    assert not any(said(front(tmp_path, *ALL, hostname="Portal.Test")).values())


def test_a_certificate_that_ends_soon_is_told(tmp_path: Path) -> None:
    found = said(front(tmp_path, *ALL, ends=NOW + timedelta(days=20)))
    assert "renew it" in found["portal.test"]


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    made = replace_of(front(tmp_path, *ALL), certificate=tmp_path / "missing.pem")
    assert "cannot be read" in said(made)["*.fn.portal.test"]


def test_another_domain_for_applications_is_looked_at(tmp_path: Path) -> None:
    made = replace_of(front(tmp_path, *ALL), applications="apps.test")
    assert list(said(made)) == ["portal.test", "*.fh.apps.test", "*.fn.apps.test"]


def test_browsers_know_localhost_by_themselves(tmp_path: Path) -> None:
    names = ("localhost", "*.fh.localhost", "*.fn.localhost")
    assert not any(said(front(tmp_path, *names, hostname="localhost"), fh=frozenset(), fn=frozenset()).values())


def test_the_host_that_applications_share_is_looked_at_too(tmp_path: Path) -> None:
    made = replace_of(front(tmp_path, *ALL), applications_host="apps.portal.test")
    assert "DNS:apps.portal.test among" in said(made)["apps.portal.test"]


@pytest.mark.parametrize(
    ("names", "has"),
    [(ALL, True), (ALL[:2], False), (("portal.test", "*.portal.test"), False), (("*.fh.x.test", "*.fn.x.test"), False)],
)
def test_applications_have_own_origins_where_the_certificate_has_both_wildcards(
    tmp_path: Path, names: tuple[str, ...], has: bool
) -> None:
    assert has_wildcards(front(tmp_path, *names)) is has


def test_a_certificate_that_cannot_be_read_has_none(tmp_path: Path) -> None:
    made = front(tmp_path, *ALL)
    made.certificate.write_text("nonsense")
    assert not has_wildcards(made)


def _advised(made: Front, **settings: object) -> list[str]:
    return [words.partition(":")[0] for words in advice(replace_of(made, **settings))]


def test_another_registrable_domain_is_advised_first(tmp_path: Path) -> None:
    made = front(tmp_path, "portal.test")
    assert _advised(made) == ["front.applications", "no application is shown"]
    assert _advised(made, applications_host="apps.portal.test")[1].startswith("the certificate lacks")
    assert _advised(made, listen=(Listen.parse("apps:0.0.0.0:8444"),))[1].startswith("the certificate lacks")
    assert _advised(made, paths="portal") == ["front.applications", "front.paths"]
    good = front(tmp_path, *ALL, "*.fh.other.test", "*.fn.other.test")
    assert _advised(good) == ["front.applications"]
    assert _advised(good, applications="other.test") == []


def test_nothing_is_advised_at_home(tmp_path: Path) -> None:
    assert _advised(front(tmp_path, "localhost", "*.fh.localhost", "*.fn.localhost", hostname="localhost")) == []
