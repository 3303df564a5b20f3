from __future__ import annotations

import pytest

from supercloud.target import Application, Origin, Target


@pytest.mark.parametrize(
    ("node", "text"), [("node1", "node1:8080"), ("10.0.0.1", "10.0.0.1:8080"), ("::1", "[::1]:8080")]
)
def test_an_application_is_written_as_in_a_url(node: str, text: str) -> None:
    application = Application(node, 8080)
    assert str(application) == text
    assert str(Target(application, ("10.0.0.1",))) == text


def test_an_origin_is_written_as_browsers_write_it() -> None:
    assert Origin("portal.test:8443").url == "https://portal.test:8443"


def test_the_portals_own_origin_has_no_application() -> None:
    assert Origin("portal.test").is_portal
    assert not Origin("node1-8080.fh.portal.test", Application("node1", 8080)).is_portal
