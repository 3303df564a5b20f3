"""Alice's worker says what it likes in each of its messages, by bytes: nobody but alice is told anything of it.

ARCHITECTURE.md has the list of what is taken from a worker; it is held here. With real accounts:
tests/integration/test_lying_workers.py.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import supercloud.workers
from supercloud.desk.lock_service import LockService
from supercloud.desk.property_service import PropertyService
from supercloud.desk.token_service import TokenService
from supercloud.desk.why_wire import AskWhy
from supercloud.workers.asking import MOST_WORKSPACE
from supercloud.workers.wire import Status
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.portal import HIS_PORT, OK, FakePortal

_ARCHITECTURE = Path(supercloud.workers.__path__[0]).parents[1] / "ARCHITECTURE.md"
_EVIL = b"evil"
_CHUNKS = b"4\r\nevil\r\n0\r\n\r\n"


def response(body: bytes = _EVIL, fields: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


_TOLD = {"node": "localhost", "port": HIS_PORT, "path": "/", "authorization": "token evil"}


def told(**changed: object) -> bytes:
    return response(json.dumps({**_TOLD, **changed}).encode())


PATHS = {
    "a file": b"/dav/x",
    "a folder": b"/dav/~/",
    "a page": b"/",
    "the api": b"/api/workspace",
    "a job": b"/open/42",
    "live events": b"/api/events",
}
LIES: dict[str, bytes] = {
    "two answers": response() + response(),
    "an answer and half a head": response() + b"HTTP/1.1 200 OK\r\nSet-Cookie: evil",
    "a length that is too short": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nevil evil",
    "a length that is too long": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nevil",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nevil evil",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKS,
    "chunks of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nevil\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\nSet-Cookie: evil\r\n\r\n",
    "many interim answers": b"HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n" * 200 + response(),
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\nevil",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X-Evil: evil\r\n" * 20_000,
    "no HTTP": b"evil\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n Set-Cookie: evil\r\nContent-Length: 0\r\n\r\n",
    "a bare CR": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil\r\nContent-Length: 0\r\n\r\n",
    "a way elsewhere for good": response(b"", b"Location: https://evil.example/\r\n", b"308 Permanent Redirect"),
    "fields of the origin": response(
        fields=b'Set-Cookie: __Host-Http-supercloud=evil\r\nClear-Site-Data: "evil"\r\nRefresh: 0;url=//evil\r\n'
    ),
    "a job at bob's port": told(),
    "a job with a field too many": told(authorization="a b\r\nX-Evil: evil"),
    "a job at another site": told(path="//evil.example/"),
    "a job at a node of nobody's": told(node="evil.example"),
    "a job with a privileged port": told(port=22),
    "more than anybody has": response(b"evil" * MOST_WORKSPACE),
    "an event within an event": response(b'{}\n\nevent: workspace\ndata: "evil"\n\n'),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("path", PATHS)
def test_what_it_says_reaches_nobody_else(portal: FakePortal, path: str, lie: str) -> None:
    hers, his = portal.browser(), portal.browser()
    hers.send(b"GET %b HTTP/1.1\r\nHost: portal.test\r\n%b\r\n" % (PATHS[path], portal.cookie()))
    portal.worker_dialer[0].send(LIES[lie])
    portal.settle(1)
    his.send(b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie(BOB) + b"\r\n")
    assert [uid for _, uid in portal.worker_dialer.dialled] in ([ALICE.uid, BOB.uid], [ALICE.uid, ALICE.uid, BOB.uid])
    portal.worker_dialer[-1].send(OK)
    assert his.status == 200
    assert _EVIL not in his.received
    assert portal.dialer.dialled == [], "no application was connected to"
    head = hers.received.partition(b"\r\n\r\n")[0].lower()
    assert not re.search(rb"\r\n(set-cookie|clear-site-data|refresh|x-evil|upgrade|link):", head)
    assert b" 101 " not in head
    hers.leave()
    his.leave()
    portal.settle(60)


def test_what_it_says_unasked_closes_its_connection(portal: FakePortal) -> None:
    hers = portal.browser()
    hers.send(b"GET /dav/x HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie() + b"\r\n")
    portal.worker_dialer[0].send(OK)
    portal.worker_dialer[0].send(response())
    assert portal.worker_dialer[0].is_closing
    hers.take()
    hers.send(b"GET /dav/y HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie() + b"\r\n")
    assert len(portal.worker_dialer) == 2
    portal.worker_dialer[1].send(OK)
    assert _EVIL not in hers.received


def test_what_it_says_of_a_job_opens_no_listener_of_bobs(portal: FakePortal) -> None:
    """She is led to the address, as she may type it; there the listener's owner counts, and nothing is handed."""
    hers = portal.browser()
    hers.send(b"GET /open/42 HTTP/1.1\r\nHost: portal.test\r\n" + portal.cookie() + b"\r\n")
    portal.worker_dialer[0].send(told())
    origin = f"localhost-{HIS_PORT}"
    assert hers.status == 303
    assert origin.encode() in (hers.field(b"location") or b"")
    there = portal.browser()
    host = f"{origin}-u{ALICE.uid}.fh.portal.test"
    there.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n".encode() + portal.cookie(origin=host) + b"\r\n")
    assert there.status == 404
    assert portal.dialer.dialled == []


def _messages() -> set[str]:
    """What a worker can say to the front, to the monitor by its holder, and at the portal's own socket."""
    nothing: Any = None
    methods = {
        module.METHOD
        for _, name, _ in pkgutil.iter_modules(supercloud.workers.__path__)
        if hasattr(module := importlib.import_module(f"supercloud.workers.{name}"), "METHOD")
    }
    desk = {
        *LockService(nothing, nothing, nothing).handlers,
        *PropertyService(nothing, nothing, nothing).handlers,
        *TokenService(nothing, nothing, nothing).handlers,
        AskWhy,
    }
    return methods | {str(kind.__struct_config__.tag) for kind in (*desk, *get_args(Status))}


def test_all_that_is_taken_from_a_worker_stands_in_the_list() -> None:
    """With what a lying one gains."""
    text = _ARCHITECTURE.read_text()
    section = text[text.index("**What a worker's word is good for.**") :].partition("\n\n**")[0]
    listed = set(re.findall(r"`([A-Za-z-]+)`", section))
    assert _messages() <= listed, _messages() - listed
