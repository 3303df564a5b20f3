from __future__ import annotations

import pytest

from supercloud.errors import BadAddress
from supercloud.routing.prefixes import PathRoute, read_prefix
from supercloud.target import Application


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (b"/fw2/node1:8080/a", PathRoute(Application("node1", 8080), b"/fw2/node1:8080", True)),
        (b"/fw2/Node1.x:80", PathRoute(Application("node1.x", 80), b"/fw2/Node1.x:80", True)),
        (b"/fw2/[fd77::2]:80/", PathRoute(Application("fd77::2", 80), b"/fw2/[fd77::2]:80", True)),
        (b"/node/n-1_a/80/x", PathRoute(Application("n-1_a", 80), b"/node/n-1_a/80", False)),
        (b"/rnode/10.0.0.1/80/", PathRoute(Application("10.0.0.1", 80), b"/rnode/10.0.0.1/80", True)),
        (b"/rnode/[::1]/80/", PathRoute(Application("::1", 80), b"/rnode/[::1]/80", True)),
        (b"/fw/alice-tb/a", PathRoute("alice-tb", b"/fw/alice-tb", True)),
        (b"/fw/Alice_2.x", PathRoute("Alice_2.x", b"/fw/Alice_2.x", True)),
        (b"/fw/" + b"a" * 255 + b"/", PathRoute("a" * 255, b"/fw/" + b"a" * 255, True)),
    ],
)
def test_a_prefix_names_an_application(path: bytes, route: PathRoute) -> None:
    assert read_prefix(path) == route


@pytest.mark.parametrize(
    "path", [b"/", b"/fwx/", b"/fw20/a:1/", b"/nodes/a/1/", b"/x/fw2/a:1/", b"/rnodex", b"/FW2/a:1/"]
)
def test_other_paths_are_not_under_a_prefix(path: bytes) -> None:
    assert read_prefix(path) is None


@pytest.mark.parametrize(
    "path",
    [b"/fw2", b"/fw2/", b"/fw2/a", b"/fw2/a:", b"/fw2/a:0/", b"/fw2/a:01/", b"/fw2/a:65536/", b"/fw2/a:1x", b"/fw2/:1/",
     b"/fw2/a%2e:1/", b"/fw2/-a:1/", b"/fw2/a-:1/", b"/fw2/::1:1/", b"/fw2/[::1%25lo]:1/", b"/fw2/[x]:1/",
     b"/node/a:1/", b"/node/a/", b"/node", b"/rnode//1/", b"/rnode/a/1%2f"],
)  # fmt: skip
def test_what_cannot_be_read_under_a_prefix_is_refused(path: bytes) -> None:
    with pytest.raises(BadAddress):
        read_prefix(path)
