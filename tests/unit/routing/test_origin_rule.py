"""Where an application may be shown, as a table."""

from __future__ import annotations

import pytest

from supercloud.errors import NeedsOrigin
from supercloud.routing.hosts import Hosts
from supercloud.routing.locate import ByName
from supercloud.routing.origin_rule import OriginRule, inside
from supercloud.routing.place import Place
from supercloud.target import Application, Origin

APPLICATION = Application("node1", 8080)
PORTAL, OPEN_PORTAL = Origin("portal.test"), Origin("portal.test", has_prefixes=True)
TOGETHER = Origin("apps.portal.test", is_shared=True, has_prefixes=True)
UNOWNED, HERS, HIS = (Origin(f"node1-8080{of}.fh.portal.test", APPLICATION, uid)
                      for of, uid in (("", None), ("-u1", 1), ("-u2", 2)))  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "own", "anothers", "allowed"),
    [
        (PORTAL, False, False, False),
        (UNOWNED, False, False, False),
        (OPEN_PORTAL, True, False, True),
        (TOGETHER, True, False, True),
        (HERS, True, False, False),
        (HIS, False, True, True),
    ],
)
def test_where_she_sees_her_own_and_what_is_his(origin: Origin, own: bool, anothers: bool, allowed: bool) -> None:
    hosts = Hosts("portal.test")
    rule = OriginRule(hosts)
    assert rule.is_shown(origin, APPLICATION, owner=1, viewer=1) is own
    assert rule.is_shown(origin, APPLICATION, owner=2, viewer=1) is anothers
    assert OriginRule(hosts, {"node1"}).is_shown(origin, APPLICATION, owner=2, viewer=1) is allowed
    assert OriginRule(hosts, {"node2"}).is_shown(origin, APPLICATION, owner=2, viewer=1) is anothers


@pytest.mark.parametrize(("owner", "words"), [(1, "no application under its own address"), (2, "somebody else's")])
def test_what_has_no_place_is_refused_with_what_the_site_lacks(owner: int, words: str) -> None:
    rule = OriginRule(Hosts("portal.test", has_wildcards=False))
    with pytest.raises(NeedsOrigin) as caught:
        rule.proper(APPLICATION, None, owner=owner, viewer=1)
    assert words in caught.value.public
    with pytest.raises(NeedsOrigin):
        rule.apart(Place(PORTAL, APPLICATION, b"/fw2/node1:8080"), b"/fw2/node1:8080/", 1)


@pytest.mark.parametrize(
    ("place", "target", "rest"),
    [
        (Place(PORTAL, APPLICATION, b"/fw2/node1:8080"), b"/fw2/node1:8080/a?b", b"/a?b"),
        (Place(PORTAL, APPLICATION, b"/fw2/node1:8080"), b"/fw2/node1:8080?b", b"/?b"),
        (Place(PORTAL, APPLICATION, b"/fw2/node1:8080"), b"/fw2/node1:8080//evil.test", b"//evil.test"),
        (Place(PORTAL, APPLICATION, b"/node/node1/8080", is_cut=False), b"/node/node1/8080/a", b"/node/node1/8080/a"),
        (ByName(PORTAL, "tb", b"/fw/tb"), b"/fw/tb/a", b"/a"),
        (Place(HERS, APPLICATION), b"/a", b"/a"),
    ],
)
def test_a_target_below_a_prefix_as_the_own_origin_has_it(place: Place | ByName, target: bytes, rest: bytes) -> None:
    assert inside(target, place) == rest
