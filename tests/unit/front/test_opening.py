"""Where links below /open/ lead; what is handed over on the way is in tests/scenario."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from supercloud.authn.authenticate import Viewer
from supercloud.authn.handed import Handed
from supercloud.errors import BadAddress, Elsewhere, MethodRefused, NothingListens, PortalError
from supercloud.front.opening import Opening
from supercloud.identity import Principal
from supercloud.message.head import parse_request
from supercloud.routing.hosts import Hosts
from supercloud.routing.nodes import Nodes
from supercloud.target import Application
from supercloud.workers.session_told import Told
from tests.fakes.accounts import ALICE
from tests.fakes.awaiting import run
from tests.fakes.names import by_nobody
from tests.fakes.sessions import FakeSessions


class Jobs:
    """Implements `front.opening.SessionAsk`."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {
            "42": Told("LocalHost", 8080, "/lab", "token abc"),
            "43": Told("fd77::1", 8080, "/", ""),
            "44": Told("elsewhere", 8080, "/", "token abc"),
        }

    async def session(self, principal: Principal, job: str) -> Told | None:
        return self.told.get(job)


class Asked:
    """An exchange, as far as opening looks at it."""

    def __init__(self, target: str, method: str = "GET") -> None:
        self.head = parse_request(f"{method} {target} HTTP/1.1\r\nHost: portal.test\r\n\r\n".encode())


def follow(target: str, method: str = "GET") -> tuple[PortalError, Handed]:
    clock = Clock()
    nodes = Nodes(by_nobody, clock, allow=("localhost", "fd77::/64"), ports=(1024, 65535))
    handed, sessions, exchange = Handed(clock), FakeSessions(), Asked(target, method)
    opening, keeper, asked = Opening(Jobs(), nodes, Hosts("portal.test"), handed), sessions, exchange
    who: Any = Viewer(ALICE, sessions.begin(ALICE), ALICE.uid, keeper)  # type: ignore[arg-type]
    with pytest.raises(PortalError) as found:
        run(opening.lead(asked, who))  # type: ignore[arg-type]
    return found.value, handed


def test_a_job_leads_to_its_applications_origin() -> None:
    error, handed = follow("/open/42")
    assert isinstance(error, Elsewhere)
    assert error.location == "https://localhost-8080-u1001.fh.portal.test/lab"
    assert handed.given(ALICE.uid, Application("localhost", 8080)) == b"token abc"


def test_a_node_without_a_label_leads_to_a_path() -> None:
    error, handed = follow("/open/43/")
    assert isinstance(error, Elsewhere)
    assert error.location == "https://portal.test/fw2/[fd77::1]:8080/"
    assert len(handed) == 0


@pytest.mark.parametrize(
    ("target", "to"),
    [("/open/node-1:8080", "https://node-1-8080-u1001.fh.portal.test/"),
     ("/open/[fd77::1]:8080/a?b=/../c", "https://portal.test/fw2/[fd77::1]:8080/a?b=/../c")],
)  # fmt: skip
def test_a_listed_socket_leads_there(target: str, to: str) -> None:
    error, handed = follow(target)
    assert isinstance(error, Elsewhere)
    assert error.location == to
    assert len(handed) == 0


def test_a_job_elsewhere_hands_nothing() -> None:
    error, handed = follow("/open/44")
    assert isinstance(error, BadAddress)
    assert len(handed) == 0


def test_a_job_without_a_word_waits() -> None:
    assert isinstance(follow("/open/99")[0], NothingListens)


@pytest.mark.parametrize(
    "target", ["/open/x", "/open/42.json", "/open/a/b", "/open/", "/open/node1:0", "/open/[::1]:8080/%2e%2E/dav/"]
)
def test_what_is_neither_leads_nowhere(target: str) -> None:
    assert isinstance(follow(target)[0], BadAddress)


def test_it_is_get() -> None:
    assert isinstance(follow("/open/42", "POST")[0], MethodRefused)
